"""Many conditions of one shape are asked as one, over a list of what differs: the same is found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from rowkeeper.datasources.compiler import batching
from rowkeeper.datasources.compiler import where as sql
from rowkeeper.datasources.compiler.where import DIALECTS, where_sql
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.where import And, Node, matches, operators, parse_where
from tests.query.test_sift import found, stored
from tests.query.test_where_cases import GROUPS
from tests.reference.hostile import SCALARS, Hostile

SEED = 20270311
ROWS, WHERES, ALIKE = 10, 60, 12


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are many."""
    monkeypatch.setattr(sql, "MANY", 1)
    monkeypatch.setattr(batching, "MIN_BATCH", 2)
    monkeypatch.setattr(operators, "FEW_MEMBERS", 1)


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["operator"])
def test_the_cases_find_the_same(group: dict[str, Any]) -> None:
    source, ids = stored(group["rows"])
    for case in group["cases"]:
        if "finds" in case:
            node = parse_where(case["where"], case.get("columns", []))
            assert found(source, ids, node) == case["finds"], case["says"]


def varied(value: Any, hostile: Hostile) -> Any:
    """The same, with other scalars."""
    if isinstance(value, dict):
        return {
            key: item if key in ("$options", "$type") else varied(item, hostile)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [varied(item, hostile) for item in value]
    return hostile.random.choice([*hostile.seen, *SCALARS])


def node_of(where: Any) -> Node | None:
    try:
        return parse_where(where)
    except Malformed:
        return None


@pytest.mark.django_db
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("batch", range(6))
def test_alternatives_of_one_shape_find_the_same_as_in_memory(batch: int) -> None:
    hostile = Hostile.of(f"{SEED}-{batch}", whole=True)
    rows = hostile.rows(ROWS)
    source, ids = stored(rows)
    folded = 0
    for _ in range(WHERES):
        first = hostile.where()
        alike = [where for where in (varied(first, hostile) for _ in range(ALIKE)) if where]
        alike = [where for where in alike if node_of(where) is not None]
        if len(alike) < 2:
            continue
        for where in (
            {"$or": alike},
            {"$and": alike},
            {"$nor": alike},
            {"$or": [{"$and": alike[:4]}, {"$and": alike[4:8] or alike}, *alike[8:]]},
            {"a": {"$elemMatch": {"$or": alike}}},
        ):
            node = node_of(where)
            if node is None:
                continue
            ours = [number for number, row in enumerate(rows) if matches(node, row)]
            assert found(source, ids, node) == ours, json.dumps(where, ensure_ascii=False)
            folded += "AS many0" in where_sql(node, DIALECTS[connection.vendor]).text
    assert folded > WHERES / 2


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["$or", "$and", "$nor"])
def test_paths_by_the_hundred_find_the_same_as_in_memory(key: str) -> None:
    awkward = ['q"', "b\\", "{", "}", ",", "NULL", " ", "é😀"]
    names = [f"a.{awkward[n % 8]}.k{n}" for n in range(200)]
    rows: list[dict[str, Any]] = [
        {"a": {name.split(".")[1]: {name.split(".")[2]: [[at, 5]]}}}
        for at, name in enumerate(names)
    ]
    rows += [{"a": {}}, {}]
    source, ids = stored(rows)
    for test in ({"$gt": 4}, {"$eq": 7}, {"$regex": "x"}, {"$not": {"$lt": 3}}):
        node = parse_where({key: [{name: test} for name in names]})
        ours = [number for number, row in enumerate(rows) if matches(node, row)]
        assert found(source, ids, node) == ours, test


LONG: list[Any] = [
    {f"k{n}": n for n in range(200)},
    {f"k{n}": 1 for n in range(199)} | {"last": [{}, [], "", None, True, 0]},
    {'"\\é😀\n' * 200: 1},
    [[1.0] * 500, {"a": [None] * 100}],
    ['é😀\t"\\' * 300],
    [{}] * 600,
    [[]] * 600,
    [""] * 600,
]


@pytest.mark.django_db
@pytest.mark.parametrize("op", ["$eq", "$ne", "$in", "$nin"])
@pytest.mark.parametrize("path", ["a", "a.b"])
def test_long_lists_and_objects_are_found_as_in_memory(op: str, path: str) -> None:
    """Where they are as short as can be, and with nothing around them, too."""
    others = [
        {"k": 1.5},
        [1],
        "x" * 3_000,
        {**LONG[0], "more": 1},
        dict(reversed(LONG[0].items())),
        {key: float(value) for key, value in LONG[0].items()},
        [[1] * 500, {"a": [None] * 100}],
        [[1] * 499 + [2], {"a": [None] * 100}],
        [LONG[2]],
    ]
    rows: list[dict[str, Any]] = []
    for value in [*LONG, *others]:
        rows += [{"a": value}, {"a": {"b": value}}, {"a": [{"b": value}, 1]}]
    rows.append({})
    source, ids = stored(rows)
    for value in LONG:
        node = parse_where({path: {op: [value] if op in ("$in", "$nin") else value}})
        ours = [number for number, row in enumerate(rows) if matches(node, row)]
        assert 0 < len(ours) < len(rows)
        assert found(source, ids, node) == ours, json.dumps(value)[:40]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@pytest.mark.parametrize(
    "one",
    [
        lambda n: {"A": {"$gt": n}},
        lambda n: {"A": {"$like": f"a{n}%"}},
        lambda n: {f"c{n % 900}": {"$regex": f"^a{n % 50}$"}},
        lambda n: {"A": n, "B": str(n)},
        lambda n: {f"c{n % 900}": n},
        lambda n: {"A": {"$not": {"$eq": n}}},
        lambda n: {"A": {"$all": [n, n + 1]}},
        lambda n: {"$filters": [{"column": "A", "condition": "contains", "value": f"a{n}"}]},
    ],
)
def test_the_text_of_thousands_is_short(dialect: sql.Dialect, one: Any) -> None:
    for key in ("$or", "$and", "$nor"):
        found = where_sql(parse_where({key: [one(n) for n in range(3_000)]}), dialect)
        assert len(found.text) < 20_000 and len(found.params) < 100, (key, len(found.text))


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_a_where_is_written_once_for_each_way_that_it_is_asked(dialect: sql.Dialect) -> None:
    node = parse_where({"A": {"$in": [1, "x"]}, "$or": [{"B": 1}, {"C": 2}]})
    anew = parse_where({"A": {"$in": [1, "x"]}, "$or": [{"B": 1}, {"C": 2}]})
    for source in (None, 1, 2, None, 1, 3, 4, 5, 6, 2):
        found = where_sql(node, dialect, source)
        assert found == sql._where_sql(anew, dialect, source)
    assert where_sql(node, dialect) is where_sql(node, dialect)
    assert node == anew and "kept" not in repr(node)
    assert isinstance(node, And) and len(node.kept) <= sql._MAX_KEPT
    assert not replace(node, items=()).kept


@pytest.mark.django_db
def test_one_value_for_a_list_is_taken_inside_of_a_list_too() -> None:
    """As look-ups of scripts may say it."""
    source, ids = stored([{"l": [{"a": 5}]}, {"l": [{"a": 6}]}, {}])
    node = parse_where({"l": {"$elemMatch": {"a": {"$in": 5}}}}, single_in=True)
    assert found(source, ids, node) == [0]
