"""Problems of a file, by line: several are collected, and if there are any, nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Malformed
from ..values.validation import printable

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be imported, with the line of the file on which it begins."""

    line: int
    message: str
    column: str | None = None
    # The rest of the file cannot be read, or would only repeat this problem.
    fatal: bool = False

    def __str__(self) -> str:
        place = f", `{printable(self.column)}`" if self.column is not None else ""
        return f"line {self.line}{place}: {self.message}"


class Unreadable(Malformed):
    """A file is not a table, or is not accepted for another reason."""


class Refused(Malformed):
    """Lines of a file cannot be imported; nothing was imported."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))
