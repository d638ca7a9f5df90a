"""How much of a part of a workbook a parser would hold at once, counted without holding it.

The library keeps every element in memory, but for what stands in a row of a sheet or in a text of
the table of texts: of that it lets go, one by one. A few kilobytes are unpacked to millions of
elements; those are counted as they come, and the first too many ends it.
"""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from ..problems import Unreadable

# Rows, or texts; elements in one of them, and elements of a part outside of all of them.
MAX_LINES = 1_500_000
MAX_INSIDE = 200_000
MAX_OUTSIDE = 300_000
# Bytes: in one row or text, and of all that is outside.
MAX_BYTES = 20_000_000
# Characters of the format of a number, as spreadsheets have it: the library searches it in a way
# that takes the square of its length.
MAX_FORMAT = 255
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
ROW, TEXT = f"{_MAIN} row", f"{_MAIN} si"


class Elements:
    """Fed with the pieces of a part. `line`: the element that the library lets go of in it."""

    def __init__(self, line: str | None) -> None:
        self._line = line
        self._lines = self._inside = self._outside = self._depth = 0
        # Where the row or text begins, where the last one ended, and what was outside till then.
        self._begin = self._end = self._beside = self._fed = 0
        # What is no XML from some place on is not parsed by the library either.
        self._is_xml = True
        parser: Any = ParserCreate("utf-8", namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = self._started, self._ended
        self._parser = parser

    def feed(self, piece: bytes) -> None:
        """Take a piece. Raises `Unreadable`."""
        if not self._is_xml:
            return
        try:
            self._parser.Parse(piece, False)
        except ExpatError:
            self._is_xml = False
        self._fed += len(piece)
        open_ = self._fed - (self._begin if self._depth else self._end)
        if open_ + (0 if self._depth else self._beside) > MAX_BYTES:
            raise _too_much()

    def _started(self, name: str, attributes: Any) -> None:
        if self._depth:
            self._depth += 1
            self._inside += 1
            if self._inside > MAX_INSIDE:
                raise _too_much()
        elif name == self._line:
            self._depth = 1
            self._inside = 0
            self._lines += 1
            self._begin = self._parser.CurrentByteIndex
            self._beside += self._begin - self._end
            if self._lines > MAX_LINES or self._beside > MAX_BYTES:
                raise _too_much()
        else:
            self._outside += 1
            if self._outside > MAX_OUTSIDE:
                raise _too_much()
            if len(attributes.get("formatCode", "")) > MAX_FORMAT:
                raise Unreadable(
                    f"the workbook has a format of numbers of over {MAX_FORMAT} characters"
                )

    def _ended(self, name: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self._end = self._parser.CurrentByteIndex


def _too_much() -> Unreadable:
    return Unreadable("the workbook unpacks to more than can be held; a CSV file may be larger")
