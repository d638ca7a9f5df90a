"""Limits the size of all wheres of one request, including those of its joins."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import Malformed
from ..regex.compile import Regex

MAX_CONDITIONS = 10_000
# Logical operators, several of them around each condition: to parse them takes as long.
MAX_OPERATORS = 20_000
# As many as a row has columns: for a database, each costs as much as many conditions on one column.
MAX_NAMES = 1_000
# One unit is about 20 µs that a process takes to compile a pattern. A pattern counts its
# characters, its size with all repetitions expanded, a fortieth for each range of characters, and
# a constant. The same pattern counts once, because it is compiled once.
MAX_PATTERNS, A_RANGE, A_PATTERN = 5_000, 1 / 40, 50


@dataclass(slots=True)
class Budget:
    """Counts what the wheres of a request have used so far."""

    wheres: int = 0
    conditions: int = 0
    operators: int = 0
    names: int = 0
    patterns: int = 0
    _compiled: set[Regex] = field(default_factory=set)

    def add_where(self) -> None:
        """Count another where, which is parsed next."""
        self.wheres += 1

    def add_conditions(self, count: int) -> None:
        """Count conditions, or members of lists. Raises `Malformed` over the limit."""
        self.conditions += count
        if self.conditions > MAX_CONDITIONS:
            raise self._problem(f"has more than {MAX_CONDITIONS} conditions or list members")

    def add_operator(self) -> None:
        """Count a logical operator. Raises `Malformed` over the limit."""
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise self._problem(f"has more than {MAX_OPERATORS} logical operators")

    def add_name(self) -> None:
        """Count a column or path. Raises `Malformed` over the limit."""
        self.names += 1
        if self.names > MAX_NAMES:
            raise self._problem(f"names more than {MAX_NAMES} columns and paths")

    def add_pattern(self, regex: Regex) -> None:
        """Count a compiled pattern. Raises `Malformed` over the limit."""
        if regex in self._compiled:
            return
        self._compiled.add(regex)
        own = len(regex.source) + A_PATTERN
        self.patterns += own + regex.cost.size + int(regex.cost.written * A_RANGE)
        if self.patterns > MAX_PATTERNS:
            raise self._problem(
                "has patterns that are too large in total: use fewer or shorter patterns, or "
                "fewer repetitions"
            )

    def share(self) -> float:
        """Return the highest used fraction of any limit; 1 is all of it."""
        return max(
            self.conditions / MAX_CONDITIONS,
            self.operators / MAX_OPERATORS,
            self.patterns / MAX_PATTERNS,
        )

    def _problem(self, why: str) -> Malformed:
        before = ", together with the previous ones," if self.wheres > 1 else ""
        return Malformed(f"`where`{before} {why}")
