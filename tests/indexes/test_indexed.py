"""Columns marked as indexed: the same answers as without, whatever the rows hold.

The queries of the differential test (`tests/query/test_sift.py`), and orders, parts and cursors
over the same rows, on data sources all of whose columns are indexed, beside the meaning in memory
and beside a data source without an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.indexes.build import build
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.cursors import After
from rowkeeper.datasources.query.select import OrderTerm, Projection, Select
from rowkeeper.datasources.query.where import EVERYTHING, parse_where
from rowkeeper.datasources.store import attempts, extended, statistics
from tests.query.test_sift import answer, found, stored
from tests.reference.hostile import KEYS, Hostile

SEED = 20261126
ROWS, WHERES = 30, 60
# Texts around the length from which on PostgreSQL's keys do not hold them.
LONG: list[dict[str, Any]] = [
    {"a": "x" * 1001}, {"a": "x" * 1000 + "y"}, {"a": "x" * 1000}, {"a": "x" * 999 + "é"},
    {"a": ["x" * 1200]}, {"b": "é" * 501}, {"b": "é" * 500}, {"c": "z" * 3000}, {"a": "xx"},
]  # fmt: skip


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds are so small that most reads need several attempts."""
    monkeypatch.setattr(attempts, "FIRST", 1)
    monkeypatch.setattr(attempts, "FACTOR", 2)
    monkeypatch.setattr(attempts, "WALKED", dict.fromkeys(attempts.WALKED, (2, 2, 2)))
    statistics.clear()


def indexed(source: Source, columns: list[str]) -> Source:
    """The same data source, with its columns marked and their indexes made."""
    model = DataSource.objects.get(pk=source.id)
    model.columns = columns
    model.indexed_columns = columns
    saving.save(model)
    build(source.id)
    model.refresh_from_db()
    assert {told["state"] for told in model.indexes.values()} == {"ready"}, model.indexes
    return registry.source_of(model)


def everything(hostile: Hostile) -> tuple[list[dict[str, Any]], Source, list[int]]:
    """Rows, and the data source that holds them, all of its columns indexed."""
    rows = [*hostile.rows(ROWS), *LONG]
    source, ids = stored(rows)
    return rows, indexed(source, list(KEYS)), ids


@pytest.mark.django_db
@pytest.mark.parametrize("batch", range(4))
def test_wheres(batch: int, few: None) -> None:
    hostile = Hostile.of(f"{SEED}-{batch}", whole=batch % 2 == 1)
    rows, source, ids = everything(hostile)
    asked = 0
    for where in (hostile.where() for _ in range(WHERES)):
        ours = answer(rows, where, source.columns)
        if isinstance(ours, list):
            node = parse_where(where, source.columns)
            shown = json.dumps(where, ensure_ascii=False)
            assert found(source, ids, node) == ours, shown
            assert store.count(source, node) == len(ours), shown
            for limit in (1, 5):
                some = store.select(source, Select(limit=limit), node, Projection()).entries
                assert [ids.index(json.loads(text)["id"]) for text in some] == ours[:limit], shown
            asked += 1
    assert asked > 0.9 * WHERES


def orders() -> Iterator[tuple[OrderTerm, ...]]:
    for column in ("a", "b", 'a"b', "it's", "100%", "a.b"):
        for descending in (False, True):
            yield (OrderTerm(column, True, descending),)
    yield (OrderTerm(KEYS[0], True, False), OrderTerm(KEYS[1], True, True))
    yield (OrderTerm(KEYS[1], True, True), OrderTerm("createdAt", False, True))


@pytest.mark.django_db
@pytest.mark.parametrize("batch", range(2))
def test_orders_parts_and_cursors(batch: int, few: None) -> None:
    hostile = Hostile.of(f"{SEED}-order-{batch}")
    rows = [*hostile.rows(ROWS), *LONG]
    plain, ids = stored(rows)
    kept, ids_kept = stored(rows)
    source = indexed(kept, list(KEYS))
    wheres = [None, *(hostile.where() for _ in range(2))]
    for order in orders():
        for where in wheres:
            if isinstance(answer(rows, where, source.columns), str):
                continue
            node = EVERYTHING if where is None else parse_where(where, source.columns)
            ask = Select(node, order)
            whole = places(store.select(plain, ask, node, Projection()).entries, ids)
            assert places(store.select(source, ask, node, Projection()).entries, ids_kept) == whole
            part = Select(node, order, limit=7, offset=2, with_total=True)
            found_part = store.select(source, part, node, Projection())
            assert places(found_part.entries, ids_kept) == whole[2:9]
            assert found_part.total == len(whole)
            assert list(walked(source, node, order, ids_kept)) == whole


def places(entries: list[str], ids: list[int]) -> list[int]:
    return [ids.index(json.loads(text)["id"]) for text in entries]


def walked(
    source: Source, node: Any, order: tuple[OrderTerm, ...], ids: list[int]
) -> Iterator[int]:
    """All rows, page by page, each page after the cursor of the one before."""
    from rowkeeper.datasources.query.cursors import parse_after

    after: After | None = After()
    while after is not None:
        page = extended.select_page(
            source, Select(node, order, limit=9, after=after), node, Projection(), []
        )
        yield from places(page.entries, ids)
        after = parse_after(page.following, order)
