"""Entries by the thousand, as JSON text: read in pages, one of which is in memory at a time.

Each page is a separate statement, which tests the whole where. An entry that changes between two
pages is answered with its new data, or left out if it no longer matches; no entry comes twice.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..catalog.registry import Source
from ..compiler.projection import order_sql
from ..compiler.where import where_sql
from ..database.connection import atomic, connection, features
from ..query.select import Projection, Select
from ..query.where import Node
from ..sql import Sql, concat, separated
from ..values.validation import MAX_INTEGER
from .planner import following, plan_scan
from .read import entry_text_of, hits_of, is_all, part, read_rows, select
from .scan import Scan, ScanRequest
from .statements import TABLE, dialect, of_source, restore_numbers, sqlite_time_limit

PAGE = 1_000
# How many ids are fetched at a time.
_KEYS = 10_000


def is_long(query: Select) -> bool:
    """Whether the entries of a request may be too many to hold in memory at once."""
    return query.limit is None or query.limit > PAGE


# Returns the where and the columns for the next page.
Again = Callable[[], tuple[Node, Projection]]


def pages(
    source: Source, query: Select, where: Node, shown: Projection, again: Again | None = None
) -> Iterator[list[str]]:
    """Yield the entries that `store.select` gives, as JSON texts, a page at a time.

    The last page has fewer than `PAGE` entries, and may be empty. Nothing is counted.

    `again` is called before each page but the first, and returns the where and the columns for it.
    Raises `Busy` if a page takes too long, and what `again` raises.
    """
    again = again or (lambda: (where, shown))
    return (_in_order if query.order else _by_id)(source, query, where, shown, again)


def stream(source: Source, where: Node, shown: Projection) -> Iterator[str]:
    """Yield every entry that `where` matches, by id, as JSON text."""
    for page in pages(source, Select(), where, shown):
        yield from page


def _by_id(
    source: Source, query: Select, where: Node, shown: Projection, again: Again
) -> Iterator[list[str]]:
    last, offset, left, full = 0, query.offset, query.limit, True
    while full:
        text = entry_text_of(query.attributes, shown)
        columns = concat("id,", text)
        size = PAGE if left is None else min(PAGE, left)
        first = min(size + offset, MAX_INTEGER)
        some = ScanRequest(
            source, where, first=first, place=(last,) if last else None, is_repeated=last > 0
        )
        # A plan may return more rows than wanted: if it has several parts, or for few rows.
        tail = Sql(" ORDER BY id LIMIT %s OFFSET %s", (size, offset))
        rows = read_rows(some, columns, tail, size)
        yield restore_numbers([row[1] for row in rows])
        full = len(rows) == PAGE
        last = rows[-1][0] if rows else last
        left, offset = None if left is None else left - len(rows), 0
        if full and plan_scan(replace(some, is_repeated=True)).whole:
            # Page by page, the rows that the index does not cover would be read again each time.
            rest = _ids(source, replace(query, limit=left, offset=0), where, last)
            yield from _by_keys(source, rest, query, again)
            return
        if full:
            where, shown = again()


def _in_order(
    source: Source, query: Select, where: Node, shown: Projection, again: Again
) -> Iterator[list[str]]:
    """Yield pages in the order of the request.

    First all ids are read in order, eight bytes each, then the entries of one page of ids at a
    time. So the sort runs only once and within the time limit, and no transaction stays open for as
    long as a client takes to read.
    """
    limit = PAGE if query.limit is None else min(PAGE, query.limit)
    few = select(source, replace(query, limit=limit), where, shown).entries
    if len(few) < PAGE:
        yield few
        return
    yield from _by_keys(source, _ids(source, query, where), query, again)


def _by_keys(source: Source, keys: array[int], query: Select, again: Again) -> Iterator[list[str]]:
    """Yield the entries with these ids that still match, in pages.

    Entries that are gone do not make a page shorter, except the last one.
    """
    page: list[str] = []
    for at in range(0, len(keys), PAGE):
        some = keys[at : at + PAGE]
        where, shown = again()
        text, exact = entry_text_of(query.attributes, shown), where_sql(where, dialect())
        found = dict(_of_ids(source, some, text, exact))
        page += restore_numbers([found[key] for key in some if key in found])
        if len(page) >= PAGE:
            yield page[:PAGE]
            page = page[PAGE:]
    yield page


def _ids(source: Source, query: Select, where: Node, last: int | None = None) -> array[int]:
    """Return the matching ids in the order of the request; `last`: only those behind this id."""
    first = None if query.limit is None else min(query.limit + query.offset, MAX_INTEGER)
    place = None if last is None else (last,)
    rows = plan_scan(ScanRequest(source, where, query.order, first, place=place))
    order, some = order_sql(dialect(), query.order), part(query)
    tail = concat(order, some)
    while True:
        keys, note = _ids_of(rows, tail)
        if is_all(rows, len(keys), query.limit, note):
            return keys
        rows = following(rows)


def _ids_of(rows: Scan, tail: Sql) -> tuple[array[int], int]:
    """Return the ids that an attempt finds, and the note that `is_complete` expects."""
    keys: array[int] = array("q")
    counter = "(SELECT count(*) FROM hits)" if rows.hits is not None else "part"
    columns = f"id,{counter if rows.hits is not None or rows.has_parts else 0}"
    note = None
    statement = concat(rows.opening, f"SELECT {columns} FROM ", rows.sql, tail)
    with _reading(statement) as cursor:
        while found := cursor.fetchmany(_KEYS):
            keys.extend(row[0] for row in found)
            note = found[-1][1]
    return keys, hits_of(rows) if note is None else note


@contextmanager
def _reading(sql: Sql) -> Iterator[Any]:
    """Open a cursor on the rows of a statement, so that the driver does not hold them all.

    On PostgreSQL the cursor is in a transaction, because the time limit does not cover a cursor
    that outlives one.
    """
    if not features().is_server:
        with connection.cursor() as cursor, sqlite_time_limit():
            cursor.execute(*sql)
            yield cursor
        return
    with atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(*sql)
        yield cursor


def _of_ids(source: Source, page: array[int], text: Sql, exact: Sql) -> Iterable[tuple[int, str]]:
    """Return (id, JSON text) of the entries with these ids that still match."""
    fitting = separated(" AND ", (features().ids_in(page), of_source(source.id), exact))
    with connection.cursor() as cursor, sqlite_time_limit():
        cursor.execute(*concat("SELECT id,", text, f" FROM {TABLE} WHERE ", fitting))
        rows: list[tuple[int, str]] = cursor.fetchall()
    return rows
