"""The rules of JSON values: comparison by type, text by code point.

This is the one place that defines equality, lower case, and a well-formed row. Pure Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias
from unicodedata import normalize

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Row: TypeAlias = "dict[str, Json]"
Scalar: TypeAlias = "str | int | float | bool"

# The characters that are stripped from both ends of an address.
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001))))
MAX_DEPTH = 100
MAX_COLUMNS = 1_000
MAX_NAME = 255
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
# The number of digits of the greatest integer.
_MAX_DIGITS = 19

KIND_NULL, KIND_BOOLEAN, KIND_NUMBER, KIND_TEXT, KIND_LIST, KIND_OBJECT = (
    "null",
    "boolean",
    "number",
    "string",
    "array",
    "object",
)
_KINDS: dict[type, str] = {
    type(None): KIND_NULL,
    bool: KIND_BOOLEAN,
    int: KIND_NUMBER,
    float: KIND_NUMBER,
    str: KIND_TEXT,
    list: KIND_LIST,
    dict: KIND_OBJECT,
}


def kind(value: object) -> str:
    """Return the JSON type of a value: `null boolean number string array object`."""
    return _KINDS[type(value)]


def is_scalar(value: object) -> bool:
    """Whether a value is text, a number or a boolean, rather than null, a list or an object."""
    return value.__class__ in (str, int, float, bool)


def same(left: object, right: object) -> bool:
    """Whether JSON values are equal, types included: `1` equals `1.0`, not `"1"` or `true`."""
    left_type, right_type = left.__class__, right.__class__
    if left_type is right_type:
        if left_type is list:
            return _same_lists(left, right)  # type: ignore[arg-type]
        if left_type is dict:
            return _same_objects(left, right)  # type: ignore[arg-type]
        return left == right
    if left_type in (int, float) and right_type in (int, float):
        return left == right
    return False


def _same_lists(left: list[object], right: list[object]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def _same_objects(left: dict[str, object], right: dict[str, object]) -> bool:
    return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)


def lower(text: str) -> str:
    """Return a text in lower case by Unicode's simple mapping, one character for each.

    `str.lower` differs from it only for two characters: the dotted capital I, which becomes two
    characters, and the capital sigma, which depends on its position in the word.
    """
    if text.isascii():
        return text.lower()
    return text.replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


def composed(text: str) -> str:
    """Return a text in Unicode's composed form, NFC."""
    return text if text.isascii() else normalize("NFC", text)


def address_key(text: str) -> str:
    """Return the form in which addresses are compared: composed, in lower case, stripped.

    PostgreSQL computes it in `compiler.projection.address_is`.
    """
    return composed(lower(composed(text))).strip(BLANKS)


def holds_nested_list(value: object) -> bool:
    """Whether a list contains a list directly, anywhere in the value."""
    if value.__class__ is dict:
        return any(map(holds_nested_list, value.values()))
    if value.__class__ is list:
        return any(item.__class__ is list or holds_nested_list(item) for item in value)
    return False


def nests_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are nested in more levels than this."""
    found = [value]
    for _ in range(levels + 1):
        inside: list[object] = []
        for item in found:
            if isinstance(item, dict):
                inside.extend(item.values())
            elif isinstance(item, list):
                inside.extend(item)
        if not inside:
            return False
        found = inside
    return True


def problem_with_text(text: str) -> str | None:
    """Return why a text cannot be stored on every database, or None."""
    if "\x00" in text:
        return "contains the character NUL, which cannot be stored"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "contains a lone surrogate, which is not valid Unicode text"
    return None


def problem_with_name(name: object) -> str | None:
    """Return why a value cannot be the name of a column or a key inside a row, or None."""
    if name.__class__ is not str:
        return "is not text; a column name must be text of 1 to 255 characters"
    assert isinstance(name, str)
    if not name:
        return f"is empty; a column name must have 1 to {MAX_NAME} characters"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters; a column name can have at most {MAX_NAME}"
    if name[0] == "$":
        return "begins with `$`, which is reserved for operators"
    return problem_with_text(name)


def problem_with_row(row: object) -> str | None:
    """Return why a value cannot be stored as a row, with the place in it, or None."""
    if row.__class__ is not dict:
        return "a row must be an object of columns and values"
    assert isinstance(row, dict)
    if len(row) > MAX_COLUMNS:
        return f"the row has {len(row)} columns; at most {MAX_COLUMNS} are allowed"
    found = _in_object(row, 1)
    if found is None:
        return None
    path, text = found
    place = printable(".".join(reversed(path)))
    return text.replace("{at}", f" in `{place}`" if place else "").replace("{it}", f"`{place}`")


# A place (the keys to it, innermost first) and what is wrong there. The path is only built if there
# is a problem, not for every member of every list.
_Found: TypeAlias = tuple[list[str], str]


def _in_object(value: dict[str, Json], depth: int) -> _Found | None:
    for name, item in value.items():
        problem = problem_with_name(name)
        if problem:
            return [], f"the key `{printable(name)}`{{at}} {problem}"
        found = _in_value(item, depth)
        if found:
            found[0].append(name)
            return found
    return None


def _in_value(value: object, depth: int) -> _Found | None:
    if value.__class__ is not dict and value.__class__ is not list:
        problem = _problem_with_scalar(value)
        return ([], f"{{it}} {problem}") if problem else None
    if depth >= MAX_DEPTH:
        return [], f"the row is nested deeper than {MAX_DEPTH} levels"
    if value.__class__ is dict:
        return _in_object(value, depth + 1)
    for index, item in enumerate(value):
        found = _in_value(item, depth + 1)
        if found:
            found[0].append(str(index))
            return found
    return None


def _problem_with_scalar(value: object) -> str | None:
    if value.__class__ is str:
        return problem_with_text(value)
    if value.__class__ is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            return "is an integer that does not fit in 64 bits"
        return None
    if value.__class__ is float:
        if value != value or value in (float("inf"), float("-inf")):
            return "is NaN or infinite, which JSON cannot represent"
        return None
    if value is None or value.__class__ is bool:
        return None
    return f"is a {value.__class__.__name__}, which is not a JSON value"


def join_some(texts: Sequence[str]) -> str:
    """Join at most ten texts for a message."""
    return ", ".join(texts[:10]) + (", …" if len(texts) > 10 else "")


def printable(text: object, limit: int = 80) -> str:
    """Return a user's text for a one-line message: printable characters only, and short."""
    plain = str(text)
    if not plain.isprintable():
        plain = "".join(c if _shows(c) else "\N{REPLACEMENT CHARACTER}" for c in plain)
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"


def _shows(character: str) -> bool:
    """Whether a message may contain a character.

    Joiners and the ideographic space are allowed, because Persian, Hindi or Japanese names have
    them.
    """
    return character.isprintable() or character in "\u200c\u200d\u3000"


def texts_in(value: object) -> Iterator[str]:
    """Yield every text of a JSON value, keys included, at any depth, without recursion."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if item.__class__ is str:
            yield item
        elif isinstance(item, Mapping):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def whole_number(text: str) -> int | None:
    """Return the value of ASCII digits, from 0 to `MAX_INTEGER`; None for any other text."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS or int(digits) > MAX_INTEGER:
        return None
    return int(digits)
