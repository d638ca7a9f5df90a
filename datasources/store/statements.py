"""Runs the statements of the store: one at a time, within the time limit, with rows as text."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from django.db import OperationalError, transaction

from ..caching import memoize
from ..compiler import sqlite_functions
from ..compiler.where import DIALECTS, Dialect, where_sql
from ..conf import setting
from ..database.connection import alias, atomic, connection, features
from ..database.features import SQLITE
from ..database.health import was_cancelled
from ..errors import Busy, Malformed
from ..models import Entry
from ..query.where import Node
from ..query.where.containment import is_indexable
from ..sql import Sql, concat
from ..values.codec import loads, restore_large_doubles

TABLE = Entry._meta.db_table
# The most characters of repeated parameters in a statement: a driver copies each of them.
_MAX_REPEATED = 30_000_000


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it is stored."""

    id: int
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    order: int = 0


@memoize(1)
def dialect() -> Dialect:
    """Return the dialect of the database in use.

    It is cached because it is constant in a process, and a request needs it often.
    """
    return DIALECTS[features().name]


def run(sql: Sql) -> list[tuple[Any, ...]]:
    """Return the rows of one statement.

    Raises `Busy` if SQLite takes too long, and `Malformed` if a client's long texts are repeated in
    the statement too often, as each join and each part of a plan repeats them.
    """
    if _repeated(sql.params) > _MAX_REPEATED:
        raise Malformed("the request is too complex; use shorter texts or fewer joins")
    with connection.cursor() as cursor, sqlite_time_limit():
        cursor.execute(*sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _repeated(params: Sequence[Any]) -> int:
    """Return the number of characters in repeated parameters; 0 if all texts together are few."""
    texts = [param for param in params if param.__class__ is str]
    whole = sum(map(len, texts))
    if whole <= _MAX_REPEATED:
        return 0
    return whole - sum(map(len, {id(text): text for text in texts}.values()))


def release_connection() -> None:
    """Give the connection back while no statement runs, if it is pooled or made for one request.

    Inside a transaction, the connection is kept.
    """
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


class _Limit(threading.local):
    """The time, by `time.monotonic`, at which the reads of this thread have to end."""

    until: float | None = None


_limit = _Limit()
TOO_LONG = "the query took too long; send a smaller query"


@contextmanager
def read_time_limit(seconds: float) -> Iterator[None]:
    """Limit the statements inside to `seconds`, and to reads. Raises `Busy` on a timeout.

    The limit is for each statement on PostgreSQL, and for all of them together on SQLite. A
    transaction that is already open continues afterward.
    """
    if not features().is_server:
        _limit.until = monotonic() + seconds
        try:
            yield
        finally:
            _limit.until = None
        return
    try:
        inside = connection.in_atomic_block
        with atomic():
            _bound(seconds)
            yield
            # If a transaction was open, roll back to its time limit and its right to write. A
            # transaction that was opened here ends anyway, and is not rolled back, because the
            # driver would then forget all its prepared statements.
            transaction.set_rollback(inside, using=alias())
    except OperationalError as error:
        if was_cancelled(error):
            raise Busy(TOO_LONG) from None
        raise


def _bound(seconds: float) -> None:
    milliseconds = max(1, int(seconds * 1_000))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout',%s,true),"
            "set_config('transaction_read_only','on',true)",
            [str(milliseconds)],
        )


@contextmanager
def sqlite_time_limit() -> Iterator[None]:
    """Apply the time limit on SQLite, which has none itself. Raises `Busy` on a timeout.

    SQLite calls a progress handler every so many steps, and our SQL functions check the time, too.
    """
    if dialect().name != "sqlite":
        yield
        return
    until = monotonic() + setting("QUERY_SECONDS")
    if _limit.until is not None:
        until = min(until, _limit.until)
    connection.connection.set_progress_handler(lambda: monotonic() > until, 1_000)
    sqlite_functions.limit.until = until
    try:
        yield
    except OperationalError:
        if monotonic() > until:
            raise Busy(TOO_LONG) from None
        raise
    finally:
        sqlite_functions.limit.until = None
        connection.connection.set_progress_handler(None, 0)


def of_source(source_id: int) -> Sql:
    """Return the condition for the rows of one data source."""
    return Sql("data_source_id=%s", (source_id,))


def by_id(source_id: int, descending: bool = False, last: int | None = None) -> tuple[Sql, str]:
    """Return the condition for a data source's rows and the order for reading the first ones by id.

    `last`: only rows behind this id. On PostgreSQL the condition is a range, and the order includes
    the data source, so that one index serves both: otherwise PostgreSQL would walk the rows of all
    data sources by id if it assumes that those of this one are evenly spread.
    """
    sign, opposite = ("<", ">") if descending else (">", "<")
    direction = " DESC" if descending else ""
    if features() is SQLITE:
        behind = Sql("") if last is None else Sql(f" AND id{sign}%s", (last,))
        return concat(of_source(source_id), behind), f"id{direction}"
    order = f"data_source_id{direction},id{direction}"
    if last is None:
        return Sql("data_source_id>=%s AND data_source_id<=%s", (source_id, source_id)), order
    # A row comparison, so that the index is entered at this id and not read from its beginning.
    text = f"(data_source_id,id){sign}(%s,%s) AND data_source_id{opposite}=%s"
    return Sql(text, (source_id, last, source_id)), order


def condition_of(source_id: int, where: Node, indexable: bool | None = None) -> Sql:
    """Return the condition for the rows of a data source that match a where.

    `indexable` is the result of `is_indexable`, if the caller has it already. If the index over
    whole rows finds the rows, it covers the data source as well. `data_source_id+0` then keeps the
    database's planner from using the index of the data source, whose list of rows is far longer.
    """
    if is_indexable(where, dialect().name) if indexable is None else indexable:
        found = where_sql(where, dialect(), source_id)
        return concat(Sql("data_source_id+0=%s AND ", (source_id,)), found)
    return concat(of_source(source_id), " AND ", where_sql(where, dialect()))


def restore_numbers(texts: list[str]) -> list[str]:
    """Undo PostgreSQL's formatting of large doubles, so that numbers read as they were written."""
    if dialect().name == "postgresql":
        return [restore_large_doubles(text) for text in texts]
    return texts


def stored(row: tuple[Any, ...]) -> StoredEntry:
    """Return an entry from a row of id, JSON text, times and order."""
    text = restore_numbers([row[1]])[0]
    return StoredEntry(row[0], loads(text), _time(row[2]), _time(row[3]), row[4])


def _time(value: Any) -> datetime:
    """Convert a time from the database to UTC.

    SQLite stores UTC without an offset, and returns text or a naive `datetime`.
    """
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
