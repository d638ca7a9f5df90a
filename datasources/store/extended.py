"""Reads whose answers are not just entries: distinct, aggregate, cursors and joins.

Part of the store: like it, this is told what was decided, and gives JSON text.
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
from ..sql import Sql
from ..values.codec import loads, path_of, restore_large_doubles
from ..values.validation import MAX_INTEGER

# Characters of what is joined in one answer, entries that are joined several times counted so.
MAX_JOINED_TEXT = 100_000_000
# With more values than these, the joined rows are found by a scan rather than by an index.
MANY_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class Joined:
    """A join, decided: its data source, what of it may be listed, and with which columns."""

    join: Join
    source: Source
    where: Node
    shown: Projection


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the entries. `following`: the cursor of the next part, None at the end."""

    entries: list[str]
    total: int | None = None
    following: str | None = None


# -- distinct and aggregate


def select_aggregate(source: Source, ask: Select, where: Node, shown: Projection) -> store.Found:
    """The distinct combinations, or the results of the pipeline, that `ask` names."""
    entries = store.plan_scan(store.ScanRequest(source, where)).sql
    if ask.aggregate is not None:
        rows = aggregate_sql(store.dialect(), ask.aggregate, entries, shown)
    else:
        columns = ask.attributes.columns or ()
        rows = distinct_sql(store.dialect(), tuple(dict.fromkeys(columns)), ask.order, entries)
    total = _count(rows) if ask.count_only or ask.with_total else None
    if ask.count_only:
        return store.Found([], total)
    found = store.run(*rows.rows(store.part(ask)))
    return store.Found(store.restore_numbers([row[0] for row in found]), total)


def _count(rows: Rows) -> int:
    return int(store.run(*rows.count())[0][0])


# -- entries, with joins and cursors


def select_page(
    source: Source, ask: Select, where: Node, shown: Projection, joins: Sequence[Joined]
) -> Page:
    """The entries that fit, as `store.select` gives them, with what is joined to each."""
    alone = ask.count_only
    needed = _needed(source, where, joins, not alone)
    total = _total(source, where, needed, not alone) if alone or ask.with_total else None
    if alone:
        return Page([], total)
    beside = [joined for joined in joins if joined.join.on]
    rows, following = _part(source, ask, where, shown, needed, [one.join for one in beside])
    texts = store.restore_numbers([row[0] for row in rows])
    if beside:
        texts = _with_joins(texts, [row[1:] for row in rows], beside)
    for joined in joins:
        if not joined.join.on:
            texts += store.select(
                joined.source, joined.join.as_select(), joined.where, joined.shown
            ).entries
    return Page(texts, total, following)


def _needed(source: Source, where: Node, joins: Sequence[Joined], beside: bool) -> tuple[Sql, ...]:
    """That every required join finds something for an entry; `beside`: what is joined is read."""
    required = [joined for joined in joins if joined.join.required]
    if not required:
        return ()
    ours = store.plan_scan(store.ScanRequest(source, where, beside=True)).sql
    found = []
    for joined in required:
        theirs = store.plan_scan(store.ScanRequest(joined.source, joined.where, beside=beside)).sql
        found.append(required_sql(store.dialect(), joined.join, theirs, ours))
    return tuple(found)


def _total(source: Source, where: Node, needed: tuple[Sql, ...], beside: bool) -> int:
    """How many there are; `beside`: the entries are read, too."""
    entries = store.plan_scan(store.ScanRequest(source, where, more=needed, beside=beside)).sql
    return int(store.run(f"SELECT count(*) FROM {entries.text}", entries.params)[0][0])


def _part(
    source: Source,
    ask: Select,
    where: Node,
    shown: Projection,
    needed: tuple[Sql, ...],
    joins: Sequence[Join],
) -> tuple[list[tuple[Any, ...]], str | None]:
    """The rows of this part: the entry's text, then its keys; and the cursor of the next one."""
    dialect, after = store.dialect(), ask.after
    columns = [store.entry_text_of(ask.attributes, shown), *keys_sql(dialect, joins)]
    if after is None:
        first = None if ask.limit is None else min(ask.limit + ask.offset, MAX_INTEGER)
        asked = store.ScanRequest(source, where, ask.order, first, needed)
        return _rows(asked, columns, store.part(ask), ask.limit), None
    # One more than is asked for tells whether there is a next part.
    first = None if ask.limit is None else min(ask.limit + 1, MAX_INTEGER)
    some = Sql("") if first is None else Sql(" LIMIT %s", (first,))
    asked = store.ScanRequest(source, where, ask.order, first, needed, after.place)
    rows = _rows(asked, [*columns, *place_sql(dialect, ask.order)], some, first)
    following = None
    if ask.limit is not None and len(rows) > ask.limit:
        rows = rows[: ask.limit]
        if rows:
            following = cursor_of(ask.order, place_of(ask.order, rows[-1][len(columns) :]))
    return [row[: len(columns)] for row in rows], following


def _rows(
    ask: store.ScanRequest, columns: Sequence[Sql], some: Sql, limit: int | None
) -> list[tuple[Any, ...]]:
    """`some`: LIMIT and OFFSET; `limit`: the first of these."""
    order = order_sql(store.dialect(), ask.order)
    tail = Sql(f"{order.text}{some.text}", (*order.params, *some.params))
    return store.read_rows(ask, listed(columns), tail, limit)


# -- joins


def _with_joins(
    texts: Sequence[str], keys: Sequence[Sequence[str | None]], joins: Sequence[Joined]
) -> list[str]:
    """Each entry's text with its `joins`. Raises `TooMuchJoined`."""
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
    """What a join answers for each entry, as JSON text, of so many characters all together."""
    places: dict[tuple[str | None, ...], int] = {}
    for key in keys:
        if None not in key:
            places.setdefault(key, len(places))
    found: dict[int, list[str]] = {}
    if places:
        for place, text in _find(joined, list(places)):  # type: ignore[arg-type]
            found.setdefault(place, []).append(text)
    # Entries that join the same have it each: that is told before it is written out.
    times = Counter(places.get(key, -1) for key in keys)
    size = sum(times[place] * sum(map(len, texts)) for place, texts in found.items())
    if size > left:
        raise TooMuchJoined(joined.join.name)
    answers = {place: _answer(joined.join, texts) for place, texts in found.items()}
    nothing = _answer(joined.join, [])
    return [answers.get(places.get(key, -1), nothing) for key in keys]


def _find(joined: Joined, keys: Sequence[Key]) -> list[tuple[int, str]]:
    """(the place of a key, JSON text). Raises `TooMuchJoined`."""
    join, where = joined.join, joined.where
    if len(keys) <= MANY_KEYS:
        among = [
            column_is(pair.right, "$in", [loads(restore_large_doubles(key[at])) for key in keys])
            for at, pair in enumerate(join.on)
        ]
        where = all_of([where, *among])
    rows = store.plan_scan(store.ScanRequest(joined.source, where)).sql
    found = store.run(*joined_sql(store.dialect(), join, store.TABLE, rows, joined.shown, keys))
    if join.kind != "entries":
        texts = store.restore_numbers([str(row[1]) for row in found])
        return [(row[0], text) for row, text in zip(found, texts, strict=True)]
    if len(found) > MAX_JOINED:
        raise TooMuchJoined(join.name)
    told = [(row[1], row[2]) for row in found if row[2] is not None]
    by_id = dict(
        zip((row[0] for row in told), store.restore_numbers([row[1] for row in told]), strict=True)
    )
    return [(row[0], by_id[row[1]]) for row in found]


def _answer(join: Join, texts: Sequence[str]) -> str:
    if join.kind == "entries":
        return f"[{','.join(texts)}]"
    if join.kind == "has":
        return "true" if texts else "false"
    return texts[0] if texts else "0"
