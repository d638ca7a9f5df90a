"""What is wrong with a file, by line: several things at once, and then nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Malformed
from ..values.validation import printable

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be imported, and the line of the file that it begins on."""

    line: int
    message: str
    column: str | None = None
    # What comes after it cannot be read, or would only say the same again.
    fatal: bool = False

    def __str__(self) -> str:
        place = f", `{printable(self.column)}`" if self.column is not None else ""
        return f"line {self.line}{place}: {self.message}"


class Unreadable(Malformed):
    """A file that is no table at all, or that is not taken for another reason."""


class Refused(Malformed):
    """Lines of a file cannot be imported; nothing was."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))
