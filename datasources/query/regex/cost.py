"""Estimates the size of a pattern's automaton before any engine builds it.

A database builds it again for each text, and PostgreSQL takes seconds for some patterns of only a
few characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The largest size of a pattern with all repetitions expanded.
MAX_SIZE = 1_000
# PostgreSQL adds an arc past every part that may be empty, and takes seconds if there are many such
# parts in a row.
MAX_ARCS = 10_000
# How many arcs an anchor or a word boundary counts as, and the factor inside a repetition that may
# be empty: PostgreSQL has to break each loop that they form.
ANCHOR_ARCS = 10
ANCHOR_LOOPS = 20
# RE2 expands each range of a set as often as the set is repeated, at half a microsecond each.
MAX_WRITTEN = 100_000


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of the automaton for a part of a pattern."""

    # Its characters, with repetitions expanded.
    size: int = 1
    # All its arcs, and those that lead into it.
    arcs: int = 1
    into: int = 1
    # The number of its end states.
    ends: int = 1
    # Whether it can match the empty text, and whether it can match anything else.
    nullable: bool = False
    wide: bool = True
    # Whether it contains an anchor.
    anchored: bool = False
    # Its ranges of characters, with repetitions expanded.
    written: int = 1

    def then(self, other: Cost) -> Cost:
        """Return the cost of this part followed by another one."""
        return Cost(
            self.size + other.size,
            self.arcs + other.arcs + self.ends * other.into,
            self.into + (other.into if self.nullable else 0),
            other.ends + (self.ends if other.nullable else 0),
            self.nullable and other.nullable,
            self.wide or other.wide,
            self.anchored or other.anchored,
            self.written + other.written,
        )

    def times(self, low: int, high: int | None) -> Cost:
        """Return the cost of this part, repeated; `high` is None for any number of times."""
        count = max(low, high or 1, 1)
        # If a part can be empty, every repetition can follow every other.
        joins = count * count // 2 * self.ends if self.nullable else count
        loops = ANCHOR_LOOPS * count if self.nullable and self.anchored else 1
        return Cost(
            self.size * count,
            (self.arcs * count + joins * self.into) * loops,
            self.into * (count if self.nullable else count - low + 1),
            self.ends * count if self.nullable else self.ends,
            self.nullable or low == 0,
            self.wide,
            self.anchored,
            self.written * count,
        )


NO_COST = Cost(0, 0, 0, 0, True, False, False, 0)
# A character, and a position between two characters.
ONE = Cost()
ANCHOR = Cost(1, ANCHOR_ARCS, ANCHOR_ARCS, 1, True, False, True)


def one_of(costs: Sequence[Cost]) -> Cost:
    """Return the cost of alternatives."""
    return Cost(
        sum(cost.size for cost in costs),
        sum(cost.arcs for cost in costs),
        sum(cost.into for cost in costs),
        1,
        any(cost.nullable for cost in costs),
        any(cost.wide for cost in costs),
        any(cost.anchored for cost in costs),
        sum(cost.written for cost in costs),
    )
