"""Columns with awkward names: inserted, read, filtered, ordered by, picked, indexed, hidden, opened
and required over HTTP like any other; and names that are none, refused with a message everywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import RulesInvalid, save_rules
from tests.support.calls import (
    DENIED,
    INVALID,
    LOGIN,
    OPEN,
    SourceApi,
    data_source,
    failure_of,
    json_of,
)
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

AWKWARD = json.loads((Path(__file__).parents[1] / "cases" / "awkward_columns.json").read_text())
columns = pytest.mark.parametrize(
    "column", [pytest.param(case["column"], id=case["name"]) for case in AWKWARD]
)
in_templates = pytest.mark.parametrize(
    "column",
    [pytest.param(c["column"], id=c["name"]) for c in AWKWARD if c.get("template", True)],
)


def rows_of(column: str) -> list[dict[str, Any]]:
    return [{column: "b", "n": 1}, {column: "a", "n": 2}, {column: ["c", "a"], "n": 3}, {"n": 4}]


def with_rules(column: str, *rules: dict[str, Any]) -> SourceApi:
    return SourceApi(data_source("Awkward", [column, "n"], rows_of(column), list(rules)))


@columns
def test_it_is_written_and_read(column: str) -> None:
    asking = SourceApi(data_source("Awkward", ["n"], [], [OPEN]))
    made = json_of(asking.send("PUT", "/data", {column: "a", "n": 1}))
    assert made["data"] == {column: "a", "n": 1}
    assert DataSource.objects.get().columns == ["n", column]
    url = f"/data/{made['id']}"
    assert json_of(asking.send("GET", url))["data"] == {column: "a", "n": 1}
    assert json_of(asking.send("PUT", url, {column: {column: [1]}}))["data"][column] == {
        column: [1]
    }
    commit = {"entries": [{"data": {column: "b"}}], "append": True}
    told = json_of(asking.send("POST", "/commit", commit))["entries"]
    assert [entry["data"] for entry in told] == [{column: {column: [1]}, "n": 1}, {column: "b"}]
    assert [e["data"] for e in json_of(asking.send("GET", "/data"))["entries"]] == asking.rows()
    # A name with dots is a path until an administrator declares it.
    asking.model.refresh_from_db()
    asking.model.written_columns = []
    saving.save(asking.model)
    assert asking.query(type="delete", where={column: "b"}).json() == {"deletedCount": 1}
    assert asking.rows() == [{column: {column: [1]}, "n": 1}]


@columns
def test_it_is_filtered_by(column: str) -> None:
    asking = with_rules(column, OPEN)
    for condition, wanted in (
        ("a", [2, 3]),
        ({"$eq": "b"}, [1]),
        ({"$ne": "a"}, [1, 4]),
        ({"$in": ["b", None]}, [1, 4]),
        ({"$nin": ["b", None]}, [2, 3]),
        ({"$gt": "a"}, [1, 3]),
        ({"$lte": "a"}, [2, 3]),
        ({"$exists": False}, [4]),
        ({"$like": "a%"}, [2, 3]),
        ({"$iLike": "B"}, [1]),
        ({"$not": {"$eq": "a"}}, [1, 4]),
        ({"$or": [{"$eq": "b"}, {"$exists": False}]}, [1, 4]),
    ):
        assert [row["n"] for row in asking.rows(where={column: condition})] == wanted, condition
        found = asking.query(where={"$and": [{column: condition}]}, countOnly=True).json()
        assert found == {"count": len(wanted)}


@columns
def test_it_is_ordered_by_picked_and_indexed(column: str) -> None:
    asking = with_rules(column, OPEN)
    for written in (column, f"data.{column}"):
        assert [r["n"] for r in asking.rows(order=[[written, "ASC"]])] == [4, 2, 1, 3]
        assert [r["n"] for r in asking.rows(order=[[written, "DESC"], ["n", "ASC"]])] == [
            3,
            1,
            2,
            4,
        ]
        picked = asking.rows(attributes=["id", written])
        assert picked == [{column: "b"}, {column: "a"}, {column: ["c", "a"]}, {}]
    told = json_of(asking.index("n", column))["indexes"]
    assert told == {"n": [1, 2, 3, 4], column: ["a", "b", "c"]}


@columns
def test_it_is_hidden(column: str) -> None:
    asking = with_rules(column, {**OPEN, "exclude": [column]})
    first = asking.ids()[0]
    assert asking.rows() == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert json_of(asking.send("GET", f"/data/{first}"))["data"] == {"n": 1}
    for response in (
        asking.query(where={column: "a"}),
        asking.query(where={f"data.{column[:250]}": "a", column: "a"}),
        asking.query(where={"$not": {column: {"$exists": True}}}, countOnly=True),
        asking.query(order=[[column]]),
        asking.query(order=[[f"data.{column}", "DESC"]]),
        asking.query(attributes=[column]),
        asking.index(column),
        asking.query(type="delete", where={column: "a"}),
        asking.send("PUT", "/data", {column: "a"}),
        asking.send("PUT", f"/data/{first}", {column: "a"}),
    ):
        assert failure_of(response) == DENIED
    commit = {"entries": [{"id": first, "data": {"n": 9}}], "append": True}
    assert asking.send("POST", "/commit", commit).status_code == 200
    assert asking.model.entries.get(pk=first).data == {column: "b", "n": 9}


@columns
def test_it_is_opened(column: str) -> None:
    asking = with_rules(column, {**OPEN, "include": [column]})
    first = asking.ids()[0]
    assert asking.rows() == [{column: "b"}, {column: "a"}, {column: ["c", "a"]}, {}]
    assert asking.rows(where={column: "b"}) == [{column: "b"}]
    assert asking.rows(order=[[column, "DESC"]], limit=1) == [{column: ["c", "a"]}]
    assert asking.rows(attributes=[column], limit=1) == [{column: "b"}]
    assert json_of(asking.index(column)) == {"indexes": {column: ["a", "b", "c"]}}
    assert json_of(asking.send("PUT", f"/data/{first}", {column: "z"}))["data"] == {column: "z"}
    assert failure_of(asking.query(where={"n": 1})) == DENIED
    assert failure_of(asking.send("PUT", f"/data/{first}", {"n": 1})) == DENIED


@columns
def test_it_is_required(column: str) -> None:
    rule = {**OPEN, "require": [{column: {"equals": "a"}}]}
    asking = with_rules(column, rule)
    _, second, third, fourth = asking.ids()
    assert [row["n"] for row in asking.rows(where={column: "a"})] == [2, 3]
    assert [row["n"] for row in asking.rows(where={column: {"$in": ["a"]}, "n": 3})] == [3]
    assert failure_of(asking.query(where={column: "b"})) == DENIED
    assert failure_of(asking.query()) == DENIED
    assert [asking.send("GET", f"/data/{n}").status_code for n in (second, third)] == [200, 200]
    assert failure_of(asking.send("GET", f"/data/{fourth}")) == DENIED
    assert failure_of(asking.send("PUT", "/data", {column: "b"})) == DENIED
    assert asking.send("PUT", "/data", {column: "a"}).status_code == 200
    for op, value, where in (
        ("notequals", "b", {column: {"$ne": "b"}}),
        ("contains", "c", {column: {"$like": "%c%"}}),
    ):
        save_rules(asking.model, [{**OPEN, "require": [column, {column: {op: value}}]}])
        assert asking.rows(where=where)
        assert failure_of(asking.query(where={"n": 1})) == DENIED


@in_templates
def test_a_template_names_it(column: str) -> None:
    people = sign_in_source("People", [{"Email": "ann@acme.com", column: "o'b"}])
    template = f"{{{{user.[{column}]}}}}"
    rule = {
        "type": ["select"],
        "allow": {"user": {column: {"equals": "o'b"}}},
        "require": [{column: {"equals": template}}, {"mixed": {"equals": f"is {template}!"}}],
    }
    rows = [{column: "o'b", "mixed": "is o'b!"}, {column: "o'b", "mixed": "is no!"}, {column: "x"}]
    asking = SourceApi(data_source("Owned", [column, "mixed"], rows, [rule]))
    asking.headers = headers_of(asking.client, people, "ann@acme.com")
    assert asking.rows(where={column: "o'b", "mixed": "is o'b!"}) == [rows[0]]
    assert failure_of(asking.query(where={column: "x", "mixed": "is o'b!"})) == DENIED
    assert [asking.send("GET", f"/data/{n}").status_code for n in asking.ids()] == [200, 400, 400]


# -- dots: a declared column, else a path


def test_a_declared_column_with_dots_is_itself_and_other_dots_are_a_path() -> None:
    rows: list[dict[str, Any]] = [
        {"a.b": 1, "n": 1},
        {"a": {"b": 1}, "n": 2},
        {"c": {"d": 1}, "n": 3},
    ]
    asking = SourceApi(data_source("Dots", ["a.b", "a", "n", "c"], rows, [OPEN]))
    assert [row["n"] for row in asking.rows(where={"a.b": 1})] == [1]
    assert [row["n"] for row in asking.rows(where={"c.d": 1})] == [3]
    assert asking.rows(where={"data.n": 1}) == []
    assert asking.send("PUT", "/data", {"c.d": 1, "n": 4}).status_code == 200
    # A write declares nothing.
    assert [row["n"] for row in asking.rows(where={"c.d": 1})] == [3]


def test_a_requirement_on_a_column_with_dots_wants_that_column() -> None:
    rows: list[dict[str, Any]] = [{"a.b": "x", "n": 1}, {"a": {"b": "x"}, "n": 2}]
    rule = {**OPEN, "require": [{"a.b": {"equals": "x"}}]}
    asking = SourceApi(data_source("Dots", ["a.b", "a", "n"], rows, [rule]))
    assert [row["n"] for row in asking.rows(where={"a.b": "x"})] == [1]
    assert [asking.send("GET", f"/data/{n}").status_code for n in asking.ids()] == [200, 400]
    # The column is no longer declared: the rule is one that could not be saved, the key is a path.
    asking.model.columns = ["a", "n"]
    saving.save(asking.model)
    assert failure_of(asking.query(where={"a.b": "x"})) == LOGIN


def test_data_in_front_is_optional_in_order_and_attributes_and_the_bare_name_wins() -> None:
    rows = [{"X": 1, "data.X": 2}, {"X": 2, "data.X": 1}]
    asking = SourceApi(data_source("Both", ["X", "data.X"], rows, [OPEN]))
    assert asking.rows(order=[["data.X"]]) == asking.rows(order=[["X"]]) == rows
    assert asking.rows(attributes=["data.X"]) == [{"X": 1}, {"X": 2}]
    assert asking.rows(order=[["data.data.X"]]) == rows[::-1]
    assert asking.rows(where={"data.X": 2}) == rows[:1]
    alone = SourceApi(data_source("Alone", ["data.Y"], [{"data.Y": 1}, {"data.Y": 0}], [OPEN]))
    assert alone.rows(order=[["data.Y"]]) == [{"data.Y": 0}, {"data.Y": 1}]
    assert alone.rows(attributes=["data.Y"]) == [{"data.Y": 1}, {"data.Y": 0}]


@pytest.mark.parametrize(
    "rule",
    [
        {"include": ["c.d"]},
        {"exclude": ["c.d"]},
        {"require": ["c.d"]},
        {"require": [{"c.d": {"equals": 1}}]},
    ],
    ids=str,
)
def test_a_rule_may_not_name_a_path(rule: dict[str, Any]) -> None:
    model = data_source("Dots", ["c"], [], [])
    with pytest.raises(RulesInvalid, match=r"rule 1.*c\.d"):
        save_rules(model, [{**OPEN, **rule}])


# -- names that are none

NO_NAMES = {
    "$where": "$where",
    "a dollar alone": "$",
    "NUL": "a\x00b",
    "a lone surrogate": "a\ud800",
    "256 characters": "x" * 256,
    "nothing": "",
}
no_names = pytest.mark.parametrize(
    "name", [pytest.param(name, id=told) for told, name in NO_NAMES.items()]
)


@no_names
def test_no_clause_takes_it(name: str) -> None:
    asking = SourceApi(data_source("Awkward", ["n"], [{"n": 1}], [OPEN]))
    for where in (
        {name: 1},
        {name: {"$eq": 1}},
        {"n": 1, "$and": [{"$or": [{name: "x"}]}]},
        {"$not": {name: 1}},
        {name: "function() { return true }"},
    ):
        assert failure_of(asking.query(where=where)) == INVALID, where
        assert failure_of(asking.query(type="delete", where=where)) == INVALID, where
    for asked in ({"order": [[name]]}, {"attributes": [name]}, {"order": [["n"], [name, "DESC"]]}):
        assert failure_of(asking.query(**asked)) == INVALID, asked
    if name and "\ud800" not in name:
        assert failure_of(asking.index(name)) == INVALID
        assert failure_of(asking.index("n", name)) == INVALID
    assert len(asking.ids()) == 1


@no_names
def test_no_row_has_it(name: str) -> None:
    asking = SourceApi(data_source("Awkward", ["n"], [{"n": 1}], [OPEN]))
    first = asking.ids()[0]
    for row in ({name: 1}, {"n": {name: 1}}, {"n": [[{name: None}]]}):
        for response in (
            asking.send("PUT", "/data", row),
            asking.send("PUT", f"/data/{first}", row),
            asking.send("POST", "/data", {"append": True, "entries": [{"n": 2}, row]}),
            asking.send("POST", "/commit", {"append": True, "entries": [{"data": row}]}),
            asking.send("POST", "/commit", {"entries": [{"id": first, "data": row}]}),
        ):
            assert failure_of(response) == INVALID, row
    assert asking.rows() == [{"n": 1}]
    assert DataSource.objects.get().columns == ["n"]


@no_names
def test_no_rule_and_no_data_source_has_it(name: str) -> None:
    model = data_source("Awkward", ["n"], [{"n": 1}], [OPEN])
    asking = SourceApi(model)
    asking.client.force_login(User.objects.create_superuser("admin", "a@acme.com", "x"))
    for rule in (
        {**OPEN, "include": ["n", name]},
        {**OPEN, "exclude": [name]},
        {**OPEN, "require": [name]},
        {**OPEN, "require": [{name: {"equals": 1}}]},
        {**OPEN, "allow": {"user": {name: {"equals": 1}}}},
    ):
        with pytest.raises(RulesInvalid) as caught:
            save_rules(model, [OPEN, rule])
        assert str(caught.value).startswith("rule 2, `"), caught.value
        assert failure_of(asking.send("PUT", "", {"accessRules": [rule]})) == INVALID
    assert failure_of(asking.send("PUT", "", {"columns": ["n", name]})) == INVALID
    assert asking.rows() == [{"n": 1}]


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800", "\udfff"], ids=ascii)
def test_no_value_has_what_no_database_can_hold(text: str) -> None:
    asking = SourceApi(data_source("Awkward", ["n"], [{"n": 1}], [OPEN]))
    for condition in (
        text,
        {"$in": [text]},
        {"$like": text},
        {"$not": {"$eq": [text]}},
        {"x": text},
    ):
        assert failure_of(asking.query(where={"n": condition})) == INVALID, condition
    for value in (text, [text], {"x": {"y": text}}):
        assert failure_of(asking.send("PUT", "/data", {"n": value})) == INVALID
    with pytest.raises(RulesInvalid):
        save_rules(asking.model, [{**OPEN, "require": [{"n": {"equals": text}}]}])
