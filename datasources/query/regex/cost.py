"""How large the automaton of a pattern becomes, before any engine draws it.

A database draws it for each text anew, and PostgreSQL takes seconds to draw some that are written
in a few characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What all bounds may multiply a pattern to.
MAX_SIZE = 1_000
# PostgreSQL draws an arc past everything that may be empty, and takes seconds where those are many
# in a row.
MAX_ARCS = 10_000
# What an anchor or the edge of a word counts for, and again in what is repeated and may be empty:
# PostgreSQL has to break each loop that they make.
ANCHOR_ARCS = 10
ANCHOR_LOOPS = 20
# RE2 writes out each range of a set as often as the set is repeated: half a microsecond each.
MAX_WRITTEN = 100_000


@dataclass(frozen=True, slots=True)
class Cost:
    """How large the automaton of a part of a pattern is."""

    # Its characters, with its repetitions written out.
    size: int = 1
    # All its arcs, and those that lead into it.
    arcs: int = 1
    into: int = 1
    # How many places it can end in.
    ends: int = 1
    # Whether it can be empty, and whether it can be anything else.
    nullable: bool = False
    wide: bool = True
    # Whether there is an anchor in it.
    anchored: bool = False
    # Its ranges of characters, with its repetitions written out.
    written: int = 1

    def then(self, other: Cost) -> Cost:
        """The cost of this part and another one behind it."""
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
        """The cost of this part, repeated; `high` None: any number of times."""
        count = max(low, high or 1, 1)
        # With parts that can be empty, every repetition can follow on every other.
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
# A character, and what stands between two.
ONE = Cost()
ANCHOR = Cost(1, ANCHOR_ARCS, ANCHOR_ARCS, 1, True, False, True)


def one_of(costs: Sequence[Cost]) -> Cost:
    """The cost of alternatives."""
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
