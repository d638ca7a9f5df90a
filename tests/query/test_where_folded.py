"""Many conditions of one shape become one condition over a list: every operator, every kind of
operand, and each database finds the rows that the reading in memory finds.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from rowkeeper.datasources import store
from rowkeeper.datasources.compiler.where import DIALECTS, where_sql
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.where import Node, matches, parse_where
from tests.query.test_sift import found, stored
from tests.reference.hostile import CONDITIONS, OPERANDS, OWN, PATTERNS, SCALARS, Hostile

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
# More conditions than `sql.MANY`.
ALIKE = 70
ROUNDS = 10 if LONG else 1
NUMBERS = [value for value in SCALARS if type(value) in (int, float)]
TEXTS = [value for value in SCALARS if type(value) is str]


def _one_of(values: list[Any]) -> Callable[[random.Random], Any]:
    return lambda draw: draw.choice(values)


def _listed(make: Callable[[random.Random], Any], most: int = 3) -> Callable[[random.Random], Any]:
    return lambda draw: [make(draw) for _ in range(draw.randint(0, most))]


_scalar = _one_of(SCALARS)
KINDS: dict[str, Callable[[random.Random], Any]] = {
    "numbers": _one_of(NUMBERS),
    "texts": _one_of(TEXTS),
    "booleans": _one_of([True, False]),
    "nulls": _one_of([None, None, None, 0, ""]),
    "scalars": _scalar,
    "lists": _listed(_scalar),
    "lists of one length": lambda draw: [draw.choice(SCALARS), draw.choice(SCALARS)],
    "lists of lists": _listed(_listed(_scalar)),
    "lists of null": _listed(_one_of([None])),
    "objects": lambda draw: {draw.choice("ab"): draw.choice([1, None, [1], [[2]], "x", {}])},
    "lists of objects": _listed(lambda draw: {draw.choice("ab"): draw.choice(SCALARS)}),
    "long lists": lambda draw: [draw.choice(SCALARS) for _ in range(draw.randint(60, 70))],
    "anything": lambda draw: draw.choice([None, 1, "1", [], {}, [[]], [None], [[1], [2]]]),
}
LISTS = ("$in", "$nin", "$all")


def rows_of(draw: random.Random, kind: str) -> list[dict[str, Any]]:
    """Rows with values of this kind in `a`, below `a`, and in a list there."""
    rows: list[dict[str, Any]] = [{}, {"a": None}, {"a": [[]]}]
    for _ in range(6):
        value = KINDS[kind](draw)
        rows += [{"a": value}, {"a": [value, 1]}, {"a": {"b": value}}, {"a": [{"b": value}]}]
    return rows


def conditions(draw: random.Random, op: str, kind: str, seen: list[Any]) -> list[dict[str, Any]]:
    """`ALIKE` operands of one operator, whose members are of one kind."""

    def member() -> Any:
        return draw.choice(seen) if draw.random() < 0.5 else KINDS[kind](draw)

    if op not in LISTS:
        return [{op: member()} for _ in range(ALIKE)]
    most = 66 if kind == "scalars" else 3
    sizes = [draw.choice([1, 2, 2, most]) for _ in range(ALIKE)]
    return [{op: [member() for _ in range(size)]} for size in sizes]


def seen_in(rows: list[dict[str, Any]]) -> list[Any]:
    """The values of the rows, and members of lists one step down."""
    values = [row["a"] for row in rows if "a" in row]
    return values + [member for value in values if isinstance(value, list) for member in value]


def groups_of(alike: list[Any]) -> list[dict[str, Any]]:
    """The conditions joined in each way, on a column, on a path, and within a list."""
    joined: list[dict[str, Any]] = []
    for path in ("a", "a.b"):
        each = [{path: one} for one in alike]
        joined += [{key: each} for key in ("$or", "$and", "$nor")]
    within = [{"b": one} for one in alike]
    return joined + [{"a": {"$elemMatch": {key: within}}} for key in ("$or", "$and")]


def parsed(where: dict[str, Any]) -> Node | None:
    """The tree of a where; None if the operator does not take such an operand."""
    try:
        return parse_where(where)
    except Malformed:
        return None


def is_folded(node: Node) -> bool:
    """Whether the SQL of a where has a list of conditions."""
    return "AS many0" in where_sql(node, DIALECTS[connection.vendor]).text


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", ["$in", "$nin", "$eq", "$ne", "$gt", "$lte", "$all", "$size"])
def test_every_kind_of_operand_finds_the_rows_of_the_memory_reading(op: str, kind: str) -> None:
    for _ in range(ROUNDS):
        seed = random.randrange(2**32)
        draw = random.Random(seed)
        rows = rows_of(draw, kind)
        source, ids = stored(rows)
        alike = conditions(draw, op, kind, seen_in(rows))
        alike = [one for one in alike if parsed({"a": one}) is not None]
        if len(alike) < ALIKE // 2:
            return
        for where in groups_of(alike):
            node = parse_where(where)
            ours = [number for number, row in enumerate(rows) if matches(node, row)]
            assert found(source, ids, node) == ours, (seed, json.dumps(where)[:500])


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["$or", "$and", "$nor"])
def test_lists_of_lists_are_compared_as_lists(key: str) -> None:
    """PostgreSQL has arrays of several dimensions, which forget where an inner list ends."""
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": [1, 2]}, {"a": [[1, 2]]}, {"a": 2}, {"a": []}, {}]
    source, ids = stored(rows)
    for members in (lambda n: [[n, n + 1]], lambda n: [[n], [n + 1]], lambda n: [[], [n], None]):
        node = parse_where({key: [{"a": {"$in": members(n)}} for n in range(ALIKE)]})
        assert is_folded(node)
        ours = [number for number, row in enumerate(rows) if matches(node, row)]
        assert found(source, ids, node) == ours


@pytest.mark.django_db
def test_a_delete_by_query_deletes_the_rows_that_many_conditions_name() -> None:
    rows: list[dict[str, Any]] = [{"a": n} for n in range(5)] + [{"a": [3, 4]}, {"a": [[3, 4], 9]}]
    source, ids = stored(rows)
    node = parse_where({"$or": [{"a": {"$in": [[n, n + 1], {"n": n}]}} for n in range(ALIKE)]})
    assert is_folded(node)
    assert store.delete_where(source, node) == 2
    assert sorted(store.fetch(source, ids)) == ids[:5]


@pytest.mark.django_db
@pytest.mark.parametrize("op", sorted({*OPERANDS, *OWN} - {"$and", "$or", "$nor", "$not"}))
def test_every_operator_finds_the_rows_of_the_memory_reading(op: str) -> None:
    operand = {**OPERANDS, **OWN}[op]
    for _ in range(ROUNDS):
        seed = str(random.randrange(2**32))
        hostile = Hostile.of(seed, whole=True)
        rows = hostile.rows(20)
        source, ids = stored(rows)
        alike: list[Any] = []
        while len(alike) < ALIKE:
            one = {op: operand(hostile, 1)}
            if op == "$regex":
                one["$options"] = hostile.random.choice(["i", "m"])
                one["$regex"] = hostile.random.choice(PATTERNS)
            if parsed({"a": one}) is not None:
                alike.append(one)
        for where in groups_of(alike):
            node = parsed(where)
            if node is not None:
                ours = [number for number, row in enumerate(rows) if matches(node, row)]
                assert found(source, ids, node) == ours, (seed, json.dumps(where)[:500])


@pytest.mark.django_db
@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_filter_finds_the_rows_of_the_memory_reading(condition: str) -> None:
    for _ in range(ROUNDS):
        seed = str(random.randrange(2**32))
        hostile = Hostile.of(seed, whole=True)
        rows = hostile.rows(20)
        source, ids = stored(rows)
        alike: list[dict[str, Any]] = []
        while len(alike) < ALIKE:
            one = hostile.filter()
            if one["condition"] == condition:
                one["column"] = "a"
                if parsed({"$filters": [one]}) is not None:
                    alike.append({"$filters": [one]})
        for key in ("$or", "$and", "$nor"):
            node = parse_where({key: alike})
            ours = [number for number, row in enumerate(rows) if matches(node, row)]
            assert found(source, ids, node) == ours, (seed, json.dumps(alike)[:500])
