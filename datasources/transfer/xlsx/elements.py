"""Counts what a parser would hold in memory for a part of a workbook, without holding it.

The library keeps every element in memory, except those in a row of a sheet or in an entry of the
table of texts, which it releases one by one. A few kilobytes can unpack to millions of elements, so
they are counted as they arrive, and the first one over the limit raises an error.
"""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from ..problems import Unreadable

# The most rows or texts; elements in one of them; and elements of a part outside all of them.
MAX_LINES = 1_500_000
MAX_INSIDE = 200_000
MAX_OUTSIDE = 300_000
# The most bytes in one row or text, and outside all of them.
MAX_BYTES = 20_000_000
# The most characters in a number format, as in spreadsheets: the library searches it with a pattern
# that takes quadratic time.
MAX_FORMAT = 255
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
ROW, TEXT = f"{_MAIN} row", f"{_MAIN} si"


class Elements:
    """Counts the elements of a part. `line`: the element that the library releases after use."""

    def __init__(self, line: str | None) -> None:
        self._line = line
        self._lines = self._inside = self._outside = self._depth = 0
        # Where the row or text begins, where the last one ended, and the bytes outside until then.
        self._begin = self._end = self._outside = self._fed = 0
        # The library does not parse beyond invalid XML either.
        self._is_xml = True
        parser: Any = ParserCreate("utf-8", namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = self._started, self._ended
        self._parser = parser

    def feed(self, piece: bytes) -> None:
        """Process a piece. Raises `Unreadable` over a limit."""
        if not self._is_xml:
            return
        try:
            self._parser.Parse(piece, False)
        except ExpatError:
            self._is_xml = False
        self._fed += len(piece)
        open_ = self._fed - (self._begin if self._depth else self._end)
        if open_ + (0 if self._depth else self._outside) > MAX_BYTES:
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
            self._outside += self._begin - self._end
            if self._lines > MAX_LINES or self._outside > MAX_BYTES:
                raise _too_much()
        else:
            self._outside += 1
            if self._outside > MAX_OUTSIDE:
                raise _too_much()
            if len(attributes.get("formatCode", "")) > MAX_FORMAT:
                raise Unreadable(
                    f"the workbook has a number format of more than {MAX_FORMAT} characters"
                )

    def _ended(self, name: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self._end = self._parser.CurrentByteIndex


def _too_much() -> Unreadable:
    return Unreadable("the workbook needs too much memory; a CSV file can be larger")
