"""Reads whose answers are not just entries: distinct, aggregate, cursors and joins.

This is part of the store: access is decided before it is called, and it returns JSON text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import store
from ..catalog.registry import Source
from ..compiler.aggregate import Rows, aggregate_sql, distinct_sql
from ..compiler.cursors import place_of, place_sql
from ..compiler.joins import MAX_JOINED, Key, joined_sql, keys_sql, required_sql
from ..compiler.json_values import listed
from ..compiler.projection import order_sql
from ..query.cursors import cursor_of
from ..query.joins import Join, TooMuchJoined
from ..query.select import Projection, Select
from ..query.where import Node, all_of
from ..query.where.nodes import column_is
from ..sql import Sql, concat
from ..values.codec import loads, path_of, restore_large_doubles
from ..values.validation import MAX_INTEGER

# The most characters of joined rows in one answer. A row counts once for each entry that it joins.
MAX_JOINED_TEXT = 100_000_000
# With more keys than this, the joined rows are found by a scan rather than by an index.
MANY_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class Joined:
    """A join after access is decided: its data source, which rows it may read, which columns."""

    join: Join
    source: Source
    where: Node
    shown: Projection


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entries. `following`: the cursor of the next page, None at the end."""

    entries: list[str]
    total: int | None = None
    following: str | None = None


# -- distinct and aggregate


def select_aggregate(source: Source, query: Select, where: Node, shown: Projection) -> store.Found:
    """Return the distinct combinations, or the results of the pipeline, that `ask` requests."""
    entries = store.plan_scan(store.ScanRequest(source, where)).sql
    if query.aggregate is not None:
        rows = aggregate_sql(store.dialect(), query.aggregate, entries, shown)
    else:
        columns = query.attributes.columns or ()
        rows = distinct_sql(store.dialect(), tuple(dict.fromkeys(columns)), query.order, entries)
    total = _count(rows) if query.count_only or query.with_total else None
    if query.count_only:
        return store.Found([], total)
    found = store.run(rows.rows(store.part(query)))
    return store.Found(store.restore_numbers([row[0] for row in found]), total)


def _count(rows: Rows) -> int:
    return int(store.run(rows.count())[0][0])


# -- entries, with joins and cursors


def select_page(
    source: Source, query: Select, where: Node, shown: Projection, joins: Sequence[Joined]
) -> Page:
    """Return the entries that `where` matches, as `store.select` does, with their joined rows.

    Raises `TooMuchJoined` if the joined rows are too many.
    """
    alone = query.count_only
    needed = _needed(source, where, joins, not alone)
    total = _total(source, where, needed, not alone) if alone or query.with_total else None
    if alone:
        return Page([], total)
    with_keys = [joined for joined in joins if joined.join.on]
    rows, following = _part(source, query, where, shown, needed, [one.join for one in with_keys])
    texts = store.restore_numbers([row[0] for row in rows])
    if with_keys:
        texts = _with_joins(texts, [row[1:] for row in rows], with_keys)
    for joined in joins:
        if not joined.join.on:
            texts += store.select(
                joined.source, joined.join.as_select(), joined.where, joined.shown
            ).entries
    return Page(texts, total, following)


def _needed(
    source: Source, where: Node, joins: Sequence[Joined], reads_entries: bool
) -> tuple[Sql, ...]:
    """Return the conditions that every required join has a row for an entry.

    `reads_entries`: the joined rows are read as well.
    """
    required = [joined for joined in joins if joined.join.required]
    if not required:
        return ()
    ours = store.plan_scan(store.ScanRequest(source, where, is_repeated=True)).sql
    found = []
    for joined in required:
        theirs = store.plan_scan(
            store.ScanRequest(joined.source, joined.where, is_repeated=reads_entries)
        ).sql
        found.append(required_sql(store.dialect(), joined.join, theirs, ours))
    return tuple(found)


def _total(source: Source, where: Node, needed: tuple[Sql, ...], reads_entries: bool) -> int:
    """Return the number of matching entries; `reads_entries`: the entries are read as well."""
    entries = store.plan_scan(
        store.ScanRequest(source, where, more=needed, is_repeated=reads_entries)
    ).sql
    return int(store.run(concat("SELECT count(*) FROM ", entries))[0][0])


def _part(
    source: Source,
    query: Select,
    where: Node,
    shown: Projection,
    needed: tuple[Sql, ...],
    joins: Sequence[Join],
) -> tuple[list[tuple[Any, ...]], str | None]:
    """Return the rows of this page (text, then join keys), and the cursor of the next page."""
    dialect, after = store.dialect(), query.after
    columns = [store.entry_text_of(query.attributes, shown), *keys_sql(dialect, joins)]
    if after is None:
        first = None if query.limit is None else min(query.limit + query.offset, MAX_INTEGER)
        request = store.ScanRequest(source, where, query.order, first, needed)
        return _rows(request, columns, store.part(query), query.limit), None
    # One row more than the limit shows whether there is a next page.
    first = None if query.limit is None else min(query.limit + 1, MAX_INTEGER)
    some = Sql("") if first is None else Sql(" LIMIT %s", (first,))
    request = store.ScanRequest(source, where, query.order, first, needed, after.place)
    rows = _rows(request, [*columns, *place_sql(dialect, query.order)], some, first)
    following = None
    if query.limit is not None and len(rows) > query.limit:
        rows = rows[: query.limit]
        if rows:
            following = cursor_of(query.order, place_of(query.order, rows[-1][len(columns) :]))
    return [row[: len(columns)] for row in rows], following


def _rows(
    request: store.ScanRequest, columns: Sequence[Sql], some: Sql, limit: int | None
) -> list[tuple[Any, ...]]:
    """Read the rows of a request. `some`: LIMIT and OFFSET; `limit`: the value of that LIMIT."""
    tail = concat(order_sql(store.dialect(), request.order), some)
    return store.read_rows(request, listed(columns), tail, limit)


# -- joins


def _with_joins(
    texts: Sequence[str], keys: Sequence[Sequence[str | None]], joins: Sequence[Joined]
) -> list[str]:
    """Return each entry's text with its `joins`. Raises `TooMuchJoined` if they are too long."""
    parts: list[list[str]] = [[] for _ in texts]
    at = 0
    left = MAX_JOINED_TEXT
    for joined in joins:
        width = len(joined.join.on)
        found = _joined(joined, [tuple(row[at : at + width]) for row in keys], left)
        at += width
        name = path_of(joined.join.name)[2:]
        for part, text in zip(parts, found, strict=True):
            part.append(f"{name}:{text}")
            left -= len(text)
    return [
        f'{text[:-1]},"joins":{{{",".join(part)}}}}}'
        for text, part in zip(texts, parts, strict=True)
    ]


def _joined(joined: Joined, keys: Sequence[tuple[str | None, ...]], left: int) -> list[str]:
    """Return the answer of a join for each entry, as JSON text.

    Raises `TooMuchJoined` if all answers together have more than `left` characters.
    """
    places: dict[tuple[str | None, ...], int] = {}
    for key in keys:
        if None not in key:
            places.setdefault(key, len(places))
    found: dict[int, list[str]] = {}
    if places:
        for place, text in _find(joined, list(places)):  # type: ignore[arg-type]
            found.setdefault(place, []).append(text)
    # Entries with the same key each get a copy: check the size before the copies are made.
    times = Counter(places.get(key, -1) for key in keys)
    size = sum(times[place] * sum(map(len, texts)) for place, texts in found.items())
    if size > left:
        raise TooMuchJoined(joined.join.name)
    answers = {place: _answer(joined.join, texts) for place, texts in found.items()}
    nothing = _answer(joined.join, [])
    return [answers.get(places.get(key, -1), nothing) for key in keys]


def _find(joined: Joined, keys: Sequence[Key]) -> list[tuple[int, str]]:
    """Return (position of the key in `keys`, JSON text) for each joined row.

    Raises `TooMuchJoined` if there are more than `MAX_JOINED`.
    """
    join, where = joined.join, joined.where
    if len(keys) <= MANY_KEYS:
        among = [
            column_is(pair.right, "$in", [loads(restore_large_doubles(key[at])) for key in keys])
            for at, pair in enumerate(join.on)
        ]
        where = all_of([where, *among])
    rows = store.plan_scan(store.ScanRequest(joined.source, where)).sql
    found = store.run(joined_sql(store.dialect(), join, store.TABLE, rows, joined.shown, keys))
    if join.kind != "entries":
        texts = store.restore_numbers([str(row[1]) for row in found])
        return [(row[0], text) for row, text in zip(found, texts, strict=True)]
    if len(found) > MAX_JOINED:
        raise TooMuchJoined(join.name)
    loaded = [(row[1], row[2]) for row in found if row[2] is not None]
    by_id = dict(
        zip(
            (row[0] for row in loaded),
            store.restore_numbers([row[1] for row in loaded]),
            strict=True,
        )
    )
    return [(row[0], by_id[row[1]]) for row in found]


def _answer(join: Join, texts: Sequence[str]) -> str:
    if join.kind == "entries":
        return f"[{','.join(texts)}]"
    if join.kind == "has":
        return "true" if texts else "false"
    return texts[0] if texts else "0"
