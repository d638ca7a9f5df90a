"""How much the wheres of one request may ask for, those of its joins together with its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import Malformed
from .regex import Regex

MAX_CONDITIONS = 10_000
# As many as a row has columns; each costs a database what many conditions on one column do.
MAX_NAMES = 1_000
# To compile a pattern takes a process a microsecond for each of its characters, up to ten for each
# part of its automaton, and some for the pattern itself; the same pattern is compiled once.
MAX_PATTERNS, A_PATTERN = 5_000, 20


@dataclass(slots=True)
class Budget:
    """What has been asked for so far."""

    wheres: int = 0
    conditions: int = 0
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
        self.patterns += len(regex.source) + regex.size + A_PATTERN
        if self.patterns > MAX_PATTERNS:
            raise self._problem(
                "has patterns that are too large together: fewer of them, shorter ones, or less "
                "that is repeated many times"
            )

    def _problem(self, why: str) -> Malformed:
        before = ", with those before it," if self.wheres > 1 else ""
        return Malformed(f"`where`{before} {why}")
