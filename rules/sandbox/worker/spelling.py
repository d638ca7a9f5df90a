"""Names that Python reads as other names, because it normalizes identifiers to NFKC.

`entry.data.Wert_µ` with U+00B5 reads the column `Wert_μ` with U+03BC. An attribute or keyword whose
spelling is not its own NFKC form would name another column than the text shows, so it is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final
from unicodedata import combining, is_normalized, normalize

# The characters that Python's tokenizer takes as part of a name, which include all that are not
# ASCII.
# Each byte of such a character in UTF-8 is 0x80 or more.
_RUN: Final = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]+")
_RUN_OF_BYTES: Final = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_LONGEST_SHOWN: Final = 60
# From the Stream-Safe Text Format in Unicode Standard Annex #15.
MAX_MARKS: Final = 30


def has_too_many_marks(source: str) -> bool:
    """Whether more than `MAX_MARKS` combining characters follow one another.

    Python normalizes names while it parses, in a time that is quadratic in that number.
    """
    if source.isascii():
        return False
    marks = 0
    for character in source:
        marks = marks + 1 if combining(character) else 0
        if marks > MAX_MARKS:
            return True
    return False


def misspelled(tree: ast.Module, source: str) -> Iterator[tuple[ast.AST, str]]:
    """Each attribute and keyword that Python reads as another name than it is spelled.

    `tree` is parsed from `source`. Yields (a node at the position, the problem). The time is linear
    in the length of the source, apart from the problems.
    """
    if is_normalized("NFKC", source):
        return
    lines = _Lines(source)
    texts = _inside_texts(tree)
    for node in ast.walk(tree):
        name = _name(node)
        if name is None:
            continue
        found = _spelling(node, name, lines, texts.get(node))
        if found is not None and found != name:
            yield _place(node, found, lines), _problem(node, found, name)


class _Lines:
    """The lines of a script. Each is encoded only once, since the tree counts bytes."""

    def __init__(self, source: str) -> None:
        self._lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._forward: dict[int, bytes] = {}
        self._backward: dict[int, bytes] = {}
        self._spellings: dict[tuple[int, int], dict[str, list[str]]] = {}

    def name_at(self, number: int, offset: int) -> str | None:
        """The name that begins at this byte offset, on a line counted from 1."""
        found = _RUN_OF_BYTES.match(self._bytes(number), offset)
        return None if found is None else found.group().decode("utf-8", "replace")

    def name_before(self, number: int, offset: int) -> str | None:
        """The name that ends at this byte offset, read backward from there."""
        if number not in self._backward:
            self._backward[number] = self._bytes(number)[::-1]
        line = self._backward[number]
        found = _RUN_OF_BYTES.match(line, max(len(line) - offset, 0))
        return None if found is None else found.group()[::-1].decode("utf-8", "replace")

    def spellings(self, first: int, last: int) -> dict[str, list[str]]:
        """The spellings in these lines, by the name as Python reads it."""
        if (first, last) not in self._spellings:
            found: dict[str, list[str]] = {}
            for run in dict.fromkeys(_RUN.findall("\n".join(self._lines[first - 1 : last]))):
                found.setdefault(normalize("NFKC", run), []).append(run)
            self._spellings[first, last] = found
        return self._spellings[first, last]

    def _bytes(self, number: int) -> bytes:
        if number not in self._forward:
            text = self._lines[number - 1] if number <= len(self._lines) else ""
            self._forward[number] = text.encode("utf-8", "replace")
        return self._forward[number]


def _inside_texts(tree: ast.Module) -> dict[ast.AST, ast.JoinedStr]:
    """{node: the f-string around it}, for nodes inside f-strings."""
    found: dict[ast.AST, ast.JoinedStr] = {}
    for text in ast.walk(tree):
        # A nested f-string is among the nodes of the outer one, which comes first.
        if isinstance(text, ast.JoinedStr) and text not in found:
            found.update((node, text) for node in ast.walk(text))
    return found


def _name(node: ast.AST) -> str | None:
    """The name as Python reads it, for nodes whose name can become a column's; otherwise None."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.arg if isinstance(node, ast.keyword) else None


def _spelling(node: ast.AST, name: str, lines: _Lines, text: ast.JoinedStr | None) -> str | None:
    """The name as it is spelled in the source, or None.

    The positions of nodes inside an f-string are not exact in every Python version. There, and
    wherever a position does not hold the name, any other spelling of it in the lines around counts.
    """
    if text is None:
        found = _at_place(node, lines)
        if found is not None and normalize("NFKC", found) == name:
            return found
    there = lines.spellings(*_lines_of(text or node)).get(name, ())
    return next((run for run in there if run != name), None)


def _lines_of(node: ast.AST) -> tuple[int, int]:
    first = getattr(node, "lineno", 1)
    return first, getattr(node, "end_lineno", None) or first


def _at_place(node: ast.AST, lines: _Lines) -> str | None:
    """The name at the end of an attribute, or at the start of a keyword."""
    first, last = _lines_of(node)
    if isinstance(node, ast.Attribute):
        return lines.name_before(last, node.end_col_offset or 0)
    return lines.name_at(first, getattr(node, "col_offset", 0))


def _place(node: ast.AST, found: str, lines: _Lines) -> ast.AST:
    """A node at the position of the name, for the message."""
    if isinstance(node, ast.Attribute) and _at_place(node, lines) == found:
        offset = (node.end_col_offset or 0) - len(found.encode("utf-8"))
        return ast.Pass(lineno=node.end_lineno or node.lineno, col_offset=offset)
    return node


def _problem(node: ast.AST, found: str, name: str) -> str:
    read = f"`{found}` is read by Python as `{name}`, which is a different name"
    if not isinstance(node, ast.Attribute):
        return f'{read}; write it as text: `**{{"{found}": ...}}`'
    record = ast.unparse(node.value)
    if len(record) > _LONGEST_SHOWN or "\n" in record:
        record = "record"
    return f'{read}; write it as text: `{record}["{found}"]`'
