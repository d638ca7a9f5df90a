"""Indexes of marked columns: marked, made, used, told of and dropped."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.indexes import advice
from rowkeeper.datasources.indexes.build import BUILDER, build, existing
from rowkeeper.datasources.indexes.status import statuses
from rowkeeper.datasources.models import DataSource, WantedIndex
from rowkeeper.datasources.query.cursors import After
from rowkeeper.datasources.query.select import Projection, Select, parse_query
from rowkeeper.datasources.query.where import EVERYTHING, Field, Node, matches
from rowkeeper.datasources.query.where.nodes import And, Or
from rowkeeper.datasources.store import attempts, extended, paging, planner, read, scan, statistics
from tests.admin.test_admin import boss, form_of, staff, url

__all__ = ["boss"]
ON_POSTGRESQL = connection.vendor == "postgresql"
AWKWARD = [
    "x'); DROP TABLE rowkeeper_datasources_entry; --",
    'a"b',
    "back\\slash'",
    "100% %s %(x)s",
    "{v}",
    "😀" * 255,
    "line\nend",
    "data.Name",
]
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}


def make(columns: list[str], indexed: list[str], **fields: Any) -> DataSource:
    model = DataSource(name="Things", columns=columns, indexed_columns=indexed, **fields)
    saving.save(model)
    return model


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("indexes", *args, stdout=out)
    return out.getvalue()


def states(model: DataSource) -> dict[str, str]:
    model.refresh_from_db()
    return {status.column: status.state for status in statuses(model)}


@pytest.fixture
def things(db: None) -> Iterator[DataSource]:
    """Rows enough that a planner takes an index."""
    model = make(["Name", "Age", "Note"], ["Name", "Age"])
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(
            source,
            [
                {"Name": f"n{n:05}", "Age": (n * 7919) % 3001, "Note": f"note {n % 300}"}
                for n in range(3_000)
            ],
        )
    build(model.pk)
    statistics.clear()
    yield model


def asked(source: Source, body: dict[str, Any]) -> Select:
    ask = parse_query(body, source.columns)
    assert isinstance(ask, Select)
    return ask


def plan(source: Source, body: dict[str, Any]) -> str:
    """How the database runs a select."""
    ask = asked(source, {"limit": 20, **body})
    with CaptureQueriesContext(connection) as caught:
        store.select(source, ask, ask.where, Projection())
    query, *_ = [one["sql"] for one in caught if one["sql"].startswith(("SELECT", "WITH"))]
    explain = "EXPLAIN" if ON_POSTGRESQL else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


# -- which index is used


@pytest.mark.parametrize(
    ("column", "body"),
    [
        ("Name", {"where": {"Name": "n00077"}}),
        ("Age", {"where": {"Age": 77}}),
        ("Age", {"where": {"Age": {"$in": [77, 78]}}}),
        ("Name", {"where": {"Name": {"$like": "n0007%"}}}),
        ("Age", {"where": {"Age": {"$gte": 2_990, "$lt": 3_000}}}),
        ("Age", {"where": {"Age": {"$gt": 100}}, "order": [["Age", "ASC"]]}),
        ("Age", {"where": {"Age": {"$gt": 100}}, "order": [["Age", "DESC"]]}),
        ("Name", {"order": [["Name", "ASC"]]}),
        ("Name", {"order": [["Name", "DESC"], ["Age", "ASC"]]}),
    ],
)
def test_the_index_of_a_marked_column_is_used(
    things: DataSource, column: str, body: dict[str, Any]
) -> None:
    from rowkeeper.datasources.indexes.expressions import name_of

    found = plan(registry.source_of(things), body)
    assert name_of(things.pk, column) in found, found
    if not ON_POSTGRESQL and body.get("order") == [["Age", "ASC"]]:
        # The rows come sorted; what is sorted once more are those of this part alone.
        assert found.count("ORDER BY") == 1, found


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
@pytest.mark.parametrize(
    "where",
    [
        {"Note": "note 7"},
        {"Note": {"$in": ["note 7", "note 8"]}},
        {"Note": {"$all": ["note 7"]}},
        {"$or": [{"Note": "note 7"}, {"Note": "note 8"}]},
        {"Note.of": 5},
        {"Undeclared": True},
        {"$and": [{"Age": {"$mod": [2, 0]}}, {"Note": "note 7"}]},
    ],
)
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_equality_has_an_index_for_every_column(
    things: DataSource, where: dict[str, Any], mode: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode={mode}")
    assert "rowkeeper_entry_whole" in plan(registry.source_of(things), {"where": where})


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
@pytest.mark.parametrize(
    "rare", [{"Note": "note 7"}, {"$or": [{"Note": "note 7"}, {"Note.of": 1}, {"Text": "x"}]}]
)
@pytest.mark.parametrize("first", [True, False])
def test_of_several_equalities_the_rarest_leads(
    things: DataSource, first: bool, rare: dict[str, Any]
) -> None:
    """In whichever order they are written: a rule's stand behind the client's."""
    source = registry.source_of(things)
    with store.writing(source, ["Kind", "Text"]):
        store.update(
            source,
            [
                (row, {**row.data, "Kind": "a"})
                for row in store.fetch_where(source, EVERYTHING).values()
            ],
        )
    wheres = [{"Kind": "a"}, rare]
    where = asked(source, {"where": {"$and": wheres[::-1] if first else wheres}}).where
    with CaptureQueriesContext(connection) as caught:
        assert store.count(source, where) == 10
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE,TIMING OFF) {caught[0]['sql']}")
        found = "\n".join(str(row[0]) for row in cursor.fetchall())
    assert found.count("Index Scan on rowkeeper_entry_whole") == 1, found
    assert "rows=10 " in found and "rows=3000 " not in found, found


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
@pytest.mark.parametrize("order", [None, [["Age", "ASC"]], [["Note", "ASC"]]])
def test_a_marked_column_of_few_values_does_not_lead(things: DataSource, order: Any) -> None:
    """Beside the equality of another column, its index would give nearly all rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE rowkeeper_datasources_entry SET data=jsonb_set(data,'{Name}','\"n\"')"
        )
    found = plan(registry.source_of(things), {"where": {"Name": "n", "Note": "n7"}, "order": order})
    assert "rowkeeper_entry_whole" in found, found
    alone = plan(registry.source_of(things), {"where": {"Name": "n"}, "order": order})
    assert "rowkeeper_entry_whole" not in alone, alone


@pytest.mark.django_db
def test_any_number_of_values_is_sought() -> None:
    rows = [{"a": n % 50, "b": [n % 7, str(n)], "c": [[n % 11]]} for n in range(200)]
    model = make(["a", "b", "c"], [])
    source = registry.source_of(model)
    with store.writing(source, []):
        ids = [entry.id for entry in store.insert(source, rows)]
    lists = [list(range(at, at + 60)) for at in (0, 3, 5, 8, 10, 20)]
    several = {"$or": [{key: {"$in": some}} for key in "abc" for some in lists]}
    for where in (
        {"$and": [{"a": {"$in": some}} for some in lists]},
        {"$and": [several, {"b": 6}, {"c": {"$ne": 3}}]},
        several,
        {"$or": [{"$and": [{"a": {"$in": lists[5]}}, several]}, {"c": 4}]},
    ):
        node = asked(source, {"where": where}).where
        expected = [key for key, row in zip(ids, rows, strict=True) if matches(node, row)]
        assert list(store.fetch_where(source, node)) == expected and 0 < len(expected) <= 200
        assert store.count(source, node) == len(expected)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(4))
def test_equalities_of_all_kinds_find_the_same_as_in_memory(seed: int) -> None:
    """Where the index is asked the whole where, it is not asked again of most rows."""
    rnd = Random(f"equalities {seed}")
    scalars = [1, 1.0, 0, True, False, None, "1", "", 'é"\\']
    rows = [{key: _value(rnd, scalars, 3) for key in "abc"} for _ in range(120)]
    source = registry.source_of(make(["a", "b", "c"], []))
    with store.writing(source, []):
        ids = [entry.id for entry in store.insert(source, rows)]
    found = 0
    for _ in range(150):
        node = _equalities(rnd, scalars, 3)
        expected = [key for key, row in zip(ids, rows, strict=True) if matches(node, row)]
        assert list(store.fetch_where(source, node)) == expected, node
        assert store.count(source, node) == len(expected)
        some = asked(source, {"limit": 5})
        texts = store.select(source, some, node, Projection()).entries
        assert [json.loads(text)["id"] for text in texts] == expected[:5], node
        found += 0 < len(expected) < len(rows)
    assert found > 50


def _value(rnd: Random, scalars: list[Any], depth: int) -> Any:
    kind = rnd.random()
    if depth and kind < 0.3:
        return [_value(rnd, scalars, depth - 1) for _ in range(rnd.randint(0, 3))]
    if depth and kind < 0.5:
        return {key: _value(rnd, scalars, depth - 1) for key in rnd.sample("xy0", 2)}
    return rnd.choice(scalars)


def _equalities(rnd: Random, scalars: list[Any], depth: int) -> Node:
    kind = rnd.random()
    if depth and kind < 0.5:
        items = tuple(_equalities(rnd, scalars, depth - 1) for _ in range(rnd.randint(0, 3)))
        return And(items) if kind < 0.25 else Or(items)
    path = (rnd.choice("abc"), *rnd.choices("xy0", k=rnd.choice([0, 0, 1, 2])))
    several = rnd.random() < 0.3
    operand = rnd.sample(scalars, 2) if several else rnd.choice(scalars)
    return Field(".".join(path), path, "$in" if several else "$eq", operand, path[0])


@pytest.mark.skipif(not ON_POSTGRESQL, reason="indexes of pieces are PostgreSQL's")
def test_a_part_of_a_text_has_an_index(things: DataSource) -> None:
    from rowkeeper.datasources.indexes.expressions import pieces_name_of

    for where in (
        {"Name": {"$iLike": "N0007"}},
        {"Name": {"$like": "0007"}},
        {"Name": {"$regex": "^n0*007.$"}},
    ):
        found = plan(registry.source_of(things), {"where": where})
        assert pieces_name_of(things.pk, "Name") in found, found


def test_a_where_that_many_rows_fit_is_read_in_its_order(
    things: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST", 100)
    source = registry.source_of(things)
    ask = asked(source, {"where": {"Age": {"$gte": 0}}, "limit": 5})
    first = store.select(source, ask, ask.where, Projection())
    assert len(statistics.attempts) == 1
    assert store.select(source, ask, ask.where, Projection()) == first
    with store.writing(source, []):
        store.delete(source, store.ids(source)[4:])
    for _ in range(statistics.USES + 2):
        assert len(store.select(source, ask, ask.where, Projection()).entries) == 4
    assert not statistics.attempts


@pytest.mark.skipif(not ON_POSTGRESQL, reason="the index over whole rows is PostgreSQL's")
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_the_first_rows_that_fit_do_not_wait_for_all_of_them(
    things: DataSource, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """What a script sees of a delete by query, and the simulator of a write."""
    monkeypatch.setattr(attempts, "FIRST", 10)
    source = registry.source_of(things)
    with store.writing(source, ["Kind"]):
        store.insert(source, [{"Kind": "a"}] * 2_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rowkeeper_datasources_entry")
    where = asked(source, {"where": {"Kind": "a"}}).where
    with CaptureQueriesContext(connection) as caught, connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode={mode}")
        found = store.fetch_where(source, where, lock=True, limit=5)
    assert list(found) == store.ids(source)[3_000:3_005]
    with connection.cursor() as cursor:
        lines = []
        for one in caught:
            if one["sql"].startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN (ANALYZE,TIMING OFF) {one['sql']}")
                lines += [str(row[0]) for row in cursor.fetchall()]
    # A bitmap knows all that fit; no more of them are read than tell that they are many.
    read = [line for line in lines if "rows=2000 " in line.partition("(actual")[2]]
    assert read and all("Bitmap Index Scan" in line for line in read), lines
    assert list(store.fetch_where(source, where, limit=0)) == []


# -- marks


@pytest.mark.django_db
def test_names_of_columns_are_text_and_nothing_else() -> None:
    model = make(AWKWARD, AWKWARD)
    build(model.pk)
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, [dict.fromkeys(AWKWARD, n) for n in range(4)])
    assert set(source.indexed) == set(AWKWARD)
    assert all(name.replace("_", "").isalnum() for name in existing())
    for name in AWKWARD:
        body = {"where": {name: {"$gte": 2}}, "order": [[name, "DESC"]], "limit": 9}
        ask = asked(source, body)
        texts = store.select(source, ask, ask.where, Projection()).entries
        assert [json.loads(text)["data"][name] for text in texts] == [3, 2]


@pytest.mark.django_db
def test_a_name_that_a_client_sends_is_never_spelled(things: DataSource) -> None:
    source = registry.source_of(things)
    for name in ("Undeclared '%s", "Name'"):
        ask = asked(source, {"where": {name: 1}, "order": [[name, "ASC"]], "limit": 1})
        rows = planner.plan_scan(scan.ScanRequest(source, ask.where, ask.order, 1))
        assert "Undeclared" not in rows.sql.text and "Name" not in rows.sql.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("indexed", "message"),
    [
        (["Password"], "contains passwords"),
        (["Nothing"], "not one of the columns"),
        (["Name", "Name"], "is listed twice"),
        ([f"c{n}" for n in range(21)], "at most 20"),
    ],
)
def test_what_cannot_be_marked(indexed: list[str], message: str) -> None:
    columns = ["Email", "Name", *(f"c{n}" for n in range(21))]
    with pytest.raises(ValidationError, match=message):
        make(columns, indexed, definition=LOGIN)


@pytest.mark.django_db
def test_a_column_that_is_indexed_does_not_become_secret() -> None:
    model = make(["Email", "Password"], ["Password"])
    model.definition = LOGIN
    with pytest.raises(ValidationError, match="contains passwords"):
        saving.save(model)


def test_a_mark_that_goes_takes_its_index_along(things: DataSource) -> None:
    before = set(existing())
    things.indexed_columns = ["Age"]
    saving.save(things)
    assert states(things) == {"Age": "ready"}
    build(things.pk)
    assert len(existing()) < len(before)
    assert set(registry.source_of(things).indexed) == {"Age"}
    DataSource.objects.get(pk=things.pk).delete()
    build(things.pk)
    assert existing() == {}


@pytest.mark.skipif(not ON_POSTGRESQL, reason="only there an index can be invalid")
@pytest.mark.django_db(transaction=True)
def test_an_index_that_was_left_half_way_is_made_anew() -> None:
    model = make(["Name"], ["Name"])
    build(model.pk)
    assert states(model) == {"Name": "ready"}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid=false WHERE indexrelid=%s::regclass",
            [next(iter(existing()))],
        )
    assert not all(existing().values())
    DataSource.objects.filter(pk=model.pk).update(indexes={"Name": {"state": "building"}})
    assert states(model) == {"Name": "failed"}
    assert not registry.source_of(model).indexed
    build(model.pk)
    assert states(model) == {"Name": "ready"} and set(existing().values()) == {True}
    DataSource.objects.get(pk=model.pk).delete()
    build(model.pk)
    assert existing() == {}


@pytest.mark.parametrize("how", ["one", "several", "deferred"])
@pytest.mark.django_db(transaction=True)
def test_saving_has_the_indexes_made_beside(settings: Any, how: str) -> None:
    settings.ROWKEEPER = {"INDEXES_ON_SAVE": True}
    model = make(["Name"], ["Name"])
    for thread in threading.enumerate():
        if thread.name == BUILDER:
            thread.join(30)
    assert states(model) == {"Name": "ready"}
    found = DataSource.objects.filter(pk=model.pk)
    if how == "one":
        model.delete()
    elif how == "several":
        found.delete()
    else:
        found.only("name").delete()
    for thread in threading.enumerate():
        if thread.name == BUILDER:
            thread.join(30)
    assert existing() == {}


# -- the command


@pytest.mark.django_db
def test_the_command_marks_builds_and_tells() -> None:
    model = make(["Name", "Age"], [])
    assert "no column is marked as indexed" in command("Things")
    assert "Name: wanted" in command("Things", "--mark", "Name")
    assert "Name: ready" in command("Things", "--build")
    assert "no column is marked" in command("Things", "--unmark", "Name", "--build")
    assert existing() == {} and states(model) == {}
    with pytest.raises(CommandError, match="not marked"):
        command("Things", "--unmark", "Name")
    with pytest.raises(CommandError, match="not one of the columns"):
        command("Things", "--mark", "Nothing")
    with pytest.raises(CommandError, match="no data source"):
        command("Nothings")


def test_the_command_tells_what_queries_would_have_wanted(
    things: DataSource, settings: Any
) -> None:
    settings.ROWKEEPER = {"INDEX_ADVICE_SECONDS": 0}
    advice._counted.clear()
    source = registry.source_of(things)
    for body in (
        {"where": {"Note": {"$gt": "secret value"}}, "limit": 5},
        {"order": [["Note", "ASC"]], "limit": 5},
        {"where": {"Undeclared": {"$gt": 5}}, "limit": 5},
        {"where": {"Age": {"$gt": 5}}, "order": [["Age", "ASC"]], "limit": 5},
    ):
        ask = asked(source, body)
        store.select(source, ask, ask.where, Projection())
    advice.flush()
    found = WantedIndex.objects.values_list("data_source", "column", "kind", "times")
    assert set(found) == {(things.pk, "Note", "range", 1), (things.pk, "Note", "order", 1)}
    advice.record(things.pk, [("Note", "range")])
    advice.flush()
    told = command("Things")
    assert "Note: " in told and "range (2)" in told and "order (1)" in told
    assert "secret value" not in told


@pytest.mark.parametrize(
    "body", [{}, {"limit": 5, "includePagination": True}, {"offset": 7}, {"countOnly": True}]
)
def test_what_a_request_would_have_wanted_is_counted_once(
    things: DataSource, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "DEEP", 3)
    monkeypatch.setattr(read, "_FAR", 5)
    advice._counted.clear()
    source = registry.source_of(things)
    ask = asked(source, {"where": {"Note": {"$gt": "a"}}, **body})
    for read_it in (
        lambda: store.select(source, ask, ask.where, Projection()),
        # As it is read with joins, or by cursor.
        lambda: extended.select_page(source, ask, ask.where, Projection(), []),
        lambda: extended.select_page(
            source, replace(ask, after=After(None), offset=0), ask.where, Projection(), []
        ),
    ):
        read_it()
        assert advice._counted == {(things.pk, "Note", "range"): 1}
        advice._counted.clear()


def test_a_long_read_counts_once(things: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 700)
    advice._counted.clear()
    source = registry.source_of(things)
    ask = asked(source, {"where": {"Note": {"$gt": ""}}})
    assert len([*store.stream(source, ask.where, Projection())]) == 3_000
    assert advice._counted == {(things.pk, "Note", "range"): 1}
    advice._counted.clear()


def test_a_page_behind_a_cursor_is_remembered_apart_from_the_first_one(things: DataSource) -> None:
    source = registry.source_of(things)
    where = asked(source, {"where": {"Age": {"$gte": 0}}}).where
    first = scan.ScanRequest(source, where, first=50)
    behind = replace(first, place=(3,))
    statistics.attempts.record(attempts._key(first), 1)
    assert (attempts.expected(first), attempts.expected(behind)) == (1, 0)


def test_what_is_counted_is_bounded_and_of_data_sources_that_are_there(
    things: DataSource, settings: Any
) -> None:
    settings.ROWKEEPER = {"INDEX_ADVICE_SECONDS": 0}
    advice._counted.clear()
    advice.record(things.pk + 1, [("Note", "range")])
    advice.record(things.pk, [(f"c{n}", "range") for n in range(5_000)])
    assert len(advice._counted) == advice._MAX_COUNTED
    advice.flush()
    assert not WantedIndex.objects.exclude(data_source=things).exists()
    advice._counted.clear()


def test_nothing_is_written_while_a_request_is_answered(things: DataSource) -> None:
    source = registry.source_of(things)
    with CaptureQueriesContext(connection) as caught:
        store.select(source, Select(limit=1), EVERYTHING, Projection())
    assert len(caught) == 1


# -- the admin


def test_the_admin_shows_the_state_and_marks(things: DataSource, boss: Any) -> None:
    page = boss.get(url("change", things.pk)).content.decode()
    assert 'name="indexed_columns"' in page and "ready" in page
    address = url("change", things.pk)
    answer = boss.post(address, {**form_of(boss, address), "indexed_columns": "Note"})
    assert answer.status_code == 302, answer.content.decode()
    assert states(things) == {"Note": "wanted"}
    page = boss.get(url("change", things.pk)).content.decode()
    assert "wanted" in page
    answer = boss.post(address, {**form_of(boss, address), "indexed_columns": "Nothing"})
    assert "is not one of the columns" in answer.content.decode()


def test_who_may_not_change_a_data_source_marks_nothing(things: DataSource) -> None:
    reader = staff("reader", things, "view")
    page = reader.get(url("change", things.pk)).content.decode()
    assert 'name="indexed_columns"' not in page
    address = url("change", things.pk)
    reader.post(address, {"name": things.name, "indexed_columns": "Note"})
    assert states(things) == {"Name": "ready", "Age": "ready"}
