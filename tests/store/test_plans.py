"""Which plan a read takes: bounded attempts, whatever the values are and wherever they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.indexes.build import build
from rowkeeper.datasources.indexes.expressions import name_of
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.cursors import parse_after
from rowkeeper.datasources.query.select import Projection, Select, parse_query
from rowkeeper.datasources.store import attempts, extended, statistics

pytestmark = pytest.mark.django_db
ON_POSTGRESQL = connection.vendor == "postgresql"
COLUMNS = ["Department", "Email", "Salary"]


@pytest.fixture(autouse=True)
def nothing_learned() -> Iterator[None]:
    """Each test begins without memory of earlier reads."""
    statistics.clear()
    yield
    statistics.clear()


def made(rows: list[dict[str, Any]], marked: list[str]) -> Source:
    """A data source with these rows, and an index for each marked column."""
    model = DataSource(name=uuid4().hex, columns=COLUMNS, indexed_columns=marked)
    saving.save(model, build=False)
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, rows)
    build(model.pk)
    return registry.source_of(model)


def row_of(n: int, department: str) -> dict[str, Any]:
    return {"Department": department, "Email": f"p{n}@acme.com", "Salary": (n * 7919) % 3001}


def asked(source: Source, body: dict[str, Any]) -> Select:
    ask = parse_query(body, source.columns)
    assert isinstance(ask, Select)
    return ask


def read(source: Source, body: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """The rows of a select, and the statements that it took."""
    ask = asked(source, body)
    with CaptureQueriesContext(connection) as caught:
        texts = store.select(source, ask, ask.where, Projection()).entries
    statements = [one["sql"] for one in caught if one["sql"].startswith(("SELECT", "WITH"))]
    return [json.loads(text)["data"] for text in texts], statements


def rows_read(statement: str) -> int:
    """The most rows that one step of a statement reads, on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE,TIMING OFF) {statement}")
        lines = [row[0] for row in cursor.fetchall()]
    found = [int(count) for line in lines for count in re.findall(r"actual rows=(\d+)", line)]
    found += [int(count) for line in lines for count in re.findall(r"Removed by .*: (\d+)", line)]
    return max(found)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
def test_many_rows_that_lie_at_the_end_are_looked_up() -> None:
    """There are many of them, but a walk from the beginning would pass all the others first."""
    rows = [row_of(n, f"d{n % 400}") for n in range(20_000)]
    rows += [row_of(n, "late") for n in range(20_000, 22_030)]
    source = made(rows, [])
    body = {"where": {"Department": "late"}, "limit": 50}
    first, _ = read(source, body)
    again, statements = read(source, body)
    assert first == again == rows[20_000:20_050]
    assert len(statements) == 1 and rows_read(statements[0]) < 5_000


@pytest.mark.parametrize("columns", [["Department", "Email"], ["Email", "Department"]])
def test_of_two_marked_columns_the_rarest_leads(columns: list[str]) -> None:
    source = made([row_of(n, "d") for n in range(3_000)], COLUMNS)
    values = {"Department": "d", "Email": "p2900@acme.com"}
    where = {column: values[column] for column in columns}
    for body in ({"where": where}, {"where": where, "limit": 9}):
        found, statements = read(source, body)
        assert [row["Email"] for row in found] == ["p2900@acme.com"]
        if ON_POSTGRESQL:
            assert rows_read(statements[-1]) < 10
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
        assert name_of(source.id, "Email") in plan
        assert name_of(source.id, "Department") not in plan


@pytest.mark.parametrize("marked", [[], COLUMNS], ids=["unmarked", "marked"])
@pytest.mark.parametrize("order", [None, [["id", "DESC"]], [["Salary", "DESC"]]])
def test_the_answer_does_not_depend_on_the_attempt(marked: list[str], order: Any) -> None:
    """With the bounds as they are: few rows and many, at the beginning, at the end, everywhere."""
    rows = [row_of(n, "early" if n < 400 else "common" if n % 2 else "rare") for n in range(4_000)]
    rows += [row_of(n, "late") for n in range(4_000, 4_700)]
    source = made(rows, marked)
    for where in (
        *({"Department": name} for name in ("early", "common", "rare", "late", "none")),
        {"Salary": {"$lt": 2_000}},
        {"Department": "late", "Salary": {"$lt": 1_500}},
        {"Department": "common", "Email": "p401@acme.com"},
    ):
        fits = asked(source, {"where": where, "order": order})
        expected = [json.loads(text)["id"] for text in whole(source, fits)]
        for part in ({"limit": 50}, {"limit": 50, "offset": 300}, {"limit": 1_500}):
            ask = asked(source, {"where": where, "order": order, "includePagination": True, **part})
            at, limit = part.get("offset", 0), part["limit"]
            for _ in range(3):
                found = store.select(source, ask, ask.where, Projection())
                ids = [json.loads(text)["id"] for text in found.entries]
                assert ids == expected[at : at + limit], (where, part)
                assert found.total == len(expected)
        assert paged(source, {"where": where, "order": order}) == expected


def whole(source: Source, ask: Select) -> list[str]:
    return store.select(source, ask, ask.where, Projection()).entries


def paged(source: Source, body: dict[str, Any]) -> list[int]:
    """The ids of all entries, a page after the cursor of the one before."""
    ids: list[int] = []
    following: str | None = ""
    while following is not None:
        ask = asked(source, {**body, "limit": 600, "after": following})
        found = extended.select_page(source, ask, ask.where, Projection(), [])
        ids += [json.loads(text)["id"] for text in found.entries]
        following = found.following
        assert following is None or parse_after(following, ask.order) is not None
    return ids


def test_an_offset_behind_the_last_row_still_gives_the_total() -> None:
    source = made([row_of(n, "d") for n in range(30)], ["Department"])
    for offset, limit in ((100, 5), (30, 5), (29, 5), (0, 0), (2_000, 5), (30, None)):
        ask = asked(
            source,
            {"where": {"Department": "d"}, "offset": offset, "limit": limit,
             "includePagination": True},
        )  # fmt: skip
        found = store.select(source, ask, ask.where, Projection())
        shown = 30 - offset if limit is None else min(limit, 30 - offset)
        assert (len(found.entries), found.total) == (max(0, shown), 30)


def test_what_was_learned_is_checked_again() -> None:
    """An attempt that was right once does not stay when the rows are others."""
    rows = [row_of(n, "many" if n < 1_000 else "other") for n in range(1_200)]
    source = made(rows, [])
    body = {"where": {"Salary": {"$gte": 0}, "Department": "many"}, "limit": 5}
    read(source, body)
    assert bool(statistics.attempts) is ON_POSTGRESQL
    with store.writing(source, []):
        store.delete(source, store.ids(source)[3:1_000])
    for _ in range(statistics.USES + 3):
        assert len(read(source, body)[0]) == 3
    assert not statistics.attempts


def test_a_page_by_cursor_reads_no_other_rows_than_those_that_its_index_finds() -> None:
    source = made([row_of(n, f"d{n % 30}") for n in range(3_000)], ["Department"])
    body = {"where": {"Department": "d7"}, "limit": 20, "after": ""}
    first = page(source, body)
    with CaptureQueriesContext(connection) as caught:
        second = page(source, {**body, "after": first.following})
    assert len(first.entries) == len(second.entries) == 20
    (statement,) = (one["sql"] for one in caught if "rowkeeper_datasources_entry" in one["sql"])
    if ON_POSTGRESQL:
        assert rows_read(statement) <= 21
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        searches = [str(row[-1]) for row in cursor.fetchall() if "rowkeeper" in str(row[-1])]
    assert searches and all(name_of(source.id, "Department") in one for one in searches)


def page(source: Source, body: dict[str, Any]) -> extended.Page:
    ask = asked(source, body)
    return extended.select_page(source, ask, ask.where, Projection(), [])


def test_rows_before_the_place_of_a_cursor_count_as_read() -> None:
    """A lookup reads them, however few are behind the place, and so gives up for a walk."""
    source = made([row_of(n, "d") for n in range(1_200)], ["Salary"])
    body: dict[str, Any] = {"where": {"Salary": {"$gte": 0}}, "limit": 1_190}
    last = page(source, {**body, "after": ""}).following
    statistics.attempts.clear()
    assert len(page(source, {**body, "limit": 20, "after": last}).entries) == 10
    ((found, _),) = statistics.attempts.values()
    assert attempts.is_walk(found)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
def test_other_values_of_a_column_with_common_ones_begin_with_a_walk() -> None:
    """The index reads all that it finds, which each new value would have to wait for."""
    rows = [row_of(n, "few" if n % 500 == 0 else "many") for n in range(12_000)]
    source = made(rows, [])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rowkeeper_datasources_entry")

    def where(n: int) -> dict[str, Any]:
        return {"where": {"Department": "many", "Salary": {"$lt": 2_500 + n}}, "limit": 5}

    _, statements = read(source, where(0))
    assert max(map(rows_read, statements)) > 10_000
    for n in range(1, 40):
        found, statements = read(source, where(n))
        assert len(found) == 5 and len(statements) == 1
        assert rows_read(statements[0]) <= attempts.bound(-1)
    # A rare value is looked up behind that walk, and by itself once that is known.
    rare = {"where": {"Department": "few", "Salary": {"$lt": 2_500}}, "limit": 50}
    found, statements = read(source, rare)
    assert len(found) == 20 and len(statements) == 3
    again, statements = read(source, rare)
    assert again == found and len(statements) == 1 and rows_read(statements[0]) < 30


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
def test_a_column_does_not_stay_one_with_common_values() -> None:
    source = made([row_of(n, f"d{n}" if n < 400 else "many") for n in range(2_000)], [])

    def begins(department: str) -> int:
        ask = asked(source, {"where": {"Department": department}, "limit": 5})
        return attempts.expected(store.ScanRequest(source, ask.where, ask.order, 5))

    assert begins("d1") == 0
    read(source, {"where": {"Department": "many"}, "limit": 5})
    assert begins("d1") == -1
    for n in range(statistics.USES):
        read(source, {"where": {"Department": f"d{n}"}, "limit": 5})
    assert begins("d100") == 0
