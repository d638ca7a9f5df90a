"""Values as the cells of a table, and back: what is written is read again as what it was.

A cell that begins with an apostrophe is text, if what follows would otherwise be read as
something else than text: a number, a word such as `true`, JSON, nothing at all, or, by a
spreadsheet, a formula. So no text that is written begins like a formula, and `'tis` is itself.
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
# Stands in the first cell of a row that has no value at all, which would be taken for a gap.
NOTHING = "#missing"

_WORDS: dict[str, Json | Missing] = {"null": None, NOTHING: MISSING}
_CSV_WORDS = {**_WORDS, "true": True, "TRUE": True, "false": False, "FALSE": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_SHORT_NUMBER = re.compile(r"-?[1-9](?:\.[0-9]+)?e[+-][0-9]{2,3}", re.ASCII)
_MAX_DIGITS = 40
# One that is never closed goes to the end, so that nothing is looked at twice: anybody may have
# stored the text, and whoever exports it waits.
_STRING = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)', re.DOTALL)


class Text(Enum):
    """What a text that stands for no other value is found to be."""

    TEXT = "text"


_TEXT: Final = Text.TEXT
Found: TypeAlias = "Json | Missing | Text"


@dataclass(frozen=True, slots=True)
class Notation:
    """How a kind of file writes values: `value_of` finds those that it has no type for. In a
    `delimited` file each character that some spreadsheet takes for a delimiter is guarded.
    """

    value_of: Callable[[str], Found]
    delimited: bool = False

    def text(self, text: str) -> str:
        """The cell of a text."""
        cell = f"'{text}" if self._poses(text) else text
        return guarded(cell) if self.delimited else cell

    def read(self, cell: str, recognise: bool = True) -> Json | Missing:
        """The value of a cell; without `recognise` it is text, or missing."""
        if not cell:
            return MISSING
        if self.delimited:
            cell = bare(cell)
        if cell[0] == "'":
            return cell[1:] if self._poses(cell[1:]) else cell
        if not recognise:
            return MISSING if cell == NOTHING else cell
        value = self.value_of(cell)
        return cell if value is _TEXT else value

    def _poses(self, text: str) -> bool:
        """Whether a text would be read as something else, or as a formula."""
        core = text.lstrip("'")
        return not core or core[0] in BEGINNINGS or self.value_of(core) is not _TEXT


def header_cell(name: str) -> str:
    """The cell of a column's name, which is always text."""
    return guarded(f"'{name}" if _is_formula(name) else name)


def name_of(cell: str) -> str:
    """The column's name in a cell of the header."""
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


# Numbers, true and false have types of their own in a spreadsheet, so that text stays text.
CSV = Notation(_csv_value, delimited=True)
XLSX = Notation(_xlsx_value)


def number_of(text: str) -> int | float | Text:
    """The number that a text is, if one holds every digit of it; `007` and `1.` are text."""
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
    """The list or object that a text is."""
    if text[-1] not in "]}" or _too_deep(text):
        return _TEXT
    try:
        value: Json = loads(text)
    except Malformed:
        return _TEXT
    return value


def _too_deep(text: str) -> bool:
    """Looked at first, so that what is JSON does not hang on how deep the caller is."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for character in _STRING.sub("", text):
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_DEPTH:
            return True
    return False


def csv_cell(value: Json | Missing) -> str:
    """The cell of a value in a CSV file."""
    if value is MISSING:
        return ""
    if value.__class__ is str:
        return CSV.text(value)
    return str(value) if value.__class__ is int else guarded_json(dumps(value))


def xlsx_cell(value: Json | Missing) -> str | int | float | bool | None:
    """What a cell of a spreadsheet holds of a value."""
    if value is MISSING:
        return None
    if isinstance(value, str):
        return XLSX.text(value)
    if isinstance(value, bool | int | float):
        return value
    return dumps(value)
