"""Reads entries: as JSON text for an answer, or as values for code that decides and writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..catalog.registry import Source
from ..compiler.projection import distinct_texts, entry_text, order_sql, row_text
from ..compiler.where import where_sql
from ..database.connection import connection, features
from ..query.select import Attributes, Projection, Select
from ..query.where import Node
from ..query.where.containment import is_indexable
from ..sql import Sql, concat
from ..values.codec import dumps, loads
from ..values.ranks import rank
from ..values.validation import MAX_INTEGER
from .attempts import is_complete, remember
from .planner import following, plan_scan
from .scan import Scan, ScanRequest
from .statements import (
    TABLE,
    StoredEntry,
    by_id,
    condition_of,
    dialect,
    restore_numbers,
    run,
    sqlite_time_limit,
    stored,
)

# With a larger offset than this, the ids are read first, and then only the entries of the page.
DEEP = 1_000
# From this offset on, the statement first checks whether there are that many rows at all.
_FAR = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a select: entries as JSON text, and their number without the limit."""

    entries: list[str]
    total: int | None = None


def select(source: Source, query: Select, where: Node, shown: Projection) -> Found:
    """Return the entries that match `where`, in the order and the part that `ask` requests.

    `where` is the client's where together with the rule's; `shown` are the columns that may be
    seen.
    """
    if query.count_only:
        return Found([], count(source, where))
    first = None if query.limit is None else min(query.limit + query.offset, MAX_INTEGER)
    wanted = ScanRequest(source, where, query.order, first)
    text = entry_text_of(query.attributes, shown)
    order, some = order_sql(dialect(), query.order), part(query)
    tail = concat(order, some)
    if query.offset > DEEP:
        texts = _far_down(wanted, text, order, tail, query)
    else:
        texts = [row[0] for row in read_rows(wanted, text, tail, query.limit)]
    return Found(
        restore_numbers(texts),
        _total(source, query, where, len(texts)) if query.with_total else None,
    )


def _total(source: Source, query: Select, where: Node, found: int) -> int:
    """Return the number of entries without the limit; `found`: how many were read."""
    ended = query.limit is None or found < query.limit
    # If nothing was found, the offset may be far behind the last entry.
    if ended and (found or not query.offset):
        return query.offset + found
    return _counted(source, where, is_repeated=True)


def _reaches(source: Source, where: Node, offset: int) -> Sql:
    """Return the condition that more rows match than are skipped; cheaper than a sort."""
    rows = plan_scan(ScanRequest(source, where, is_repeated=True)).sql
    return concat("EXISTS(SELECT 1 FROM ", rows, Sql(" LIMIT 1 OFFSET %s)", (offset,)))


def _far_down(wanted: ScanRequest, text: Sql, order: Sql, tail: Sql, query: Select) -> list[str]:
    """Return the texts of entries behind a large offset. Skipped entries are only ordered."""
    if query.offset >= _FAR:
        # This is evaluated once, before any row is sorted.
        wanted = replace(wanted, more=(_reaches(wanted.source, wanted.where, query.offset),))
    ids = [row[0] for row in read_rows(wanted, Sql("id"), tail, query.limit)]
    answer = run(concat("SELECT ", text, f" FROM {TABLE} WHERE ", features().ids_in(ids), order))
    return [row[0] for row in answer]


def read_rows(
    request: ScanRequest, columns: Sql, tail: Sql, limit: int | None
) -> list[tuple[Any, ...]]:
    """Return `columns` of the rows of a request, by as many attempts as it takes.

    `tail`: ORDER BY, LIMIT and OFFSET; `limit`: how many rows are wanted.
    """
    rows = plan_scan(request)
    while True:
        found, complete = _attempted(rows, columns, tail, limit)
        if complete:
            return found
        rows = following(rows)


def _attempted(
    rows: Scan, columns: Sql, tail: Sql, limit: int | None
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows that an attempt has found, and whether they are all that is wanted."""
    extra = ",(SELECT count(*) FROM hits)" if rows.hits is not None else ",part"
    if rows.hits is None and not rows.has_parts:
        extra = ""
    found = run(concat(rows.opening, "SELECT ", columns, f"{extra} FROM ", rows.sql, tail))
    note: int | None = None
    if extra:
        note = found[-1][-1] if found else hits_of(rows)
        found = [row[:-1] for row in found]
    return found, is_all(rows, len(found), limit, note)


def is_all(rows: Scan, found: int, wanted: int | None, note: int | None) -> bool:
    """Whether an attempt has found all wanted rows; records its outcome.

    Unlike `attempts.is_complete`, this runs a statement to see whether a walk that found too few
    rows has passed every row.
    """
    complete = is_complete(rows, found, wanted, note)
    if not complete and rows.goes_on is not None:
        complete = not run(concat("SELECT ", rows.goes_on))[0][0]
    remember(rows, complete, note)
    return complete


def hits_of(rows: Scan) -> int:
    """Return how many rows the index finds in a lookup that returned none; 0 for a walk."""
    if rows.hits is None or rows.all_fit:
        return 0
    return int(run(concat(rows.opening, "SELECT count(*) FROM hits"))[0][0])


def entry_text_of(attributes: Attributes, shown: Projection) -> Sql:
    """Return the text of an entry: the attributes that `attributes` requests, if they are shown."""
    columns = attributes.columns
    return entry_text(
        dialect(), shown.restricted_to(columns), attributes.fields, columns is None or columns != ()
    )


def part(query: Select) -> Sql:
    """Return LIMIT and OFFSET. SQLite needs a limit before an offset; -1 means no limit."""
    if query.limit is not None:
        return Sql(" LIMIT %s OFFSET %s", (query.limit, query.offset))
    if not query.offset:
        return Sql("")
    return Sql(f" LIMIT {features().no_limit} OFFSET %s", (query.offset,))


def holds_others(source: Source, ids: Iterable[int]) -> bool:
    """Whether the data source has any entry except these."""
    kept = dumps(sorted(set(ids)))
    among = features().ids_in_json
    text = f"SELECT 1 FROM {TABLE} WHERE data_source_id=%s AND id NOT IN ({among}) LIMIT 1"
    return bool(run(Sql(text, (source.id, kept))))


def count(source: Source, where: Node) -> int:
    """Return the number of entries that match `where`."""
    return _counted(source, where, is_repeated=False)


def _counted(source: Source, where: Node, is_repeated: bool) -> int:
    rows = plan_scan(ScanRequest(source, where, is_repeated=is_repeated)).sql
    return int(run(concat("SELECT count(*) FROM ", rows))[0][0])


def distinct(source: Source, where: Node, column: str) -> list[Any]:
    """Return the distinct scalar values of a column, also those in lists, in sort order."""
    head = distinct_texts(dialect(), column)
    head = head._replace(text=head.text.format(entries=TABLE))
    rows = run(concat(head, condition_of(source.id, where)))
    found: dict[Any, Any] = {}
    for text in restore_numbers([row[0] for row in rows]):
        value = loads(text)
        if value is not None and not isinstance(value, dict | list):
            found.setdefault((isinstance(value, bool), value), value)
    return sorted(found.values(), key=_place_in_order)


def _place_in_order(value: Any) -> tuple[int, Any]:
    return (rank(value), value)


def fetch(source: Source, ids: Iterable[int], lock: bool = False) -> dict[int, StoredEntry]:
    """Return the entries with these ids in this data source; `lock` locks them for a write."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    return fetched(source, features().ids_in(wanted), lock)


def fetch_where(
    source: Source, where: Node, lock: bool = False, limit: int | None = None
) -> dict[int, StoredEntry]:
    """Return the matching entries by id; with `limit`, only the first ones."""
    exact = where_sql(where, dialect())
    if not is_indexable(where, dialect().name):
        return fetched(source, exact, lock, limit)
    if limit is None:
        return _fetched(condition_of(source.id, where), "id", lock, limit)
    # If many match, the first ones should not have to wait for all of them.
    tail = Sql(" ORDER BY id LIMIT %s", (limit,))
    ids = [
        row[0] for row in read_rows(ScanRequest(source, where, first=limit), Sql("id"), tail, limit)
    ]
    return fetched(source, concat(features().ids_in(ids), " AND ", exact), lock)


def fetched(
    source: Source,
    condition: Sql,
    lock: bool,
    limit: int | None = None,
    last: int | None = None,
) -> dict[int, StoredEntry]:
    """Return the entries that meet a condition in SQL, by id; `last`: only those behind this id."""
    of_this, order = by_id(source.id, last=last)
    return _fetched(concat(of_this, " AND ", condition), order, lock, limit)


def _fetched(condition: Sql, order: str, lock: bool, limit: int | None) -> dict[int, StoredEntry]:
    some = "" if limit is None else f" LIMIT {limit:d}"
    data = row_text(dialect(), Projection()).text
    wait = features().for_update if lock else ""
    head = f'SELECT id,{data},created_at,updated_at,"order" FROM {TABLE} WHERE '
    with connection.cursor() as cursor, sqlite_time_limit():
        cursor.execute(*concat(head, condition, f" ORDER BY {order}{some}{wait}"))
        rows = cursor.fetchall()
    return {row[0]: stored(row) for row in rows}
