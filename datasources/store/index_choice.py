"""Chooses the index that finds the fewest rows, by counting in each of them up to a bound.

The statistics of the databases cannot answer this: SQLite gathers none by itself, and PostgreSQL
plans a statement once for all values.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..sql import Sql, concat, separated
from . import statistics
from .statements import TABLE, run
from .statistics import Key

# How many rows are counted in each index at first and at most, and the factor between two rounds.
FIRST, LAST, FACTOR = 64, 20_000, 16


def narrowest(key: Key, lookups: Mapping[str, Sql]) -> str:
    """Return the name of the index that finds about the fewest rows.

    `key`: the key under which the choice is remembered. `lookups`: the condition of each index, by
    its name. If all of them find many rows, the first one is chosen.
    """
    known = statistics.narrowest.recall(key)
    if known is not None and not known[1] and known[0] in lookups:
        statistics.narrowest.use(key)
        return known[0]
    found = _counted(lookups)
    statistics.narrowest.record(key, found)
    return found


def is_still_chosen(key: Key, name: str) -> bool:
    """Whether the index would be chosen again without counting."""
    known = statistics.narrowest.recall(key)
    if known is None or known[1]:
        return False
    statistics.narrowest.use(key)
    return known[0] == name


def _counted(lookups: Mapping[str, Sql]) -> str:
    most = FIRST
    while most <= LAST:
        head = f"(SELECT count(*) FROM (SELECT 1 FROM {TABLE} WHERE "
        counts = [concat(head, one, f" LIMIT {most:d}) AS c)") for one in lookups.values()]
        (row,) = run(concat("SELECT ", separated(",", counts)))
        fewest, name = min(zip(row, lookups, strict=True), key=lambda pair: int(pair[0]))
        if fewest < most:
            return name
        most *= FACTOR
    return next(iter(lookups))
