"""How the store asks the database: one statement at a time, within the time limit, rows as text."""

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
from ..database.connection import alias, atomic, connection
from ..database.health import was_cancelled
from ..errors import Busy, Malformed
from ..models import Entry
from ..query.where import Node
from ..query.where.containment import is_indexable
from ..sql import Sql
from ..values.codec import loads, restore_large_doubles

TABLE = Entry._meta.db_table
# Characters of a statement's parameters that it holds already: a driver copies each.
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
    """The database in use, as the query language knows it. It stays the same for a process, and a
    request asks often.
    """
    return DIALECTS[connection.vendor]


def run(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement. Raises `Busy` where SQLite takes too long, and `Malformed` where a
    client's long texts stand in it again and again, for each join and each way to the rows.
    """
    if _repeated(params) > _MAX_REPEATED:
        raise Malformed("the request asks for too much together; shorter texts, or fewer joins")
    with connection.cursor() as cursor, sqlite_time_limit():
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _repeated(params: Sequence[Any]) -> int:
    """The characters of the texts that stand in the parameters again, if they are many."""
    texts = [param for param in params if param.__class__ is str]
    whole = sum(map(len, texts))
    if whole <= _MAX_REPEATED:
        return 0
    return whole - sum(map(len, {id(text): text for text in texts}.values()))


def release_connection() -> None:
    """Let others have the connection while nothing is asked of it, where it is one of a pool, or
    made for a request alone; in a transaction it stays.
    """
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


class _Limit(threading.local):
    """The moment, by `time.monotonic`, at which the reads of this thread have to end."""

    until: float | None = None


_limit = _Limit()
TOO_LONG = "the query took too long; ask for less"


@contextmanager
def read_time_limit(seconds: float) -> Iterator[None]:
    """All that is asked inside takes no longer than that, and writes nothing; a transaction that
    is open goes on as it was. Raises `Busy`.
    """
    if connection.vendor == "sqlite":
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
            # Back to the time limit of before, and to a transaction that may write. Its own ends
            # with that anyway, and is not rolled back: the driver would forget every statement
            # that it has had prepared.
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
    """SQLite has no time limit of its own: it asks, every so many steps, whether to go on, and so
    do our functions. Raises `Busy`.
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
    """A data source's rows alone."""
    return Sql("data_source_id=%s", (source_id,))


def by_id(source_id: int, descending: bool = False, last: int | None = None) -> tuple[Sql, str]:
    """A data source's rows for those who read the first ones by id, with the order to read them in;
    `last`: only those behind this id.

    As a range, and by the data source as well, so that PostgreSQL has one index for it: it would
    walk all rows of all data sources by id, where it takes those of this one to be everywhere.
    """
    sign, opposite = ("<", ">") if descending else (">", "<")
    direction = " DESC" if descending else ""
    if connection.vendor == "sqlite":
        behind = Sql("") if last is None else Sql(f" AND id{sign}%s", (last,))
        within = of_source(source_id)
        return Sql(within.text + behind.text, within.params + behind.params), f"id{direction}"
    order = f"data_source_id{direction},id{direction}"
    if last is None:
        return Sql("data_source_id>=%s AND data_source_id<=%s", (source_id, source_id)), order
    # As a pair, so that the index is entered there, and not read from its beginning.
    text = f"(data_source_id,id){sign}(%s,%s) AND data_source_id{opposite}=%s"
    return Sql(text, (source_id, last, source_id)), order


def condition_of(source_id: int, where: Node, sought: bool | None = None) -> Sql:
    """The condition for the rows of a data source that fit a where.

    `sought` is the answer of `is_indexable`, if the caller has asked already. If the index over
    whole rows finds them, it knows the data source as well. The planner is not to weigh the list of
    all rows of the data source then, which is far longer.
    """
    if is_indexable(where, dialect().name) if sought is None else sought:
        found = where_sql(where, dialect(), source_id)
        return Sql(f"data_source_id+0=%s AND {found.text}", (source_id, *found.params))
    found = where_sql(where, dialect())
    return Sql(f"{of_source(source_id).text} AND {found.text}", (source_id, *found.params))


def restore_numbers(texts: list[str]) -> list[str]:
    """JSON texts with their numbers as they went in."""
    if dialect().name == "postgresql":
        return [restore_large_doubles(text) for text in texts]
    return texts


def stored(row: tuple[Any, ...]) -> StoredEntry:
    """An entry out of its id, row as text, times and order."""
    text = restore_numbers([row[1]])[0]
    return StoredEntry(row[0], loads(text), _time(row[2]), _time(row[3]), row[4])


def _time(value: Any) -> datetime:
    """A time as the database gave it, in UTC. SQLite stores UTC without an offset, and gives text
    or a naive `datetime`.
    """
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
