"""A file as rows: checks its header, and turns each line into a row or a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalog.registry import Source
from ..conf import setting
from ..values.codec import dumps
from ..values.validation import (
    MAX_COLUMNS,
    MAX_INTEGER,
    Json,
    printable,
    problem_with_name,
    problem_with_row,
    problem_with_text,
)
from .cells import CSV, ID, MISSING, XLSX, Missing, Notation, name_of
from .csv import CsvFile
from .lines import MAX_CELL, Line, LineFile
from .problems import MAX_PROBLEMS, Problem, Unreadable
from .xlsx.file import Wrong, XlsxFile

FORMATS = ("csv", "xlsx")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read. If `format` is None, its content decides."""

    format: str | None = None
    delimiter: str | None = None
    # Recognize numbers, true, false and JSON in text cells; otherwise all of them are text.
    recognize: bool = True
    # Columns whose values are always text.
    text_columns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a file. Columns without a value are not in `values`."""

    line: int
    values: dict[str, Json]
    # The value of `$id`.
    id: int | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """How the cells of one column are read."""

    name: str
    kind: str

    def value(self, cell: Any, notation: Notation) -> Json | Missing:
        if self.kind == "secret":
            # An export never writes these, so nothing in them is special notation.
            return MISSING if cell in (None, "") else _as_text(cell)
        if isinstance(cell, str):
            return notation.read(cell, self.kind == "any")
        if cell is None:
            return MISSING
        return cell if self.kind == "any" else _as_text(cell)


def _as_text(cell: Any) -> str:
    return cell if isinstance(cell, str) else dumps(cell)


def format_of(path: Path) -> str:
    """Return `csv` or `xlsx`, by the first bytes. Raises `Unreadable` for an old workbook."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("the file is an old or encrypted workbook: save it as XLSX, or as CSV")
    return "xlsx" if head.startswith(b"PK\x03\x04") else "csv"


@dataclass(slots=True)
class Table:
    """An open file: its columns, the problems of its header, and its rows."""

    path: Path
    reading: Reading
    source: Source
    columns: list[str] = field(default_factory=list)
    has_id: bool = False
    header_problems: list[Problem] = field(default_factory=list)
    _id_at: int = -1
    _kinds: list[_Column] = field(default_factory=list)
    _file: LineFile = field(init=False)
    _notation: Notation = field(init=False)
    _lines: Generator[Line | Problem] = field(init=False)

    def __post_init__(self) -> None:
        size = self.path.stat().st_size
        if size > setting("MAX_IMPORT_FILE"):
            raise Unreadable(
                f"the file has {size} bytes; at most {setting('MAX_IMPORT_FILE')} are allowed"
            )
        self._file, self._notation = self._opened()
        self._lines = self._file.lines()
        self._read_header()

    @property
    def fraction(self) -> float | None:
        """The fraction of the file that has been read, from 0 to 1; None if it is unknown."""
        return self._file.fraction

    @property
    def notes(self) -> list[str]:
        """What the user should know about how the file is read."""
        return self._file.notes

    def _opened(self) -> tuple[LineFile, Notation]:
        found = format_of(self.path)
        if self.reading.format not in (None, found):
            names = {"csv": "CSV", "xlsx": "XLSX"}
            expected = names[self.reading.format or found]
            raise Unreadable(f"the file is {names[found]}, expected {expected}")
        if found == "xlsx":
            return XlsxFile(self.path), XLSX
        return CsvFile(self.path, self.reading.delimiter), CSV

    # -- the header

    def _read_header(self) -> None:
        first = next(self._lines, None)
        if first is None:
            raise Unreadable("the file is empty; its first line must name the columns")
        if isinstance(first, Problem):
            self.header_problems.append(first)
            return
        names = [_header_text(cell) for cell in _trimmed(first.cells)]
        self.header_problems.extend(_problems_with_header(first.number, names))
        if ID in names:
            self.has_id, self._id_at = True, names.index(ID)
        self.columns = [name for name in names if name != ID]
        self._kinds = [_Column(name, self._kind_of(name)) for name in names]

    def _kind_of(self, name: str) -> str:
        if name in self.source.secret:
            return "secret"
        if name == ID:
            return "any"
        as_text = not self.reading.recognize or name in self.reading.text_columns
        return "text" if as_text else "any"

    # -- the rows

    def rows(self) -> Iterator[FileRow | Problem]:
        """Yield each row or problem, once; stops after too many problems."""
        if self.header_problems:
            yield from self.header_problems
            return
        wrong = 0
        for count, line in enumerate(self._lines, 1):
            if count > setting("MAX_IMPORT_ROWS") and isinstance(line, Line):
                most = setting("MAX_IMPORT_ROWS")
                yield Problem(line.number, f"a file can have at most {most} rows", fatal=True)
                return
            for item in [line] if isinstance(line, Problem) else self._row(line):
                yield item
                wrong += isinstance(item, Problem)
                if isinstance(item, Problem) and (item.fatal or wrong >= MAX_PROBLEMS):
                    return

    def _row(self, line: Line) -> list[FileRow | Problem]:
        """Return the row of a line, or all its problems."""
        number, cells = line.number, line.cells
        width = len(self._kinds)
        if cells[-1] in (None, ""):
            # Spreadsheets leave lines that consist only of delimiters.
            cells = _trimmed(cells)
        if not cells:
            return []
        if len(cells) > width:
            return [Problem(number, f"has {len(cells)} cells, but the header has {width}")]
        problems: list[FileRow | Problem] = []
        values: dict[str, Json] = {}
        notation = self._notation
        for column, cell in zip(self._kinds, cells, strict=False):
            if isinstance(cell, str) and (len(cell) > MAX_CELL or cell.__class__ is Wrong):
                problems.append(Problem(number, _problem_with_cell(cell), column.name))
            elif (value := column.value(cell, notation)) is not MISSING:
                values[column.name] = value
        return problems or [self._checked(number, values)]

    def _checked(self, number: int, values: dict[str, Json]) -> FileRow | Problem:
        entry_id = values.pop(ID, None)
        if entry_id is not None and not _is_id(entry_id):
            return Problem(number, f"`{printable(entry_id)}` is not the ID of an entry", ID)
        for name, value in values.items():
            # The names are from the header, which was checked.
            if value.__class__ is str:
                problem = problem_with_text(value)
                if problem:
                    return Problem(number, problem, name)
            elif problem := problem_with_row({name: value}):
                return Problem(number, problem)
        return FileRow(number, values, entry_id)  # type: ignore[arg-type]


def _header_text(cell: Any) -> str:
    """Return a header cell as text: a number in a spreadsheet's header becomes its digits."""
    if cell is None or isinstance(cell, Wrong):
        return ""
    return name_of(_as_text(cell))


def _trimmed(cells: Sequence[Any]) -> Sequence[Any]:
    """Return the cells without empty ones at the end."""
    end = len(cells)
    while end and cells[end - 1] in (None, ""):
        end -= 1
    return cells[:end]


def _problems_with_header(line: int, names: list[str]) -> Iterator[Problem]:
    if not names:
        yield Problem(line, "does not name a column", fatal=True)
    if len(names) > MAX_COLUMNS:
        yield Problem(
            line, f"names {len(names)} columns; at most {MAX_COLUMNS} are allowed", fatal=True
        )
        return
    for at, name in enumerate(names, 1):
        if not name:
            yield Problem(line, f"the {_ordinal(at)} column has no name")
        elif name != ID and (problem := problem_with_name(name)):
            yield Problem(line, problem, name)
    for name, times in Counter(name for name in names if name).items():
        if times > 1:
            yield Problem(line, f"is {times} times in the header", name)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else ending}"


def _problem_with_cell(cell: str) -> str:
    if isinstance(cell, Wrong):
        return str(cell)
    return f"has {len(cell)} characters; at most {MAX_CELL} are allowed"


def _is_id(value: Json) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 1 <= value <= MAX_INTEGER  # type: ignore[operator]
