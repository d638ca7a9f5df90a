"""What CSV and XLSX files have in common for their reader: numbered lines of cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .problems import Problem

# Characters of a cell.
MAX_CELL = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: cells as the file has them, and the number of its (first) line."""

    number: int
    cells: Sequence[Any]


class LineFile(Protocol):
    """A file that can be read line by line, from its beginning, any number of times."""

    # What the user should know about how it is read.
    notes: list[str]

    @property
    def fraction(self) -> float | None:
        """How much has been read, from 0 to 1; None where that cannot be known."""
        ...

    def lines(self) -> Generator[Line | Problem]:
        """The lines that are not blank, and in their place what cannot be read."""
        ...
