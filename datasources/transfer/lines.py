"""What CSV and XLSX files share: numbered lines of cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .problems import Problem

# The most characters of a cell.
MAX_CELL = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: its cells, and the number of its (first) line in the file."""

    number: int
    cells: Sequence[Any]


class LineFile(Protocol):
    """A file that can be read line by line, from its beginning, any number of times."""

    # What the user should know about how the file is read.
    notes: list[str]

    @property
    def fraction(self) -> float | None:
        """The fraction that has been read, from 0 to 1; None if it is unknown."""
        ...

    def lines(self) -> Generator[Line | Problem]:
        """Yield the lines that are not blank, or a problem in place of an unreadable one."""
        ...
