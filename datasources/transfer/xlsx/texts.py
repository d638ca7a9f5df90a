"""The texts of workbooks: how characters that XML cannot contain are escaped, the table of texts.

The table is parsed here, because the library removes `x005F_` from every text in it, and with it
the difference between the text `_x0041_` and an `A`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import Element, iterparse

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_TEXT, _PIECE, _RUN = f"{_MAIN}si", f"{_MAIN}t", f"{_MAIN}r"
# Characters that XML cannot contain, or would change; and texts that look like such an escape, even
# if only after the next character is escaped.
_UNFIT = "\x00-\x08\x0b-\x1f\ufffe\uffff"
_SPELL_OUT = re.compile(f"[{_UNFIT}]|_(?=x[0-9A-Fa-f]{{4}}[_{_UNFIT}])")
_SPELLED_OUT = re.compile("_x([0-9A-Fa-f]{4})_")


def spelled_out(text: str) -> str:
    """Return a text as a workbook stores it; ISO/IEC 29500 calls the format `ST_Xstring`."""
    return _SPELL_OUT.sub(lambda match: f"_x{ord(match[0]):04X}_", text)


def plain(text: str) -> str:
    """Return the text that was passed to `spelled_out`."""
    if "_x" not in text:
        return text
    return _SPELLED_OUT.sub(lambda match: chr(int(match[1], 16)), text)


def table_of(part: IO[bytes]) -> list[str]:
    """Return the table of texts, each as the workbook stores it."""
    found: list[str] = []
    for _, element in iterparse(part):  # noqa: S314  (`guard` has looked for entities)
        if element.tag == _TEXT:
            found.append("".join(_pieces(element)))
            element.clear()
    return found


def _pieces(element: Element[Any]) -> Iterator[str]:
    """Yield the text itself, or its runs, without phonetic hints."""
    for child in element:
        if child.tag == _PIECE:
            yield child.text or ""
        elif child.tag == _RUN:
            yield from (piece.text or "" for piece in child if piece.tag == _PIECE)
