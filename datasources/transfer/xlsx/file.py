"""Reads and writes XLSX workbooks, by openpyxl: the first sheet, line by line."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import repeat
from pathlib import Path
from typing import IO, Any

from ...values.validation import MAX_COLUMNS, printable
from ..lines import Line
from ..problems import Problem, Unreadable
from .guard import look_through
from .parts import NO_WORKBOOK, Archive
from .texts import plain, spelled_out, table_of

MAX_LINES = 1_048_576
# The most characters that a spreadsheet holds in one cell.
MAX_TEXT = 32_767
SHEET = "Entries"
_WIDE = 2 * MAX_COLUMNS
# The most lines with empty formatted cells beyond that width.
_MAX_WIDE = 10_000
_NO_CLOCK = re.compile(r'"[^"]*"|\\.|\[[^\]]*(?:\]|\Z)')


class Wrong(str):
    """Takes the place of a value that cannot be read; the text says why."""


def is_installed() -> bool:
    """Whether openpyxl is installed."""
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        return False
    return True


def _openpyxl() -> Any:
    try:
        import openpyxl
    except ImportError:
        raise Unreadable(
            "XLSX needs the package openpyxl, which is not installed: `pip install "
            "rowkeeper[xlsx]`, or use CSV"
        ) from None
    return openpyxl


class XlsxFile:
    """The first sheet of a workbook."""

    def __init__(self, path: Path) -> None:
        self._library = _openpyxl()
        self._path = path
        self._looked = look_through(path)
        self._texts: list[str] | None = None
        self._wide = 0
        self._done, self._total = 0, 0
        self.notes: list[str] = []

    @property
    def fraction(self) -> float | None:
        """The fraction of the sheet that has been read; None if its length is unknown."""
        return min(1.0, self._done / self._total) if self._total > 1 else None

    def lines(self) -> Generator[Line | Problem]:
        """Yield the lines of the sheet, as in `LineFile`."""
        books: list[Any] = []
        try:
            books.append(self._open(data_only=True))
            if self._looked.has_formulas:
                books.append(self._open(data_only=False))
            self._look_at(books[0])
            yield from self._numbered(*map(_rows, books))
        except _Damaged as error:
            yield Problem(self._done + 1, str(error), fatal=True)
        finally:
            for book in books:
                book.close()

    def _look_at(self, book: Any) -> None:
        """Store the stated length of the sheet, and a note if other sheets are not read."""
        sheet = _first_sheet(book)
        self._done, self._total = 0, min(sheet.max_row or 0, MAX_LINES)
        others = len(book.worksheets) - 1
        if others:
            self.notes = [
                f"Only the sheet “{printable(sheet.title)}” is imported; {others} other "
                f"sheet{'s are' if others > 1 else ' is'} ignored."
            ]

    def _numbered(
        self, values: Iterator[Any], formulas: Iterator[Any] | None = None
    ) -> Iterator[Line | Problem]:
        pairs = zip(values, formulas or repeat(()), strict=False)
        for number, (row, computed) in enumerate(pairs, 1):
            self._done = number
            if number > MAX_LINES:
                yield Problem(number, f"a sheet can have at most {MAX_LINES} lines", fatal=True)
                return
            width = max(_width_of(row), _width_of(computed))
            if width > _WIDE:
                yield Problem(number, f"reaches beyond {_WIDE} columns")
                continue
            self._wide += len(row) > _WIDE
            if self._wide > _MAX_WIDE:
                yield Problem(
                    number,
                    f"more than {_MAX_WIDE} lines have formatted cells beyond {_WIDE} columns: "
                    "delete the columns to the right of the table",
                    fatal=True,
                )
                return
            cells = [_value(cell) for cell in row[:width]]
            if computed:
                cells = [_computed(*each) for each in zip(cells, row, computed, strict=False)]
            if any(cell is not None for cell in cells):
                yield Line(number, cells)

    def _open(self, data_only: bool) -> Any:
        parts = self._looked.parts
        archive = Archive(self._path, parts.lines)
        try:
            if self._texts is None and parts.texts is not None:
                with archive.open(parts.texts) as part:
                    self._texts = table_of(part)
            return _book(archive, data_only, self._texts or [])
        # For any exception, the file is at fault.
        except Exception:
            archive.close()
            raise Unreadable(NO_WORKBOOK) from None


class _Damaged(Exception):
    """The workbook cannot be read beyond some line of the sheet."""


def _book(archive: Archive, data_only: bool, texts: list[str]) -> Any:
    """Return the workbook of an archive, with a table of texts that was already read."""
    from openpyxl.reader.excel import ExcelReader

    class Reader(ExcelReader):  # type: ignore[misc]
        """The library's reader for an archive that is already open."""

        def __init__(self) -> None:
            self.archive, self.valid_files = archive, archive.namelist()
            self.read_only, self.data_only = True, data_only
            self.keep_vba = self.keep_links = self.rich_text = False
            self.shared_strings = texts

        def read_strings(self) -> None:
            """Do nothing, because the texts are already there."""

    reader = Reader()
    reader.read()
    return reader.wb


def _first_sheet(book: Any) -> Any:
    if not book.worksheets:
        raise Unreadable("the workbook does not have a sheet with cells")
    return book.worksheets[0]


def _rows(book: Any) -> Iterator[Any]:
    sheet = _first_sheet(book)
    # The stated size may be wrong.
    sheet.reset_dimensions()
    rows = sheet.iter_rows()
    while True:
        try:
            row = next(rows, None)
        except Exception:
            raise _Damaged("the workbook is damaged at this line") from None
        if row is None:
            return
        yield row


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, str):
        if cell.data_type == "e":
            return Wrong(f"the cell shows the error `{printable(value, 20)}`")
        return plain(value)
    if isinstance(value, float):
        return value or 0.0
    if value is None or isinstance(value, int):
        return value
    return _time_text(value, cell.number_format)


def _width_of(row: Sequence[Any]) -> int:
    """Return how many cells a row has up to the last one with a value."""
    width = len(row)
    while width and row[width - 1].value is None:
        width -= 1
    return width


def _computed(value: Any, cell: Any, formula: Any) -> Any:
    if value is None and formula.data_type == "f" and cell.data_type != "str":
        return Wrong(
            "a formula without a result: open the file in a spreadsheet program and save it"
        )
    return value


def _time_text(value: Any, shape: str | None) -> Any:
    """Return dates and times in the format of queries; a date has a format without a time."""
    if isinstance(value, datetime):
        clock = set(_NO_CLOCK.sub("", shape or "").lower()) & {"h", "s"}
        if value.time() == time() and not clock:
            return value.date().isoformat()
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        if value.microsecond:
            return value.isoformat(timespec="milliseconds")
        return value.isoformat(timespec="seconds" if value.second else "minutes")
    if isinstance(value, timedelta):
        return _duration(value)
    return Wrong(f"a value of a type that cannot be imported (`{printable(type(value).__name__)}`)")


def _duration(value: timedelta) -> str:
    """Return hours, minutes and seconds, with milliseconds if any: `-27:05:09.250`."""
    milliseconds = round(value / timedelta(milliseconds=1))
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    seconds, milliseconds = divmod(milliseconds, 1_000)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{clock}.{milliseconds:03}" if milliseconds else clock


def write(place: Path | IO[bytes], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a workbook of one sheet. Raises `Unreadable` for values that a sheet cannot hold."""
    book = _openpyxl().Workbook(write_only=True)
    from openpyxl.cell import WriteOnlyCell

    sheet = book.create_sheet(SHEET)
    sheet.freeze_panes = "A2"

    def cell(value: Any, number: int, column: int) -> Any:
        if _is_longer(value):
            return typed(repr(value), "n")
        if value.__class__ is not str:
            return value
        text = spelled_out(value)
        if len(text) > MAX_TEXT:
            raise Unreadable(
                f"line {number}, `{printable(header[column])}`: the text has {len(text)} "
                f"characters, but a cell of a spreadsheet can have at most {MAX_TEXT}: export "
                "as CSV"
            )
        # `#N/A` is text here, although it looks like an error.
        return typed(text, "s") if text[:1] == "#" else text

    def typed(text: str, kind: str) -> Any:
        made = WriteOnlyCell(sheet, text)
        made.data_type = kind
        return made

    try:
        sheet.append([cell(name, 1, at) for at, name in enumerate(header)])
        for number, row in enumerate(rows, 2):
            if number > MAX_LINES:
                raise Unreadable(f"a sheet can have at most {MAX_LINES} lines: export as CSV")
            sheet.append([cell(value, number, at) for at, value in enumerate(row)])
    finally:
        # Even if it is incomplete, because the library keeps a temporary file until it is saved.
        book.save(place)


def _is_longer(value: Any) -> bool:
    """Whether a number may have more digits than the 16 that the library writes."""
    if value.__class__ is int:
        return not -(10**15) < value < 10**15
    return value.__class__ is float and float(f"{value:.16g}") != value
