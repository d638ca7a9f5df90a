"""Names that Python reads as other names: it turns each identifier into Unicode's form NFKC.

`entry.data.Wert_µ` with U+00B5 reads the column `Wert_μ` with U+03BC. An attribute or a keyword
whose spelling is not its own NFKC would name another column than the text shows, so it is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final
from unicodedata import is_normalized, normalize

# What Python's tokenizer takes into one name: of what is not ASCII, everything.
_RUN: Final = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]+")
_RUN_TO_END: Final = re.compile(_RUN.pattern + r"\Z")
_LONGEST_SHOWN: Final = 60


def misspelled(tree: ast.Module, source: str) -> Iterator[tuple[ast.AST, str]]:
    """Each attribute and keyword that Python reads as another name than its spelling.

    `tree` is parsed from `source`. Yields a node that holds the place, and the problem.
    """
    if is_normalized("NFKC", source):
        return
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    texts = _inside_texts(tree)
    for node in ast.walk(tree):
        name = _name(node)
        if name is None:
            continue
        found = _spelling(node, name, lines, texts.get(node))
        if found is not None and found != name:
            yield _place(node, found, lines), _problem(node, found, name)


def _inside_texts(tree: ast.Module) -> dict[ast.AST, ast.JoinedStr]:
    """The f-string around each node inside one."""
    found: dict[ast.AST, ast.JoinedStr] = {}
    for text in ast.walk(tree):
        if isinstance(text, ast.JoinedStr):
            for node in ast.walk(text):
                found.setdefault(node, text)
    return found


def _name(node: ast.AST) -> str | None:
    """The name as Python reads it, for nodes whose name can become that of a column."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.arg if isinstance(node, ast.keyword) else None


def _spelling(node: ast.AST, name: str, lines: list[str], text: ast.JoinedStr | None) -> str | None:
    """The name as it is spelled.

    The places of nodes inside an f-string are not exact in every Python. There, and wherever a
    place does not hold the name, any other spelling of it in the lines around counts.
    """
    if text is None:
        found = _at_place(node, lines)
        if found is not None and normalize("NFKC", found) == name:
            return found
    first, last = _lines_of(text or node)
    for run in _RUN.findall("\n".join(lines[first - 1 : last])):
        if run != name and normalize("NFKC", run) == name:
            return str(run)
    return None


def _lines_of(node: ast.AST) -> tuple[int, int]:
    first = getattr(node, "lineno", 1)
    return first, getattr(node, "end_lineno", None) or first


def _at_place(node: ast.AST, lines: list[str]) -> str | None:
    """The name at the end of an attribute, or at the beginning of a keyword."""
    first, last = _lines_of(node)
    if isinstance(node, ast.Attribute):
        before = _bytes(lines, last)[: node.end_col_offset].decode("utf-8", "replace")
        found = _RUN_TO_END.search(before)
    else:
        after = _bytes(lines, first)[getattr(node, "col_offset", 0) :].decode("utf-8", "replace")
        found = _RUN.match(after)
    return None if found is None else found.group()


def _bytes(lines: list[str], number: int) -> bytes:
    return lines[number - 1].encode("utf-8", "replace") if number <= len(lines) else b""


def _place(node: ast.AST, found: str, lines: list[str]) -> ast.AST:
    """A node where the name is, for the message."""
    if isinstance(node, ast.Attribute) and _at_place(node, lines) == found:
        offset = (node.end_col_offset or 0) - len(found.encode("utf-8"))
        return ast.Pass(lineno=node.end_lineno or node.lineno, col_offset=offset)
    return node


def _problem(node: ast.AST, found: str, name: str) -> str:
    read = f"`{found}` is read by Python as `{name}`, which is another name"
    if not isinstance(node, ast.Attribute):
        return f'{read}; write it as text: `**{{"{found}": ...}}`'
    record = ast.unparse(node.value)
    if len(record) > _LONGEST_SHOWN or "\n" in record:
        record = "record"
    return f'{read}; write it as text: `{record}["{found}"]`'
