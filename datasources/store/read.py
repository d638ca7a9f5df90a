"""Reading entries: as JSON text for an answer, or as values for those who decide and write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..db import connection
from ..jsontext import dumps, loads
from ..queries import Attributes, Projection, Select
from ..selecting import distinct_texts, entry_text, order_sql, row_text
from ..sources import Source
from ..values import MAX_INTEGER
from ..where import Node
from ..where.sought import is_sought
from ..where.sql import where_sql
from ..where.sqltext import Sql
from .database import (
    TABLE,
    Stored,
    by_id,
    clock,
    condition_of,
    dialect,
    run,
    spelled,
    stored,
)
from .ways import Ask, Rows, learn, rows_for

# Behind so many others, entries are read when it is known which they are.
DEEP = 1_000
# Behind so many it is worth a look whether there are that many at all.
_FAR = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a select: entries as JSON text, and how many there are without the limit."""

    entries: list[str]
    total: int | None = None


def select(source: Source, ask: Select, where: Node, shown: Projection) -> Found:
    """The entries that fit `where`, in the order and the part that `ask` names.

    `where` is the client's and the rule's together; `shown` are the columns that may be seen.
    """
    if ask.count_only:
        return Found([], count(source, where))
    first = None if ask.limit is None else min(ask.limit + ask.offset, MAX_INTEGER)
    rows = rows_for(Ask(source, where, ask.order, first))
    text = entry_text_of(ask.attributes, shown)
    order = order_sql(dialect(), ask.order)
    some = part(ask)
    found = f"FROM {rows.sql.text}{order.text}{some.text}"
    params = (*rows.sql.params, *order.params, *some.params)
    if not ask.with_total and ask.offset > DEEP:
        reaches = _reaches(source, where, ask.offset) if ask.offset >= _FAR else None
        return Found(spelled(_far_down(rows, text, order, some, reaches)))
    if not ask.with_total:
        tail = Sql(f"{order.text}{some.text}", (*order.params, *some.params))
        answer = read_rows(rows, text, tail, ask.limit)
        return Found(spelled([row[0] for row in answer]))
    # Counted and read in one statement; the order of a subquery has to be said outside, too.
    counted = rows_for(Ask(source, where, beside=True)).sql
    answer = run(
        f"SELECT total,entry FROM (SELECT count(*) AS total FROM {counted.text}) "
        f"AS c LEFT JOIN (SELECT {text.text} AS entry,row_number() OVER ({order.text}) AS place "
        f"{found}) AS e ON 1=1 ORDER BY place",
        (*counted.params, *text.params, *order.params, *params),
    )
    texts = [row[1] for row in answer if row[1] is not None]
    return Found(spelled(texts), answer[0][0])


def _reaches(source: Source, where: Node, offset: int) -> Sql:
    """Whether more rows fit than are to be passed over: they are counted faster than sorted."""
    rows = rows_for(Ask(source, where, beside=True)).sql
    return Sql(f"EXISTS(SELECT 1 FROM {rows.text} LIMIT 1 OFFSET %s)", (*rows.params, offset))


def _far_down(rows: Rows, text: Sql, order: Sql, some: Sql, reaches: Sql | None) -> list[str]:
    """The texts of the entries behind many others, of which nothing is read but their order;
    `reaches`: a condition that is asked once, before they are.
    """
    found = rows.sql
    if reaches is not None:
        found = Sql(f"{found.text} AND {reaches.text}", (*found.params, *reaches.params))
    ids = f"SELECT id FROM {found.text}{order.text}{some.text}"
    among = f"id=ANY(ARRAY({ids}))" if connection.vendor == "postgresql" else f"id IN ({ids})"
    params = (*text.params, *found.params, *order.params, *some.params, *order.params)
    answer = run(f"SELECT {text.text} FROM {TABLE} WHERE {among}{order.text}", params)
    return [row[0] for row in answer]


def read_rows(rows: Rows, columns: Sql, tail: Sql, limit: int | None) -> list[tuple[Any, ...]]:
    """The columns of rows; `tail`: their order and part. What it tells of their way is learned."""
    crowded = ",crowded" if rows.tells else ""
    found = run(
        f"SELECT {columns.text}{crowded} FROM {rows.sql.text}{tail.text}",
        (*columns.params, *rows.sql.params, *tail.params),
    )
    learn(rows, bool(found) and bool(found[0][-1]), len(found) == limit)
    return [row[:-1] for row in found] if rows.tells else found


def entry_text_of(attributes: Attributes, shown: Projection) -> Sql:
    """The text of an entry: the attributes that are asked for, of the columns that are shown."""
    columns = attributes.columns
    return entry_text(
        dialect(), shown.narrowed(columns), attributes.fields, columns is None or columns != ()
    )


def part(ask: Select) -> Sql:
    """LIMIT and OFFSET. SQLite wants a limit before an offset; its -1 is none."""
    if ask.limit is not None:
        return Sql(" LIMIT %s OFFSET %s", (ask.limit, ask.offset))
    if not ask.offset:
        return Sql("")
    limit = "-1" if connection.vendor == "sqlite" else "ALL"
    return Sql(f" LIMIT {limit} OFFSET %s", (ask.offset,))


def holds_others(source: Source, ids: Iterable[int]) -> bool:
    """Whether the data source has any entry but these."""
    kept = dumps(sorted(set(ids)))
    among = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        among = "SELECT value::bigint FROM jsonb_array_elements_text(%s::jsonb) AS kept(value)"
    found = run(
        f"SELECT 1 FROM {TABLE} WHERE data_source_id=%s AND id NOT IN ({among}) LIMIT 1",
        (source.id, kept),
    )
    return bool(found)


def count(source: Source, where: Node) -> int:
    """How many entries fit."""
    rows = rows_for(Ask(source, where)).sql
    found = run(f"SELECT count(*) FROM {rows.text}", rows.params)
    return int(found[0][0])


def distinct(source: Source, where: Node, column: str) -> list[Any]:
    """The distinct scalar values of a column, lists opened, in the order of `order`."""
    head = distinct_texts(dialect(), column)
    condition = condition_of(source.id, where)
    rows = run(
        f"{head.text.format(entries=TABLE)}{condition.text}", (*head.params, *condition.params)
    )
    found: dict[Any, Any] = {}
    for text in spelled([row[0] for row in rows]):
        value = loads(text)
        if value is not None and not isinstance(value, dict | list):
            found.setdefault((isinstance(value, bool), value), value)
    return sorted(found.values(), key=_place_in_order)


def _place_in_order(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (1, value)
    return (3, value) if isinstance(value, int | float) else (4, value)


def fetch(source: Source, ids: Iterable[int], lock: bool = False) -> dict[int, Stored]:
    """The entries of these ids that are in this data source; `lock` for those who will write."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    if connection.vendor == "sqlite":
        among = Sql("id IN (SELECT value FROM json_each(%s))", (dumps(wanted),))
    else:
        among = Sql("id=ANY(%s)", (wanted,))
    return fetched(source, among, lock)


def fetch_where(
    source: Source, where: Node, lock: bool = False, limit: int | None = None
) -> dict[int, Stored]:
    """The entries that fit, by id; of these the first ones, where there is a limit."""
    exact = where_sql(where, dialect())
    if not is_sought(where, dialect().name):
        return fetched(source, exact, lock, limit)
    if limit is None:
        return _fetched(condition_of(source.id, where), "id", lock, limit)
    # Of many that fit, the first ones are not to wait for all of them.
    rows = rows_for(Ask(source, where, first=limit)).sql
    first = f"id=ANY(ARRAY(SELECT id FROM {rows.text} ORDER BY id LIMIT %s)) AND {exact.text}"
    return fetched(source, Sql(first, (*rows.params, limit, *exact.params)), lock)


def fetched(
    source: Source, condition: Sql, lock: bool, limit: int | None = None
) -> dict[int, Stored]:
    """The entries that meet a condition in SQL, by id."""
    of_this, order = by_id(source.id)
    params = (*of_this.params, *condition.params)
    return _fetched(Sql(f"{of_this.text} AND {condition.text}", params), order, lock, limit)


def _fetched(condition: Sql, order: str, lock: bool, limit: int | None) -> dict[int, Stored]:
    some = "" if limit is None else f" LIMIT {limit:d}"
    data = row_text(dialect(), Projection()).text
    wait = " FOR UPDATE" if lock and connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor, clock():
        cursor.execute(
            f'SELECT id,{data},created_at,updated_at,"order" FROM {TABLE} '
            f"WHERE {condition.text} ORDER BY {order}{some}{wait}",
            condition.params,
        )
        rows = cursor.fetchall()
    return {row[0]: stored(row) for row in rows}
