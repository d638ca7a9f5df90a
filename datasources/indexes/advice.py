"""Index advice: which indexes would have helped recent queries. Counted in memory, then stored.

Only names of declared columns and kinds of queries are counted, never a value. Nothing is written
while a request is answered; what a process has not written when it ends is lost.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic

from django.db import DatabaseError
from django.utils import timezone

from ..conf import setting
from ..database.background import Worker
from ..database.connection import atomic, connection
from ..models import DataSource, WantedIndex
from ..query.where import Node
from ..query.where.ranges import key_ranges
from ..query.where.trigrams import trigram_patterns

EQUALITY, RANGE, ORDER, PART = "equality", "range", "order", "text search"
KINDS = (EQUALITY, RANGE, ORDER, PART)
RECENT_DAYS = 30
_MAX_COUNTED = 1_000
_TABLE = WantedIndex._meta.db_table
_SOURCES = DataSource._meta.db_table
_counted: Counter[tuple[int, str, str]] = Counter()
_lock = threading.Lock()
_written = monotonic()
_log = logging.getLogger("rowkeeper.indexes")


def record(source_id: int, columns: Iterable[tuple[str, str]]) -> None:
    """Count the indexes that would have helped a query: (column, kind) pairs."""
    for column, kind in columns:
        key = (source_id, column, kind)
        if key in _counted or len(_counted) < _MAX_COUNTED:
            _counted[key] += 1


def wanted_by(where: Node, equality: bool) -> list[tuple[str, str]]:
    """Return the indexes that would help a where, as (column, kind).

    `equality`: include equalities; otherwise the index over whole rows answers them.
    """
    found = [(column, PART) for column, _ in trigram_patterns(where)]
    for column, span in key_ranges(where).items():
        if span.points is None:
            found.append((column, RANGE))
        elif equality:
            found.append((column, EQUALITY))
    return found


def wake() -> None:
    """Let a thread store the counts if it is time. Called after each request."""
    if _is_time():
        _worker.wake()


def _is_time() -> bool:
    if not _counted:
        return False
    pause = setting("INDEX_ADVICE_SECONDS")
    return pause is not None and monotonic() - _written >= pause


def flush() -> None:
    """Store the counts if it is time. They are lost if the database fails."""
    global _written
    if not _is_time():
        return
    if _lock.acquire(blocking=False):
        try:
            _written = monotonic()
            _write()
        except DatabaseError as error:
            _log.warning(
                "the record of indexes that recent queries would have used was lost: %s", error
            )
        finally:
            _lock.release()


def _write() -> None:
    found = dict(_counted)
    _counted.clear()
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO {_TABLE} (data_source_id,"column",kind,times,last_at) '
            f"SELECT id,%s,%s,%s,%s FROM {_SOURCES} WHERE id=%s "
            'ON CONFLICT (data_source_id,"column",kind) '
            f"DO UPDATE SET times={_TABLE}.times+excluded.times,last_at=excluded.last_at",
            [(column, kind, times, now, key) for (key, column, kind), times in found.items()],
        )
    old = timezone.now() - timedelta(days=RECENT_DAYS)
    WantedIndex.objects.filter(last_at__lt=old).delete()


_worker = Worker("wanted indexes", lambda last: flush())
os.register_at_fork(after_in_child=_worker.reset)


def advice(source: DataSource) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return (column, [(kind, times)]) of the indexes that recent queries still miss.

    The column that would help most often comes first.
    """
    since = timezone.now() - timedelta(days=RECENT_DAYS)
    hidden = {*source.indexed_columns, *source.secret_columns}
    found: dict[str, list[tuple[str, int]]] = {}
    for row in WantedIndex.objects.filter(data_source=source, last_at__gte=since):
        if row.column in source.columns and row.column not in hidden:
            found.setdefault(row.column, []).append((row.kind, row.times))
    return sorted(found.items(), key=lambda item: (-sum(n for _, n in item[1]), item[0]))
