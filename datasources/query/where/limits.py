"""How much the wheres of one request may ask for, those of its joins together with its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import Malformed
from ..regex.compile import Regex

MAX_CONDITIONS = 10_000
# `$not`, `$and` and their like, several around each condition: to read them takes as long.
MAX_OPERATORS = 20_000
# As many as a row has columns; each costs a database what many conditions on one column do.
MAX_NAMES = 1_000
# Each stands for about 20 µs that a process takes to compile a pattern: its characters, what it is
# with its repetitions written out, of which a range of characters counts a fortieth, and what any
# pattern takes. The same one is compiled once.
MAX_PATTERNS, A_RANGE, A_PATTERN = 5_000, 1 / 40, 50


@dataclass(slots=True)
class Budget:
    """What has been asked for so far."""

    wheres: int = 0
    conditions: int = 0
    operators: int = 0
    names: int = 0
    patterns: int = 0
    _compiled: set[Regex] = field(default_factory=set)

    def add_where(self) -> None:
        """One more is read, from here on."""
        self.wheres += 1

    def add_conditions(self, count: int) -> None:
        """So many more conditions, or members of lists. Raises `Malformed`."""
        self.conditions += count
        if self.conditions > MAX_CONDITIONS:
            raise self._problem(f"has more than {MAX_CONDITIONS} conditions or list members")

    def add_operator(self) -> None:
        """One more logical operator. Raises `Malformed`."""
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise self._problem(f"has more than {MAX_OPERATORS} logical operators")

    def add_name(self) -> None:
        """One more column or path. Raises `Malformed`."""
        self.names += 1
        if self.names > MAX_NAMES:
            raise self._problem(f"names more than {MAX_NAMES} columns and paths")

    def add_pattern(self, regex: Regex) -> None:
        """A pattern that was compiled. Raises `Malformed`."""
        if regex in self._compiled:
            return
        self._compiled.add(regex)
        own = len(regex.source) + A_PATTERN
        self.patterns += own + regex.cost.size + int(regex.cost.written * A_RANGE)
        if self.patterns > MAX_PATTERNS:
            raise self._problem(
                "has patterns that are too large together: fewer of them, shorter ones, or less "
                "that is repeated many times"
            )

    def share(self) -> float:
        """How much of it is taken: 1 is all of what a request has of something."""
        return max(
            self.conditions / MAX_CONDITIONS,
            self.operators / MAX_OPERATORS,
            self.patterns / MAX_PATTERNS,
        )

    def _problem(self, why: str) -> Malformed:
        before = ", with those before it," if self.wheres > 1 else ""
        return Malformed(f"`where`{before} {why}")
