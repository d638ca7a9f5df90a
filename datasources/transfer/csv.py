"""CSV files: read strictly as lines of text cells, and written so that they can be read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .lines import MAX_CELL, Line
from .problems import Problem, Unreadable

DELIMITERS = (",", ";", "\t")
_SAMPLE = 65_536
_SAMPLE_LINES = 20
_WAY_OUT = "save the file as `CSV UTF-8` in the spreadsheet program"


class _NoUtf8(Exception):
    """A line is not UTF-8 text."""


class CsvFile:
    """A CSV file in UTF-8; its delimiter is detected unless it is given."""

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        self._path = path
        self._size = max(1, path.stat().st_size)
        self._read = 0
        sample = _sample(path)
        is_declared = sample[:5] in {f"sep={each}" for each in DELIMITERS} and sample[5:6] in "\r\n"
        self._skipped = 1 if is_declared else 0
        self.delimiter = delimiter or (sample[4] if is_declared else sniffed(sample))
        self.notes: list[str] = []

    @property
    def fraction(self) -> float | None:
        """The fraction of the file that has been read, from 0 to 1."""
        return min(1.0, self._read / self._size)

    def lines(self) -> Generator[Line | Problem]:
        """Yield each line that is not blank, with the number of its first line in the file."""
        # The limit applies to the whole process, so it is only raised, never lowered.
        self._read = 0
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL + 1))
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(self._texts(file), delimiter=self.delimiter, strict=True)
            yield from self._records(reader)

    def _records(self, reader: Any) -> Iterator[Line | Problem]:
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = _problem(number, str(error))
                yield problem
                if problem.fatal:
                    return
                continue
            except _NoUtf8 as error:
                yield Problem(
                    reader.line_num + 1, f"is not UTF-8 text ({error}): {_WAY_OUT}", fatal=True
                )
                return
            if cells and number > self._skipped:
                yield Line(number, cells)

    def _texts(self, file: io.TextIOWrapper) -> Iterator[str]:
        for text in file:
            self._read += len(text)
            if not text.isascii():
                _check_utf8(text)
            yield text


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _NoUtf8(f"byte 0x{ord(text[error.start]) - 0xDC00:02X}") from None


def _problem(line: int, message: str) -> Problem:
    if "unexpected end" in message:
        return Problem(line, "a quote is not closed", fatal=True)
    if "field limit" in message:
        return Problem(
            line, f"a cell has over {MAX_CELL} characters, or a quote is not closed", fatal=True
        )
    return Problem(line, "text follows a closing quote; write a quote inside quotes twice")


def _sample(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable(f"the file is UTF-16 text, expected UTF-8: {_WAY_OUT}")
    return head.decode("utf-8-sig", "replace")


def sniffed(sample: str) -> str:
    """Return the delimiter that gives the most lines of equal width, and of those the widest.

    A delimiter that is followed by a space is likely to be part of prose, and ranks lower.
    """
    best, found = (0.0, 1, False), ","
    for delimiter in DELIMITERS:
        widths = _widths(sample, delimiter)
        if widths and widths[0] > 1:
            alike = widths.count(widths[0]) / len(widths)
            score = (alike, widths[0], f"{delimiter} " not in sample)
            if score > best:
                best, found = score, delimiter
    return found


def _widths(sample: str, delimiter: str) -> list[int]:
    """Return how many cells the first lines have; an empty list if the header cannot be parsed."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=True)
    widths: list[int] = []
    while len(widths) < _SAMPLE_LINES:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            if not widths:
                return []
            break
        if cells:
            widths.append(len(cells))
    return widths


def written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the text of a CSV file, in pieces of some ten thousand characters.

    It begins with a byte order mark, by which spreadsheets recognize UTF-8. The header is always
    quoted, so that nothing in it can be taken for another delimiter.
    """
    buffer = io.StringIO(newline="")
    buffer.write("\ufeff")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow(header)
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow(row)
        if buffer.tell() > _SAMPLE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
