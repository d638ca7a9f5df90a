"""Converts values to the cells of a table and back; every value survives the round trip.

A cell that begins with an apostrophe is text, if the rest would otherwise be read as something
else: a number, a word such as `true`, JSON, an empty cell, or, by a spreadsheet, a formula. So no
text is written that begins like a formula, and `'tis` is written unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

from ..errors import Malformed
from ..values.codec import dumps, loads
from ..values.validation import MAX_DEPTH, MAX_INTEGER, MIN_INTEGER, Json
from .formulas import BEGINNINGS, bare, guarded, guarded_json


class Missing(Enum):
    """The value of a column that a row does not have."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
# The column of the entry's id; no column of a row begins with `$`.
ID = "$id"
# Written to the first cell of a row without any value, which would be taken for an empty line.
NOTHING = "#missing"

_WORDS: dict[str, Json | Missing] = {"null": None, NOTHING: MISSING}
_CSV_WORDS = {**_WORDS, "true": True, "TRUE": True, "false": False, "FALSE": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_SHORT_NUMBER = re.compile(r"-?[1-9](?:\.[0-9]+)?e[+-][0-9]{2,3}", re.ASCII)
_MAX_DIGITS = 40
# A string without an end extends to the end of the text, so that no character is scanned twice: any
# user may have stored the text, and a user who exports it has to wait.
_STRING = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)', re.DOTALL)


class Text(Enum):
    """The result for a text that represents no other value."""

    TEXT = "text"


_TEXT: Final = Text.TEXT
Found: TypeAlias = "Json | Missing | Text"


@dataclass(frozen=True, slots=True)
class Notation:
    """How a kind of file writes values.

    `value_of` recognizes values for which the file has no type of its own. In a `delimited` file,
    each character that some spreadsheet takes for a delimiter is guarded.
    """

    value_of: Callable[[str], Found]
    delimited: bool = False

    def text(self, text: str) -> str:
        """Return the cell of a text."""
        cell = f"'{text}" if self._poses(text) else text
        return guarded(cell) if self.delimited else cell

    def read(self, cell: str, recognize: bool = True) -> Json | Missing:
        """Return the value of a cell; without `recognize` it is always text or missing."""
        if not cell:
            return MISSING
        if self.delimited:
            cell = bare(cell)
        if cell[0] == "'":
            return cell[1:] if self._poses(cell[1:]) else cell
        if not recognize:
            return MISSING if cell == NOTHING else cell
        value = self.value_of(cell)
        return cell if value is _TEXT else value

    def _poses(self, text: str) -> bool:
        """Whether a text would be read as something else, or as a formula."""
        core = text.lstrip("'")
        return not core or core[0] in BEGINNINGS or self.value_of(core) is not _TEXT


def header_cell(name: str) -> str:
    """Return the cell of a column's name, which is always text."""
    return guarded(f"'{name}" if _is_formula(name) else name)


def name_of(cell: str) -> str:
    """Return the column's name in a cell of the header."""
    cell = bare(cell)
    return cell[1:] if cell[:1] == "'" and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    return text.lstrip("'")[:1] in BEGINNINGS


def _csv_value(text: str) -> Found:
    if text in _CSV_WORDS:
        return _CSV_WORDS[text]
    first = text[0]
    if first == "-" or "0" <= first <= "9":
        return number_of(text)
    return _json_of(text) if first in "[{" else _TEXT


def _xlsx_value(text: str) -> Found:
    if text in _WORDS:
        return _WORDS[text]
    return _json_of(text) if text[0] in "[{" else _TEXT


# In a spreadsheet, numbers, true and false have types of their own, so such a text remains text.
CSV = Notation(_csv_value, delimited=True)
XLSX = Notation(_xlsx_value)


def number_of(text: str) -> int | float | Text:
    """Return the number in a text if no digit of it is lost; `007` and `1.` are text."""
    if len(text) > _MAX_DIGITS:
        return _TEXT
    plain = _NUMBER.fullmatch(text)
    if plain is None:
        return float(text) if _SHORT_NUMBER.fullmatch(text) and _is_float(text) else _TEXT
    if plain[1] is None:
        whole = int(text)
        return whole if MIN_INTEGER <= whole <= MAX_INTEGER else _TEXT
    number = float(text)
    exact = Decimal(text) == Decimal(repr(number))
    return (number or 0.0) if exact else _TEXT


def _is_float(text: str) -> bool:
    return repr(float(text)) == text


def _json_of(text: str) -> Found:
    """Return the list or object in a JSON text."""
    if text[-1] not in "]}" or _too_deep(text):
        return _TEXT
    try:
        value: Json = loads(text)
    except Malformed:
        return _TEXT
    return value


def _too_deep(text: str) -> bool:
    """Check the depth before parsing, so that the result does not depend on the call stack."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for character in _STRING.sub("", text):
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_DEPTH:
            return True
    return False


def csv_cell(value: Json | Missing) -> str:
    """Return the cell of a value in a CSV file."""
    if value is MISSING:
        return ""
    if value.__class__ is str:
        return CSV.text(value)
    return str(value) if value.__class__ is int else guarded_json(dumps(value))


def xlsx_cell(value: Json | Missing) -> str | int | float | bool | None:
    """Return the content of a spreadsheet's cell for a value."""
    if value is MISSING:
        return None
    if isinstance(value, str):
        return XLSX.text(value)
    if isinstance(value, bool | int | float):
        return value
    return dumps(value)
