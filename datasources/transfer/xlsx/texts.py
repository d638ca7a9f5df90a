"""The texts of workbooks: how characters that XML cannot hold are spelled, and the table of texts.

The table is read here, since the library takes `x005F_` out of every text in it, and with it
what tells the text `_x0041_` from an `A`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import Element, iterparse

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_TEXT, _PIECE, _RUN = f"{_MAIN}si", f"{_MAIN}t", f"{_MAIN}r"
# What XML cannot hold, or would change; and what would be read as such a spelling, also once the
# character behind it is spelled out.
_UNFIT = "\x00-\x08\x0b-\x1f\ufffe\uffff"
_SPELL_OUT = re.compile(f"[{_UNFIT}]|_(?=x[0-9A-Fa-f]{{4}}[_{_UNFIT}])")
_SPELLED_OUT = re.compile("_x([0-9A-Fa-f]{4})_")


def spelled_out(text: str) -> str:
    """Return a text as a workbook holds it; ISO/IEC 29500 calls the form `ST_Xstring`."""
    return _SPELL_OUT.sub(lambda match: f"_x{ord(match[0]):04X}_", text)


def plain(text: str) -> str:
    """Return what `spelled_out` was given."""
    if "_x" not in text:
        return text
    return _SPELLED_OUT.sub(lambda match: chr(int(match[1], 16)), text)


def table_of(part: IO[bytes]) -> list[str]:
    """Return the table of texts, each as the workbook holds it."""
    found: list[str] = []
    for _, element in iterparse(part):  # noqa: S314  (`guard` has looked for entities)
        if element.tag == _TEXT:
            found.append("".join(_pieces(element)))
            element.clear()
    return found


def _pieces(element: Element[Any]) -> Iterator[str]:
    """The text itself, or the runs that it is of, without hints of how it is pronounced."""
    for child in element:
        if child.tag == _PIECE:
            yield child.text or ""
        elif child.tag == _RUN:
            yield from (piece.text or "" for piece in child if piece.tag == _PIECE)
