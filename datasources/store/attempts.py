"""Attempts at the first rows of a request: lookups and walks in turn, each with a larger bound.

With these bounds, the attempt that succeeds takes at most about 3 times as long as the best plan
would, and all attempts before it together add at most as much again. The next reads of the same
where begin with the attempt that succeeded, and from time to time with the one before it, because
rows come and go.

A lookup in the index over whole rows reads everything that the index finds before it can stop. If
that was more than the bound, requests with other values of the same columns begin with a short
walk.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..query.select import OrderTerm
from ..query.where import Field
from ..query.where.ranges import conjuncts
from . import statistics
from .index_choice import is_still_chosen
from .scan import Scan, ScanRequest
from .statements import dialect

# The number of rows that the first lookup reads, and the factor by which each later one reads more.
FIRST, FACTOR = 256, 4
# How many times as many rows a walk may pass as the lookup before it reads: by id, by a column, and
# by a column descending, where rows with the same value are sorted by id. The factors are about
# twice the number of rows that a walk passes while a lookup reads one: 5, 2 and 1.5 on PostgreSQL;
# 1.5, 1 and 0.5 on SQLite.
WALKED = {"postgresql": (12, 4, 3), "sqlite": (3, 2, 1)}
# The note of a walk that has passed every row.
ENDED = -1
# More rows than any data source has.
ALL = 10**15


def is_walk(attempt: int) -> bool:
    """Whether an attempt is a walk rather than a lookup."""
    return attempt % 2 == 1


def bound(attempt: int, order: Sequence[OrderTerm] = ()) -> int:
    """Return how many rows an attempt may read; `order` is that of a walk."""
    rows = int(FIRST * FACTOR ** (attempt // 2))
    if is_walk(attempt):
        by_id, ascending, descending = WALKED[dialect().name]
        by_column = descending if order and order[0].descending else ascending
        rows *= by_column if order and order[0].is_column else by_id
    return min(rows, ALL)


def expected(request: ScanRequest) -> int:
    """Return the number of the attempt to begin with; -1 is the walk before the first lookup."""
    least = _least(request.first or 0)
    if not statistics.attempts and not statistics.common:
        # The usual case: nothing is recorded for any where.
        return least
    least -= _is_common(request)
    found = statistics.attempts.recall(_key(request))
    if found is None:
        return least
    attempt, is_due = found
    return max(least, attempt - is_due)


def _least(first: int) -> int:
    """Return the first lookup whose bound holds `first` rows, skipped rows included."""
    least, rows = 0, FIRST
    while rows < first and rows < ALL:
        least, rows = least + 2, rows * FACTOR
    return least


def is_complete(rows: Scan, found: int, wanted: int | None, note: int | None) -> bool:
    """Whether an attempt has found all rows that the request wants.

    `found`: how many of the `wanted` rows it returned. `note`: of a lookup, how many rows the index
    found; of a walk, `ENDED` if it has passed every row, and otherwise, if it has several parts,
    the value of `part` in the last row.
    """
    if rows.request is None:
        return True
    if rows.hits is not None:
        assert note is not None
        return note <= bound(rows.attempt)
    # A row behind the bound could sort before the rows that another part returned.
    return note == ENDED or (found == wanted and (not rows.has_parts or note == 1))


def is_still_expected(rows: Scan) -> bool:
    """Whether a scan that was planned earlier would be planned the same way now."""
    if rows.chosen is not None and not is_still_chosen(*rows.chosen):
        return False
    return rows.request is None or expected(rows.request) == rows.attempt


def remember(rows: Scan, complete: bool, note: int | None) -> None:
    """Record the outcome of an attempt, so that later reads of the same where begin with it."""
    if rows.request is None:
        return
    attempt = rows.attempt
    if not complete:
        if rows.is_unbounded:
            statistics.common.record(_columns_of(rows.request), True)
        statistics.attempts.record(_key(rows.request), attempt + 1)
        return
    if rows.hits is not None and note is not None:
        while attempt and note <= bound(attempt - 2):
            attempt -= 2
    if attempt == 0 and not statistics.attempts and not statistics.common:
        # The usual case: nothing is recorded for any where, and there is nothing to record.
        return
    key = _key(rows.request)
    known = statistics.attempts.recall(key) if statistics.attempts else None
    if attempt == 0 and not _is_still_common(rows.request, known is not None and known[0] > 0):
        if known is not None:
            statistics.attempts.forget(key)
    elif known is None or known[0] != attempt:
        statistics.attempts.record(key, attempt)
    else:
        statistics.attempts.use(key)


def _is_common(request: ScanRequest) -> bool:
    """Whether an earlier lookup by these columns found too many rows."""
    if not statistics.common:
        return False
    found = statistics.common.recall(_columns_of(request))
    return found is not None and not found[1]


def _is_still_common(request: ScanRequest, had_too_many: bool) -> bool:
    """Whether `_is_common` still holds, after a lookup that found few rows.

    `had_too_many`: an earlier lookup of the same where found too many.
    """
    if not _is_common(request):
        return False
    columns = _columns_of(request)
    if had_too_many:
        statistics.common.forget(columns)
        return False
    statistics.common.use(columns)
    return True


def _columns_of(request: ScanRequest) -> statistics.Key:
    """Return a key of the operators and columns of a where, without the values."""
    items = [
        (item.op, *item.path) if isinstance(item, Field) else (type(item).__name__,)
        for item in conjuncts(request.where)
    ]
    return (request.source.id, *sorted(items), tuple(request.order[:1]), request.place is not None)


def _key(request: ScanRequest) -> statistics.Key:
    return statistics.key_of(
        request.source, request.where, request.order, request.place is not None
    )
