"""Each answer of the endpoints of entries, as the page of the API documents it."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.store import embedded, read
from rowkeeper.rules.repository.rules import save_rules
from tests.support import calls
from tests.support.calls import OPEN, READ, Answer, Api, Place, fill, place

pytestmark = pytest.mark.django_db

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
WRITE = ["insert", "update", "delete"]
PEOPLE = [
    {"Name": "Ann", "Office": "Oslo", "Age": 41},
    {"Name": "Bob", "Office": "Rome", "Age": 30},
    {"Name": "Cid", "Office": "Oslo", "Age": 29},
]


@pytest.fixture
def people() -> Place:
    return place([OPEN], PEOPLE, name="People")


@pytest.fixture
def api() -> Api:
    return calls.anonymous()


def query(api: Api, there: Place, **body: Any) -> Answer:
    return api("POST", f"{there.data}/query", body)


def names(answer: Answer) -> list[str]:
    return [row["Name"] for row in answer.rows]


def denial(there: Place, verb: str) -> dict[str, Any]:
    name = there.model.name
    return {
        "message": f'The security rules for the Data Source "{name}" do not allow this app to '
        f"{verb} data.",
        "type": "datasource.access",
        "payload": {"dataSourceId": there.model.pk},
    }


# -- an entry


def test_an_entry_has_these_parts_everywhere(people: Place, api: Api) -> None:
    [first, *_] = people.ids
    by_query = query(api, people).entries[0]
    assert set(by_query) == {"id", "data", "dataSourceId", "createdAt", "updatedAt"}
    assert by_query["id"] == first
    assert by_query["dataSourceId"] == people.model.pk
    assert by_query["data"] == PEOPLE[0]
    assert TIME.fullmatch(by_query["createdAt"]) and TIME.fullmatch(by_query["updatedAt"])
    assert api("GET", people.data).entries[0] == by_query
    assert api("GET", f"{people.data}/{first}").json == by_query
    assert api("POST", f"{people.url}/commit", {"entries": [], "append": True}).entries[0] == (
        by_query
    )


@pytest.mark.parametrize("microsecond", [0, 1, 999, 1_000, 123_456, 999_999])
def test_times_are_cut_to_milliseconds_alike_everywhere(
    people: Place, api: Api, microsecond: int
) -> None:
    moment = datetime(2026, 1, 31, 23, 59, 59, microsecond, tzinfo=UTC)
    Entry.objects.update(created_at=moment, updated_at=moment)
    told = f"2026-01-31T23:59:59.{microsecond // 1000:03d}Z"
    for entry in (
        query(api, people).entries[0],
        api("GET", f"{people.data}/{people.ids[0]}").json,
        api("GET", people.data).entries[0],
    ):
        assert (entry["createdAt"], entry["updatedAt"]) == (told, told)


def test_a_write_moves_updated_at_alone(people: Place, api: Api) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    Entry.objects.update(created_at=moment, updated_at=moment)
    path = f"{people.data}/{people.ids[0]}"
    for entry in (api("PUT", path, {"Age": 1}).json, api("GET", path).json):
        assert entry["createdAt"] == "2020-01-01T00:00:00.000Z"
        assert entry["updatedAt"] > "2026"


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    0.1,
    1e21,
    1e-7,
    1.7976931348623157e308,
    5e-324,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    "",
    'it\'s "quoted" \\ / \n\t\x7f é \u2028 \U0001f98a',
    "\ufeff",
    [],
    {},
    [[], {}, [1, [2, [3]]]],
    {"a": {"b": [{"c": None}]}},
    {"a.b": 1, "data": 2, "id": 3},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_comes_back_as_it_was_sent(api: Api, value: Any) -> None:
    there = place([OPEN])
    row = {"V": value, "W": [value]}
    kinds = lambda found: json.dumps(found, sort_keys=True)  # noqa: E731  tells 1 from true
    made = api("PUT", there.data, row).json
    assert kinds(made["data"]) == kinds(row)
    answers = [
        query(api, there),
        query(api, there, attributes=["V", "W"]),
        query(api, there, includePagination=True),
        api("GET", there.data),
        api("POST", f"{there.url}/commit", {"entries": [], "append": True}),
    ]
    assert [kinds(answer.rows[0]) for answer in answers] == [kinds(row)] * len(answers)
    assert kinds(api("GET", f"{there.data}/{made['id']}").json["data"]) == kinds(row)
    api("PUT", f"{there.data}/{made['id']}", {"Other": 1})
    assert kinds(query(api, there, attributes=["V", "W"]).rows[0]) == kinds(row)


NAMES = [
    "Email__startswith",
    'a"b',
    "it's",
    "100%",
    "x') OR 1=1 --",
    "2024",
    "a.b",
    "data.x",
    "data",
    "id",
    "_connector",
    "\U0001f98a",
    "é" * 255,
    "a,b",
    "a/b",
    "a\\b",
    " ",
    "[0]",
    "#",
    "%2C",
    "%s",
    "{x}",
    "__proto__",
    "a\nb",
    "?",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_column_works_in_every_clause(api: Api, name: str) -> None:
    there = place([OPEN], columns=[name])
    for value in ("b", "a", "c"):
        assert api("PUT", there.data, {name: value}).json["data"] == {name: value}
    rows = query(api, there, where={name: "a"}).rows
    assert rows == [{name: "a"}]
    if name != "id":
        ordered = query(api, there, order=[[name, "DESC"]]).rows
        assert [row[name] for row in ordered] == ["c", "b", "a"]
        assert query(api, there, attributes=[name]).rows == [{name: v} for v in "bac"]
    ordered = query(api, there, order=[[f"data.{name}", "ASC"]]).rows
    assert [row[name] for row in ordered] == ["a", "b", "c"]
    assert query(api, there, attributes=[f"data.{name}"]).rows == [{name: v} for v in "bac"]
    assert query(api, there, where={name: {"$gt": "a"}}, countOnly=True).json == {"count": 2}
    if name != "%2C":  # which is how a comma is written there
        index = api("GET", f"{there.url}/indexes/{quote(name.replace(',', '%2C'), safe='')}")
        assert index.json == {"indexes": {name: ["a", "b", "c"]}}
    assert query(api, there, type="delete", where={name: "a"}).json == {"deletedCount": 1}


@pytest.mark.parametrize("name", ["", "$where", "$", "x" * 256, "\x00", "a\x00"])
def test_what_is_no_name_is_refused_with_the_place(people: Place, api: Api, name: str) -> None:
    before = people.stored
    for row in ({name: 1}, {"a": {name: 1}}, {"a": [{"b": {name: 1}}]}):
        for answer in (
            api("PUT", people.data, row),
            api("PUT", f"{people.data}/{people.ids[0]}", row),
            api("POST", people.data, {"entries": [{}, row], "append": True}),
            api("POST", f"{people.url}/commit", {"entries": [{"data": row}], "append": True}),
        ):
            assert answer.failure == (400, "request.invalid")
    assert people.stored == before


def test_the_size_of_a_row(people: Place, api: Api) -> None:
    nested: Any = 1
    for _ in range(99):
        nested = [nested]
    assert api("PUT", people.data, {"a": nested}).status == 200
    assert api("PUT", people.data, {"a": [nested]}).failure == (400, "request.invalid")
    assert api("PUT", people.data, {f"c{n}": n for n in range(1_000)}).status == 200
    row = {f"c{n}": n for n in range(1_001)}
    assert api("PUT", people.data, row).failure == (400, "request.invalid")


# -- select


def test_a_select_is_the_default(people: Place, api: Api) -> None:
    assert names(query(api, people)) == names(query(api, people, type="select"))
    assert names(query(api, people)) == ["Ann", "Bob", "Cid"]
    assert query(api, people).json.keys() == {"entries"}
    for kind in ("Select", "insert", "update", "", 1, None, [], {}):
        assert query(api, people, type=kind).failure == (400, "request.invalid")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (None, ["Ann", "Bob", "Cid"]),
        ({}, ["Ann", "Bob", "Cid"]),
        ({"Office": "Oslo"}, ["Ann", "Cid"]),
        ({"Office": "oslo"}, []),
        ({"Office": "Oslo", "Age": {"$gt": 30}}, ["Ann"]),
        ({"Age": {"$gte": 30, "$lt": 41}}, ["Bob"]),
        ({"Age": "30"}, []),
        ({"Age": 30.0}, ["Bob"]),
        ({"Age": True}, []),
        ({"Name": {"$in": ["Ann", "Cid", None]}}, ["Ann", "Cid"]),
        ({"Name": {"$nin": ["Ann"]}}, ["Bob", "Cid"]),
        ({"Name": {"$ne": "Ann"}}, ["Bob", "Cid"]),
        ({"Missing": None}, ["Ann", "Bob", "Cid"]),
        ({"Missing": {"$exists": True}}, []),
        ({"$or": [{"Name": "Ann"}, {"Age": 29}]}, ["Ann", "Cid"]),
        ({"$nor": [{"Name": "Ann"}, {"Age": 29}]}, ["Bob"]),
        ({"Name": {"$iLike": "B"}}, ["Bob"]),
        ({"Name": {"$like": "%n"}}, ["Ann"]),
        ({"Name": "%"}, []),
        ({"Name": {"$not": {"$eq": "Ann"}}}, ["Bob", "Cid"]),
        ({"id": 1}, []),
        ({"createdAt": {"$exists": True}}, []),
        ({"data.Name": "Ann"}, []),
    ],
)
def test_where(people: Place, api: Api, where: Any, found: list[str]) -> None:
    assert names(query(api, people, where=where)) == found
    assert query(api, people, where=where, countOnly=True).json == {"count": len(found)}


def test_limit_and_offset(people: Place, api: Api) -> None:
    big = 2**63 - 1
    for part, found in [
        ({"limit": 2}, ["Ann", "Bob"]),
        ({"limit": 0}, []),
        ({"limit": None}, ["Ann", "Bob", "Cid"]),
        ({"offset": 1}, ["Bob", "Cid"]),
        ({"offset": None}, ["Ann", "Bob", "Cid"]),
        ({"offset": 3}, []),
        ({"limit": 1, "offset": 1}, ["Bob"]),
        ({"limit": 0, "offset": 1}, []),
        ({"limit": big}, ["Ann", "Bob", "Cid"]),
        ({"offset": big}, []),
        ({"limit": big, "offset": 1}, ["Bob", "Cid"]),
        ({"limit": big, "offset": big}, []),
    ]:
        for order in (None, [["Name", "ASC"]]):
            assert names(query(api, people, order=order, **part)) == found, part
            pages = query(api, people, order=order, includePagination=True, **part)
            assert names(pages) == found
            assert pages.json["pagination"] == {
                "total": 3,
                "limit": part.get("limit"),
                "offset": part.get("offset") or 0,
            }
            assert query(api, people, countOnly=True, **part).json == {"count": 3}


@pytest.mark.parametrize(
    "order", [None, [["Name", "DESC"]], [["Office", "ASC"], ["id", "DESC"]], [["createdAt", "ASC"]]]
)
@pytest.mark.parametrize("far", [2, 100_000])
def test_far_down_the_same_entries_are_found(
    people: Place, api: Api, monkeypatch: pytest.MonkeyPatch, order: Any, far: int
) -> None:
    """Behind many others, entries are read when it is known which they are."""
    ask = {"order": order, "where": {"Name": {"$exists": True}}}
    whole = query(api, people, **ask).entries
    assert len(whole) > 2
    monkeypatch.setattr(read, "DEEP", 0)
    monkeypatch.setattr(embedded, "DEEP", 0)
    monkeypatch.setattr(read, "_FAR", far)
    for offset in range(1, 5):
        for limit in (None, 1, 2, 2**63 - 1):
            end = None if limit is None else offset + limit
            assert (
                query(api, people, **ask, offset=offset, limit=limit).entries == whole[offset:end]
            )


@pytest.mark.parametrize("key", ["limit", "offset"])
@pytest.mark.parametrize("value", [-1, 1.5, 1.0, "1", True, [], {}, 2**63 - 1 + 0.5])
def test_a_limit_is_a_whole_number(people: Place, api: Api, key: str, value: Any) -> None:
    if value == 2**63 - 1 + 0.5:
        value = 1e19
    assert query(api, people, **{key: value}).failure == (400, "request.invalid")


@pytest.mark.parametrize("key", ["countOnly", "includePagination"])
def test_a_switch_is_true_or_false(people: Place, api: Api, key: str) -> None:
    for value in (0, 1, "true", "", [], {}):
        assert query(api, people, **{key: value}).failure == (400, "request.invalid")
    assert query(api, people, **{key: False}).json.keys() == {"entries"}


def test_pages_tell_the_total_also_past_the_end_and_of_nothing(people: Place, api: Api) -> None:
    answer = query(api, people, where={"Office": "Oslo"}, includePagination=True, limit=1)
    assert answer.json["pagination"] == {"total": 2, "limit": 1, "offset": 0}
    answer = query(api, people, where={"Office": "None"}, includePagination=True)
    assert answer.json == {
        "entries": [],
        "pagination": {"total": 0, "limit": None, "offset": 0},
    }


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("part", [{}, {"limit": 50}, {"limit": 50, "offset": 0}])
def test_pages_keep_the_order(api: Api, direction: str, part: dict[str, Any]) -> None:
    there = place([OPEN], [{"N": n * 7 % 20} for n in range(20)])
    answer = query(api, there, order=[["N", direction]], includePagination=True, **part)
    expected = sorted(range(20), reverse=direction == "DESC")
    assert [row["N"] for row in answer.rows] == expected


MIXED: list[Any] = [
    [1],
    "b",
    2,
    None,
    {"a": 1},
    True,
    "a",
    -1.5,
    False,
    10,
    "é",
    "",
    "B",
    "\U0001f98a",
    "\uffff",
    2**63 - 1,
    2**63 - 2,
    1e300,
    "10",
]


def test_the_order_over_types(api: Api) -> None:
    there = place([OPEN], [{"V": value, "At": at} for at, value in enumerate(MIXED)])
    fill(there, [{"At": 99}])
    at = [row["At"] for row in query(api, there, order=[["V", "ASC"]]).rows]
    values = [None if n == 99 else MIXED[n] for n in at]
    assert values == [
        None,
        None,
        False,
        True,
        -1.5,
        2,
        10,
        2**63 - 2,
        2**63 - 1,
        1e300,
        "",
        "10",
        "B",
        "a",
        "b",
        "é",
        "\uffff",
        "\U0001f98a",
        [1],
        {"a": 1},
    ]
    # Equal terms stay in the order of their ids, whatever the direction.
    down = [row["At"] for row in query(api, there, order=[["data.V", "desc"]]).rows]
    assert down == [0, 4, *reversed(at[2:-2]), 3, 99]


def test_the_order_of_fields_and_of_more_than_one_term(people: Place, api: Api) -> None:
    for order, found in [
        ([["Office", "ASC"], ["Age", "ASC"]], ["Cid", "Ann", "Bob"]),
        ([["data.Office", "DESC"], ["data.Name", "DESC"]], ["Bob", "Cid", "Ann"]),
        ([["id", "DESC"]], ["Cid", "Bob", "Ann"]),
        ([["createdAt", "ASC"], ["id", "DESC"]], None),
        ([["updatedAt", "ASC"]], None),
        ([["order", "ASC"]], ["Ann", "Bob", "Cid"]),
        ([["Missing", "DESC"]], ["Ann", "Bob", "Cid"]),
        ([], ["Ann", "Bob", "Cid"]),
        (None, ["Ann", "Bob", "Cid"]),
        ([["Name"]], ["Ann", "Bob", "Cid"]),
        ([["Name", "DESC"]] * 100, ["Cid", "Bob", "Ann"]),
    ]:
        answer = query(api, people, order=order)
        assert answer.status == 200, order
        if found is not None:
            assert names(answer) == found, order


@pytest.mark.parametrize(
    "order",
    [
        "Name",
        {},
        {"Name": "ASC"},
        ["Name"],
        [[]],
        [["Name", "UP"]],
        [["Name", 1]],
        [["Name", "ASC", "x"]],
        [[1, "ASC"]],
        [["", "ASC"]],
        [["$x", "ASC"]],
        [["data.", "ASC"]],
        [["Name", "ASC; DROP TABLE x"]],
        [["Name", "ASC"]] * 101,
    ],
)
def test_an_order_that_is_none(people: Place, api: Api, order: Any) -> None:
    answer = query(api, people, order=order)
    assert answer.failure == (400, "request.invalid")
    assert "order" in answer.json["message"]


def test_attributes(people: Place, api: Api) -> None:
    usual = {"id", "dataSourceId", "createdAt", "updatedAt"}
    for attributes, keys, columns in [
        (["Name"], {*usual, "data"}, {"Name"}),
        (["data.Name", "Age"], {*usual, "data"}, {"Name", "Age"}),
        (["id", "data.Name"], {"id", "data"}, {"Name"}),
        (["id"], {"id"}, None),
        (["createdAt", "id"], {"id", "createdAt"}, None),
        (["Missing"], {*usual, "data"}, set()),
        (["Name", "Name"], {*usual, "data"}, {"Name"}),
        (["id", "order", "Name"], {"id", "order", "data"}, {"Name"}),
    ]:
        entry = query(api, people, attributes=attributes).entries[0]
        assert set(entry) == keys, attributes
        if columns is not None:
            assert set(entry["data"]) == columns
    for attributes in ("Name", {}, [1], [None], [["Name"]], ["$x"], [""], ["data."], ["x"] * 1_001):
        assert query(api, people, attributes=attributes).failure == (400, "request.invalid")


def test_the_order_of_an_entry_is_told_where_it_is_asked_for(people: Place, api: Api) -> None:
    Entry.objects.filter(pk=people.ids[1]).update(order=-5)
    answer = query(api, people, attributes=["id", "order"], order=[["order", "ASC"]])
    assert [entry["order"] for entry in answer.entries] == [-5, 0, 0]
    assert answer.entries[0]["id"] == people.ids[1]


def test_where_both_x_and_data_x_are_columns_x_wins(api: Api) -> None:
    rows = [{"X": 1, "data.X": 2, "N": "a"}, {"X": 2, "data.X": 1, "N": "b"}]
    there = place([OPEN], rows)
    assert [row["N"] for row in query(api, there, order=[["data.X", "ASC"]]).rows] == ["a", "b"]
    assert query(api, there, attributes=["data.X"]).rows == [{"X": 1}, {"X": 2}]


UNREADABLE = [
    {"aggregate": [{"$count": "n"}]},
    {"join": {"x": {}}},
    {"view": "x"},
    {"view": ["x"]},
    {"distinct": True},
    {"distinct": ["Name"]},
    {"join": []},
    {"aggregate": 0},
    {"distinct": ""},
    {"after": 1},
]
OPERATORS = ("$type", "$mod", "$elemMatch", "$options", "$filters")


@pytest.mark.parametrize("part", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(
    people: Place, api: Api, part: dict[str, Any]
) -> None:
    answer = query(api, people, **part)
    assert answer.failure == (400, "request.invalid")
    assert next(iter(part)) in answer.json["message"]


@pytest.mark.parametrize("operator", [*OPERATORS, "$where", "$text", "$foo", "$EQ", "$"])
def test_an_operator_that_is_none_is_refused_by_name(
    people: Place, api: Api, operator: str
) -> None:
    for where in ({"Name": {operator: 1}}, {operator: "1"}, {"$or": [{"Name": {operator: []}}]}):
        for kind in ("select", "delete"):
            answer = query(api, people, type=kind, where=where)
            assert answer.failure == (400, "request.invalid")
            assert operator in answer.json["message"]
    assert len(people.stored) == 3


@pytest.mark.parametrize(
    "where",
    [
        [],
        "x",
        1,
        True,
        {"$or": []},
        {"$or": {}},
        {"$and": [1]},
        {"$nor": "x"},
        {"Name": {"$in": "x"}},
        {"Name": {"$nin": {}}},
        {"Name": {"$gt": 1, "x": 2}},
        {"": 1},
        {"x" * 256: 1},
        {"Name": {"$in": ["x"] * 10_001}},
    ],
)
def test_a_where_that_is_none_names_the_place(people: Place, api: Api, where: Any) -> None:
    for kind in ("select", "delete"):
        answer = query(api, people, type=kind, where=where)
        assert answer.failure == (400, "request.invalid"), answer
    assert len(people.stored) == 3


@pytest.mark.parametrize("extra", [{"x": 1}, {"Where": {}}, {"append": True}, {"cache": {}}])
def test_unknown_keys_of_a_body_are_ignored(people: Place, api: Api, extra: dict[str, Any]) -> None:
    assert len(query(api, people, **extra).entries) == 3


def nested(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"N": 1}
    for _ in range(levels):
        where = {"$and": [where]}
    return where


def test_the_largest_query_that_is_taken(api: Api) -> None:
    names_of_all = [f"c{n}" for n in range(1_000)]
    there = place([OPEN], [{"N": 1, **dict.fromkeys(names_of_all[:-1], 1)}, {"N": 2}])
    values = list(range(1, 9_999))
    for part, count in [
        ({"where": {"N": {"$in": values}}}, 2),
        ({"where": {"N": {"$nin": values[1:]}}}, 1),
        ({"where": {"$or": [{"N": n} for n in values]}}, 2),
        ({"where": {"$nor": [{"N": -n} for n in values]}}, 2),
        ({"where": dict.fromkeys(names_of_all[:-1], 1)}, 1),
        ({"where": nested(30)}, 1),
        ({"order": [[name, "DESC"] for name in names_of_all[:100]]}, 2),
        ({"attributes": names_of_all}, 2),
    ]:
        answer = query(api, there, **part)
        assert len(answer.entries) == count, next(iter(part))
        paged = query(api, there, **part, includePagination=True, limit=5)
        assert paged.json["pagination"]["total"] == count
    assert query(api, there, where=nested(33)).failure == (400, "request.invalid")
    assert query(api, there, where=nested(200)).failure == (400, "request.invalid")


def test_a_rule_may_hide_or_show_many_columns(api: Api) -> None:
    row = {f"c{n}": n for n in range(1_000)}
    for number, (part, left) in enumerate(
        [({"exclude": [*row][:999]}, 1), ({"include": [*row][:999]}, 999), ({"include": []}, 0)]
    ):
        there = place([{**READ, **part}], [row], name=f"Things {number}")
        assert len(query(api, there).rows[0]) == left
        assert len(api("GET", there.data).rows[0]) == left


# -- hidden columns, in every clause


HIDING: dict[str, dict[str, Any]] = {
    "exclude": {"exclude": ["Salary"]},
    "include": {"include": ["Name", "Office"]},
}
SPELLINGS = ["Salary", "data.Salary", "Salary.x", "data.Salary.x", "Salary.0"]


@pytest.mark.parametrize("hiding", HIDING)
@pytest.mark.parametrize("name", SPELLINGS)
def test_naming_a_hidden_column_does_not_fit_in_any_clause(
    api: Api, hiding: str, name: str
) -> None:
    rows = [{"Name": "a", "Office": "x", "Salary": 9}, {"Name": "b", "Salary": {"x": 1}}]
    there = place(
        [{**READ, **HIDING[hiding]}, {"type": ["delete"], "allow": "all"}], rows, name="Pay"
    )
    clauses: list[dict[str, Any]] = [
        {"where": {name: 9}},
        {"where": {name: {"$gt": 1}}},
        {"where": {"Name": "a", name: {"$exists": True}}},
        {"where": {"$or": [{"Name": "a"}, {name: 1}]}},
        {"where": {"$nor": [{name: 1}]}},
        {"where": {name: {"$not": {"$eq": 1}}}},
        {"where": {name: {"$ne": None}}, "countOnly": True},
        {"where": {name: {"$in": []}}},
        {"where": {name: {"$iLike": "%"}}},
        {"order": [[name, "ASC"]]},
        {"order": [["Name", "ASC"], [name, "DESC"]], "limit": 1},
        {"order": [[name, "ASC"]], "countOnly": True},
        {"attributes": ["Name", name]},
        {"attributes": [name], "countOnly": True},
        {"type": "delete", "where": {name: 9}},
    ]
    for clause in clauses:
        verb = "delete" if clause.get("type") == "delete" else "read"
        assert query(api, there, **clause).json == denial(there, verb), clause
    index = api("GET", f"{there.url}/indexes/Name,{quote(name)}")
    assert index.json == denial(there, "read")
    assert len(there.stored) == 2


def test_what_is_not_hidden_may_be_named_in_every_clause(api: Api) -> None:
    rows = [{"Name": "a", "Salary": 1, "Tags": {"x": 1}}]
    for hiding in ({"include": ["Name", "Tags"]}, {"exclude": ["Salary"]}):
        name = f"Pay {len(hiding)} {next(iter(hiding))}"
        there = place([{**READ, **hiding}], rows, name=name)
        for clause in (
            {"where": {"Name": "a"}},
            {"where": {"Tags.x": 1}},
            {"order": [["data.Name", "ASC"]]},
            {"order": [["Name", "ASC"], ["id", "DESC"], ["createdAt", "ASC"]]},
            {"attributes": ["id", "data.Name"]},
            {"attributes": ["Name"]},
        ):
            rows_found = query(api, there, **clause).rows
            assert rows_found and "Salary" not in rows_found[0], clause
        assert api("GET", f"{there.url}/indexes/Name").json == {"indexes": {"Name": ["a"]}}


def test_a_hidden_column_is_in_no_answer(api: Api) -> None:
    rules = [
        {**READ, "exclude": ["Salary"]},
        {"type": WRITE, "allow": "all", "exclude": ["Salary"]},
    ]
    there = place(rules, [{"Name": "a", "Salary": 9}])
    entry = there.ids[0]
    for answer in (
        query(api, there),
        query(api, there, includePagination=True),
        api("GET", there.data),
        api("GET", f"{there.data}/{entry}"),
        api("PUT", f"{there.data}/{entry}", {"Name": "b"}),
        api("POST", f"{there.url}/commit", {"entries": [], "append": True}),
        api("PUT", there.data, {"Name": "c"}),
        api("GET", there.url),
    ):
        assert answer.status == 200
        assert b"Salary" not in answer.text
    assert there.stored[entry] == {"Name": "b", "Salary": 9}


def test_a_rule_that_hides_a_named_column_is_skipped_for_the_next(api: Api) -> None:
    there = place([{**READ, "exclude": ["Salary"]}, READ], [{"Name": "a", "Salary": 9}])
    assert query(api, there).rows == [{"Name": "a"}]
    assert query(api, there, where={"Salary": 9}).rows == [{"Name": "a", "Salary": 9}]


# -- GET data


def test_get_data_is_every_entry_without_a_page_limit(api: Api) -> None:
    there = place([READ], [{"N": n} for n in range(2_345)])
    answer = api("GET", there.data)
    assert [row["N"] for row in answer.rows] == list(range(2_345))
    assert answer.json.keys() == {"entries"}


@pytest.mark.parametrize("number", [0, 1, 199, 200, 201, 400, 1_000, 1_001, 2_000])
def test_get_data_at_the_edges_of_its_pages(api: Api, number: int) -> None:
    there = place([READ], [{"N": n} for n in range(number)])
    assert [row["N"] for row in api("GET", there.data).rows] == list(range(number))


def test_get_data_is_a_select_with_an_empty_where(api: Api) -> None:
    there = place([{**READ, "require": [{"Office": {"equals": "Oslo"}}]}], PEOPLE, name="P")
    assert api("GET", there.data).json == denial(there, "read")
    assert api("GET", f"{there.url}/indexes/Name").json == denial(there, "read")
    assert names(query(api, there, where={"Office": "Oslo"})) == ["Ann", "Cid"]


# -- one entry


def test_put_makes_a_row_and_answers_the_entry(people: Place, api: Api) -> None:
    made = api("PUT", people.data, {"Name": "Dee", "New": [1]})
    assert made.status == 200
    assert made.json["data"] == {"Name": "Dee", "New": [1]}
    assert people.stored[made.json["id"]] == {"Name": "Dee", "New": [1]}
    people.model.refresh_from_db()
    assert people.model.columns == ["Name", "Office", "Age", "New"]


def test_put_by_id_merges_the_columns_that_are_sent(people: Place, api: Api) -> None:
    path = f"{people.data}/{people.ids[0]}"
    answer = api("PUT", path, {"Age": None, "Extra": {"a": 1}})
    assert answer.json["data"] == {"Name": "Ann", "Office": "Oslo", "Age": None, "Extra": {"a": 1}}
    assert api("PUT", path, {"Extra": {"b": 2}}).json["data"]["Extra"] == {"b": 2}
    assert api("PUT", path, {}).json["data"] == api("GET", path).json["data"]
    people.model.refresh_from_db()
    assert people.model.columns == ["Name", "Office", "Age", "Extra"]


def test_delete_by_id(people: Place, api: Api) -> None:
    path = f"{people.data}/{people.ids[0]}"
    answer = api("DELETE", path)
    assert (answer.status, answer.json) == (200, {})
    assert list(people.stored) == people.ids[1:]
    assert api("DELETE", path).failure == (404, "notfound")


def test_entries_of_another_data_source_are_not_there(people: Place, api: Api) -> None:
    other = place([OPEN], [{"Name": "x"}], name="Other")
    path = f"{people.data}/{other.ids[0]}"
    for method in ("GET", "PUT", "DELETE"):
        assert api(method, path, {"Name": "y"}).failure == (404, "notfound")
    for body in (
        {"entries": [{"id": other.ids[0], "data": {"Name": "y"}}], "append": True},
        {"entries": [{"id": other.ids[0], "data": {}}], "append": True, "extend": True},
    ):
        assert api("POST", f"{people.url}/commit", body).failure == (404, "notfound")
    body = {"entries": [], "delete": [other.ids[0]], "append": True}
    assert api("POST", f"{people.url}/commit", body).status == 200
    assert list(other.stored.values()) == [{"Name": "x"}]
    assert len(people.stored) == 3


MISSING = 2**63 - 1
NO_REQUIREMENT = [
    [READ],
    [{**READ, "require": ["Name"]}, READ],
    [{**READ, "exclude": ["Name"]}],
    [{**READ, "include": []}],
]


@pytest.mark.parametrize("rules", NO_REQUIREMENT)
def test_a_missing_entry_is_404_where_everything_may_be_seen(api: Api, rules: list[Any]) -> None:
    there = place(rules, [{"Name": "a"}])
    for method in ("GET", "PUT", "DELETE"):
        answer = api(method, f"{there.data}/{MISSING}", {"Name": "x"})
        assert answer.failure == (404, "notfound"), method
    body = {"entries": [{"id": MISSING, "data": {}}], "append": True}
    assert api("POST", f"{there.url}/commit", body).failure == (404, "notfound")


RESTRICTED: list[tuple[str, list[Any]]] = [
    ("no rule", [{"type": ["insert"], "allow": "all"}]),
    ("an equality", [{**OPEN, "require": [{"Owner": {"equals": "x"}}]}]),
    ("an inequality", [{**OPEN, "require": [{"Archived": {"notequals": True}}]}]),
    ("a required column", [{**OPEN, "require": ["Name"]}]),
    ("writes alone", [{"type": WRITE, "allow": "all", "require": [{"Owner": {"equals": "x"}}]}]),
    ("a login", [{**READ, "allow": "loggedIn"}, {"type": ["insert"], "allow": "all"}]),
    ("disabled", [{**READ, "enabled": False}, {"type": ["insert"], "allow": "all"}]),
]


@pytest.mark.parametrize(
    "rules", [rules for _, rules in RESTRICTED], ids=[n for n, _ in RESTRICTED]
)
@pytest.mark.parametrize("who", ["anonymous", "token"])
def test_a_missing_entry_answers_as_a_hidden_one(rules: list[Any], who: str) -> None:
    api = calls.anonymous() if who == "anonymous" else calls.bare_token()[1]
    there = place(rules, [{"Name": "a", "Owner": "y", "Archived": True}])
    for method in ("GET", "PUT", "DELETE"):
        if method == "PUT" and rules[0].get("require") == ["Name"]:
            continue
        hidden = api(method, f"{there.data}/{there.ids[0]}", {"Owner": "z", "Archived": True})
        missing = api(method, f"{there.data}/{MISSING}", {"Owner": "z", "Archived": True})
        assert (missing.status, missing.text) == (hidden.status, hidden.text), method
        assert hidden.status in (400, 401)
    assert there.stored[there.ids[0]] == {"Name": "a", "Owner": "y", "Archived": True}


# -- what a write answers


def test_an_insert_answers_what_was_submitted_and_no_more(api: Api) -> None:
    there = place([{"type": ["insert"], "allow": "all"}], columns=["Name"])
    answer = api("PUT", there.data, {"Name": "a"})
    assert answer.json["data"] == {"Name": "a"}
    assert set(answer.json) == {"id", "data", "dataSourceId", "createdAt", "updatedAt"}


def test_an_update_answers_what_was_shown_before_and_is_shown_after(api: Api) -> None:
    mine = {"require": [{"Owner": {"equals": "me"}}]}
    read = [{**READ, **mine, "exclude": ["Secret"]}, {**READ, "include": ["Name"]}]
    update = {"type": ["update"], "allow": "all"}
    row = {"Name": "a", "Owner": "me", "Secret": 1, "Note": "n"}
    there = place([*read, update], [row, {**row, "Owner": "you"}, {**row, "Owner": "you"}])
    first, second, third = there.ids

    kept = api("PUT", f"{there.data}/{first}", {"Name": "b"}).json["data"]
    assert kept == {"Name": "b", "Owner": "me", "Note": "n"}
    # Shown after, but not before: taking a record over does not read it.
    taken = api("PUT", f"{there.data}/{second}", {"Owner": "me"}).json["data"]
    assert taken == {"Owner": "me", "Name": "a"}
    # Shown before, but no longer.
    given = api("PUT", f"{there.data}/{first}", {"Owner": "you"}).json["data"]
    assert given == {"Owner": "you", "Name": "b"}
    # Submitted, though it may not be read.
    blind = api("PUT", f"{there.data}/{third}", {"Secret": 2}).json["data"]
    assert blind == {"Secret": 2, "Name": "a"}


def test_an_update_without_any_select_answers_what_was_submitted(api: Api) -> None:
    there = place([{"type": ["update"], "allow": "all"}], [{"Name": "a", "Note": "n"}])
    answer = api("PUT", f"{there.data}/{there.ids[0]}", {"Name": "b"})
    assert answer.json["data"] == {"Name": "b"}


# -- forms


FORM = "application/x-www-form-urlencoded"


def multipart(**fields: str) -> bytes:
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return ("".join(parts) + "--B--\r\n").encode()


def test_the_put_of_a_row_may_be_a_form(people: Place, api: Api) -> None:
    row = {"Name": "Zoë & co", "Age": "5", "Empty": "", "Lines": "a\r\nb", "Fox": "\U0001f98a"}
    encoded = "&".join(f"{quote(key)}={quote(value)}" for key, value in row.items()).encode()
    for raw, media in ((encoded, FORM), (multipart(**row), "multipart/form-data; boundary=B")):
        made = api("PUT", people.data, raw=raw, media=media)
        assert made.json["data"] == row
        changed = api("PUT", f"{people.data}/{people.ids[0]}", raw=raw, media=media)
        assert changed.json["data"] == {**PEOPLE[0], **row}
    assert api("PUT", people.data, raw=b"Full+Name=A+B", media=FORM).json["data"] == {
        "Full Name": "A B"
    }


def test_the_values_of_a_form_are_text_to_the_rules(api: Api) -> None:
    there = place([{**OPEN, "require": [{"Age": {"equals": 5}}]}])
    assert api("PUT", there.data, raw=b"Age=5", media=FORM).status == 400
    assert api("PUT", there.data, {"Age": 5}).status == 200


# -- delete by query


def test_delete_by_query(people: Place, api: Api) -> None:
    answer = query(api, people, type="delete", where={"Office": "Oslo"})
    assert (answer.status, answer.json) == (200, {"deletedCount": 2})
    assert [row["Name"] for row in people.stored.values()] == ["Bob"]
    assert query(api, people, type="delete", where={"Office": "x"}).json == {"deletedCount": 0}
    assert query(api, people, type="delete", where={}).json == {"deletedCount": 1}


def test_a_delete_by_query_needs_a_where(people: Place, api: Api) -> None:
    assert query(api, people, type="delete").failure == (400, "request.invalid")
    assert query(api, people, type="delete", where=None).failure == (400, "request.invalid")
    assert len(people.stored) == 3


def test_a_delete_by_query_needs_a_select_with_the_same_where(api: Api) -> None:
    delete = {"type": ["delete"], "allow": "all"}
    there = place([delete], PEOPLE)
    assert query(api, there, type="delete", where={}).json == denial(there, "delete")
    read = {**READ, "require": [{"Office": {"equals": "Oslo"}}]}
    save_rules(there.model, [delete, read])
    assert query(api, there, type="delete", where={}).status == 400
    assert query(api, there, type="delete", where={"Age": 29}).status == 400
    assert query(api, there, type="delete", where={"Office": "Oslo", "Age": 29}).json == {
        "deletedCount": 1
    }
    assert [row["Name"] for row in there.stored.values()] == ["Ann", "Bob"]


def test_a_delete_by_query_needs_an_equality_for_a_bare_column(api: Api) -> None:
    there = place([{**OPEN, "require": ["Name"]}], PEOPLE)
    for where in ({"Name": {"$ne": "x"}}, {"Name": {"$in": ["Ann"]}}, {"Name": {"$like": "%"}}):
        assert query(api, there, type="delete", where=where).json == denial(there, "delete")
    assert query(api, there, type="delete", where={"Name": "Ann"}).json == {"deletedCount": 1}


# -- bulk


def test_bulk_appends_or_replaces(people: Place, api: Api) -> None:
    answer = api("POST", people.data, {"append": True, "entries": [{"Name": "Dee", "New": 1}]})
    assert answer.status == 200
    assert [row["Name"] for row in people.stored.values()] == ["Ann", "Bob", "Cid", "Dee"]
    assert api("POST", people.data, {"entries": [{"Name": "Eva"}, {}]}).status == 200
    assert list(people.stored.values()) == [{"Name": "Eva"}, {}]
    assert api("POST", people.data, {"append": False, "entries": []}).status == 200
    assert people.stored == {}
    people.model.refresh_from_db()
    assert people.model.columns == ["Name", "Office", "Age", "New"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entries": None},
        {"entries": {}},
        {"entries": "x"},
        {"entries": [1]},
        {"entries": [None]},
        {"entries": [[]]},
        {"entries": [{}, {"$x": 1}]},
        {"entries": [], "append": 1},
        {"entries": [], "append": "true"},
    ],
)
def test_a_bulk_write_that_is_none_changes_nothing(people: Place, api: Api, body: Any) -> None:
    for path in (people.data, f"{people.url}/commit"):
        assert api("POST", path, body).failure == (400, "request.invalid")
    assert len(people.stored) == 3


# -- commit


def commit(api: Api, there: Place, entries: list[Any], **more: Any) -> Answer:
    return api("POST", f"{there.url}/commit", {"entries": entries, **more})


def test_a_commit_does_all_at_once(people: Place, api: Api) -> None:
    ann, bob, cid = people.ids
    answer = commit(
        api,
        people,
        [
            {"id": ann, "data": {"Name": "Anna"}},
            {"data": {"Name": "Dee"}, "clientId": "d"},
            {"id": None, "data": {"Name": "Eva"}, "clientId": 7},
            {"data": {"Name": "Fay"}},
        ],
        delete=[cid],
        append=True,
        extend=True,
    )
    assert answer.json.keys() == {"entries", "clientIds"}
    assert names(answer) == ["Anna", "Bob", "Dee", "Eva", "Fay"]
    ids = [entry["id"] for entry in answer.entries]
    assert ids[:2] == [ann, bob]
    assert answer.json["clientIds"] == [
        {"clientId": "d", "id": ids[2]},
        {"clientId": 7, "id": ids[3]},
    ]
    assert answer.rows[0] == {"Name": "Anna", "Office": "Oslo", "Age": 41}
    assert [row["Name"] for row in people.stored.values()] == names(answer)


def test_a_commit_replaces_rows_and_deletes_what_is_not_sent(people: Place, api: Api) -> None:
    answer = commit(api, people, [{"id": people.ids[1], "data": {"Name": "B"}}, {"data": {"X": 1}}])
    assert answer.rows == [{"Name": "B"}, {"X": 1}]
    assert answer.entries[0]["id"] == people.ids[1]
    assert answer.json["clientIds"] == []
    assert commit(api, people, []).json == {"entries": [], "clientIds": []}
    assert people.stored == {}


def test_a_commit_answers_nothing_where_nothing_is_asked_or_shown(people: Place, api: Api) -> None:
    answer = commit(api, people, [{"data": {}, "clientId": 0}], append=True, returnEntries=False)
    assert answer.json["entries"] == []
    assert answer.json["clientIds"] == [{"clientId": 0, "id": max(people.stored)}]
    save_rules(people.model, [{"type": WRITE, "allow": "all"}])
    answer = commit(api, people, [{"data": {"Name": "x"}}], append=True)
    assert answer.json["entries"] == []
    save_rules(people.model, [{"type": WRITE, "allow": "all"}, {**READ, "require": ["Name"]}])
    assert commit(api, people, [{"data": {"Name": "x"}}], append=True).json["entries"] == []


def test_ids_that_are_gone_may_be_deleted(people: Place, api: Api) -> None:
    for ids in ([MISSING], [people.ids[0], MISSING], [people.ids[0]]):
        assert commit(api, people, [], delete=ids, append=True).status == 200
    assert len(people.stored) == 2
    save_rules(people.model, [READ])
    answer = commit(api, people, [], delete=[MISSING], append=True)
    assert answer.json == denial(people, "delete")


@pytest.mark.parametrize(
    ("entries", "delete"),
    [
        ([{"id": 1, "data": {}}, {"id": 1, "data": {}}], []),
        ([{"id": 1, "data": {}}], [1]),
        ([], [1, 1]),
        ([{"id": MISSING, "data": {}}], [MISSING]),
    ],
)
def test_an_id_named_twice_is_malformed(
    people: Place, api: Api, entries: list[Any], delete: list[int]
) -> None:
    real = people.ids[0]
    entries = json.loads(json.dumps(entries).replace('"id": 1', f'"id": {real}'))
    delete = [real if item == 1 else item for item in delete]
    answer = commit(api, people, entries, delete=delete, append=True)
    assert answer.failure == (400, "request.invalid")
    assert [row["Name"] for row in people.stored.values()] == ["Ann", "Bob", "Cid"]


BAD_IDS = [0, -1, 2**63, 1.0, 1.5, True, False, "", "x", "-1", [], {}, [1]]


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
def test_an_id_is_a_whole_number_from_one(people: Place, api: Api, bad: Any) -> None:
    raw = json.dumps(bad)
    for text in (
        f'{{"append": true, "entries": [{{"id": {raw}, "data": {{}}}}]}}',
        f'{{"append": true, "entries": [], "delete": [{raw}]}}',
    ):
        answer = api("POST", f"{people.url}/commit", raw=text.encode())
        assert answer.failure == (400, "request.invalid")
    assert len(people.stored) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"entries": [{}]},
        {"entries": [{"data": None}]},
        {"entries": [{"data": []}]},
        {"entries": [{"data": {}, "clientId": {}}]},
        {"entries": [{"data": {}, "clientId": []}]},
        {"entries": [], "delete": 1},
        {"entries": [], "delete": {}},
        {"entries": [], "delete": [None]},
        {"entries": [], "extend": 1},
        {"entries": [], "returnEntries": "false"},
        {"entries": [], "append": []},
    ],
)
def test_a_commit_that_is_none_changes_nothing(people: Place, api: Api, body: Any) -> None:
    assert api("POST", f"{people.url}/commit", body).failure == (400, "request.invalid")
    assert len(people.stored) == 3


def test_replacing_a_row_leaves_what_the_caller_may_not_set_or_see(api: Api) -> None:
    rules = [
        {**READ, "exclude": ["Hidden"]},
        {"type": ["update"], "allow": "all", "exclude": ["Fixed"]},
    ]
    row = {"Name": "a", "Note": "n", "Hidden": 1, "Fixed": 2}
    there = place(rules, [row])
    answer = commit(api, there, [{"id": there.ids[0], "data": {"Name": "b"}}], append=True)
    assert answer.rows == [{"Name": "b", "Fixed": 2}]
    assert there.stored[there.ids[0]] == {"Name": "b", "Hidden": 1, "Fixed": 2}


# -- indexes


def test_indexes(api: Api) -> None:
    values: list[Any] = ["b", "a", None, ["c", "a", None, [2]], 3, 1, 1.0, True, {"x": 1}, "1", ""]
    there = place([READ], [{"A": value, "B": "x"} for value in values] + [{"B": "y"}])
    answer = api("GET", f"{there.url}/indexes/A,B")
    assert answer.json["indexes"].keys() == {"A", "B"}
    assert answer.json["indexes"]["B"] == ["x", "y"]
    found = answer.json["indexes"]["A"]
    expected = [True, 1, 2, 3, "", "1", "a", "b", "c"]
    assert [json.dumps(v) for v in found] in (
        [json.dumps(v) for v in expected],
        [json.dumps(v) for v in [True, 1.0, 2, 3, *expected[4:]]],
    )
    assert api("GET", f"{there.url}/indexes/Missing").json == {"indexes": {"Missing": []}}
    assert api("GET", f"{there.url}/indexes/A,A").json["indexes"].keys() == {"A"}


def test_a_comma_in_the_name_of_an_index_is_encoded_twice(api: Api) -> None:
    there = place([READ], [{"A,B": 1, "A": 2, "B": 3, "100%": 4, "%41": 5, "a b": 6, "a+b": 7}])
    for path, indexes in [
        ("A%252CB", {"A,B": [1]}),
        ("A,B", {"A": [2], "B": [3]}),
        ("A%2CB", {"A": [2], "B": [3]}),
        ("A%252CB,A", {"A,B": [1], "A": [2]}),
        ("100%25", {"100%": [4]}),
        ("%2541", {"%41": [5]}),
        ("a%20b", {"a b": [6]}),
        ("a+b", {"a+b": [7]}),
    ]:
        assert api("GET", f"{there.url}/indexes/{path}").json == {"indexes": indexes}, path


def test_indexes_hold_what_may_be_seen(api: Api) -> None:
    read = {**READ, "exclude": ["Salary"]}
    there = place([read], [{"Name": "a", "Salary": 9}])
    assert api("GET", f"{there.url}/indexes/Salary").json == denial(there, "read")
    assert api("GET", f"{there.url}/indexes/Name,Salary").json == denial(there, "read")
    assert api("GET", f"{there.url}/indexes/Name").status == 200


# -- which data source


REFERENCES: list[tuple[str, str]] = [
    ("Plain", "Plain"),
    ("With blank & co?", "With%20blank%20%26%20co%3F"),
    ("Büro 🦊", quote("Büro 🦊")),
    ("100%", "100%25"),
    ("a+b", "a+b"),
    ("a.b;c=d", "a.b;c=d"),
    ("'; --", quote("'; --")),
]


@pytest.mark.parametrize(("name", "encoded"), REFERENCES)
def test_a_data_source_by_its_name(api: Api, name: str, encoded: str) -> None:
    there = place([OPEN], [{"Name": "a"}], name=name)
    path = f"data-sources/{encoded}"
    assert api("GET", f"{path}/data").rows == [{"Name": "a"}]
    assert api("POST", f"{path}/data/query", {}).rows == [{"Name": "a"}]
    assert api("GET", f"{path}/data/{there.ids[0]}").json["dataSourceId"] == there.model.pk
    assert api("PUT", f"{path}/data", {"Name": "b"}).status == 200
    assert api("GET", f"{path}/indexes/Name").json == {"indexes": {"Name": ["a", "b"]}}
    assert api("POST", f"{path}/commit", {"entries": []}).json["entries"] == []
    assert api("GET", path).json["dataSource"]["name"] == name


def test_digits_are_a_number_unless_the_query_says_that_they_are_a_name(api: Api) -> None:
    by_number = place([OPEN], [{"Name": "number"}])
    by_name = place([OPEN], [{"Name": "name"}], name=str(by_number.model.pk))
    path = f"data-sources/{by_number.model.pk}/data"
    assert names(api("GET", path)) == ["number"]
    for query_string in ("?dsn", "?dsn=", "?dsn=1", "?dsn=true"):
        assert names(api("GET", path + query_string)) == ["name"]
        answer = api("POST", f"{path}/query{query_string}", {})
        assert answer.entries[0]["dataSourceId"] == by_name.model.pk
    assert api("GET", f"data-sources/{by_name.model.pk}/data?dsn").status == 401


def test_a_name_is_compared_exactly(api: Api) -> None:
    place([OPEN], [{"Name": "a"}], name="Plain")
    for name in ("plain", "PLAIN", "Plain%20", "%20Plain", "Plai_", "%25"):
        assert api("GET", f"data-sources/{name}/data").failure == (401, "auth.required")


@pytest.mark.parametrize("name", ["a/b", "a/data", "/", "..", "."])
def test_a_name_that_no_address_can_carry_is_not_given(name: str) -> None:
    """A `/` in a name, encoded or not, divides the parts of the address."""
    answer = calls.superuser()("POST", "data-sources", {"name": name, "accessRules": [OPEN]})
    if answer.status == 201:
        found = calls.anonymous()("GET", f"data-sources/{quote(name, safe='')}/data")
        assert found.entries == []
    else:
        assert answer.failure == (400, "request.invalid")


# -- whose entries


def test_each_caller_sees_their_own(api: Api) -> None:
    rule = {**OPEN, "allow": "loggedIn", "require": [{"Owner": {"equals": "{{user.[Email]}}"}}]}
    there = place([rule], [{"Owner": "ann@acme.com", "N": 1}, {"Owner": "bob@acme.com", "N": 2}])
    ann, bob = calls.person(), calls.person({"Email": "bob@acme.com"})
    assert query(ann, there, where={"Owner": "ann@acme.com"}).rows[0]["N"] == 1
    assert query(ann, there, where={"Owner": "bob@acme.com"}).json == denial(there, "read")
    assert query(bob, there, where={"Owner": "bob@acme.com"}).rows[0]["N"] == 2
    for who, mine, other in ((ann, 0, 1), (bob, 1, 0)):
        assert who("GET", f"{there.data}/{there.ids[mine]}").status == 200
        assert who("GET", f"{there.data}/{there.ids[other]}").json == denial(there, "read")
        path = f"{there.data}/{there.ids[other]}"
        for owner in ("ann@acme.com", "bob@acme.com"):
            assert who("PUT", path, {"Owner": owner}).json == denial(there, "update")
        assert who("DELETE", path).json == denial(there, "delete")
    assert api("GET", f"{there.data}/{there.ids[0]}").failure == (401, "auth.required")


def test_what_can_be_listed_can_be_fetched() -> None:
    """By query and by id, the same rule shows the same rows."""
    api = calls.anonymous()
    rows = [
        {"Tags": tags, "N": n}
        for n, tags in enumerate(itertools.chain(["x", "X", "ax", None, 1], [["x"], ["a", "x"]]))
    ]
    for op in ("equals", "notequals", "contains"):
        there = place([{**READ, "require": [{"Tags": {op: "x"}}]}], rows, name=op)
        where = {"equals": "x", "notequals": {"$ne": "x"}, "contains": {"$like": "x"}}[op]
        listed = {entry["id"] for entry in query(api, there, where={"Tags": where}).entries}
        fetched = {n for n in there.ids if api("GET", f"{there.data}/{n}").status == 200}
        assert listed <= fetched
        if op != "contains":
            assert listed == fetched
    assert DataSource.objects.count() == 3
