"""Hidden columns, over HTTP: no answer has them, and no clause may name them, in any spelling, lest
their values be guessed. What a requirement of the rule says anyway may be said, and tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rowkeeper.accounts import tokens
from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import RulesInvalid, save_rules
from tests.support.calls import (
    DENIED,
    LOGIN,
    OPEN,
    SourceApi,
    data_source,
    failure_of,
    json_of,
    without_id,
)
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

COLUMNS = ["Name", "Dept", "Salary", "Home", "a.b", "a.c"]
ROWS: list[dict[str, Any]] = [
    {"Name": "Ann", "Dept": "IT", "Salary": 1, "Home": {"City": "Rome"}, "a.b": "x", "a.c": 1},
    {"Name": "Bob", "Dept": "HR", "Salary": 2, "Home": {"City": "Bern"}, "a.b": "y", "a.c": 2},
    {"Name": "Cy", "Dept": "IT", "Salary": [3, 4], "Home": None, "a.b": {"c": 1}},
]
# Spellings of hidden columns: the name, below it, with `data.`; and above it where it has a dot.
HIDDEN = ["Salary", "data.Salary", "Salary.x", "Salary.0", "data.Salary.x"]
HIDDEN += ["Home", "Home.City", "data.Home", "data.Home.City"]
HIDDEN += ["a.b", "a.b.c", "data.a.b", "data.a.b.c", "a", "data.a"]
RULES = {
    "exclude": {"exclude": ["Salary", "Home", "a.b"]},
    "include": {"include": ["Name", "Dept", "a.c"]},
    "include with exclude": {"include": ["Name", "Dept"], "exclude": ["Name"]},
}
OPERANDS: dict[str, Any] = {
    "$eq": 1,
    "$ne": 1,
    "$gt": 0,
    "$gte": 0,
    "$lt": 9,
    "$lte": 9,
    "$in": [1],
    "$nin": [1],
    "$exists": True,
    "$like": "%",
    "$iLike": "%",
    "$type": "number",
    "$mod": [2, 0],
    "$size": 2,
    "$all": [1],
    "$regex": "1",
    "$elemMatch": {"$gt": 0},
    "$not": {"$eq": 1},
    "$and": [{"$gt": 0}, {"$lt": 9}],
    "$or": [{"$gt": 0}, {"$lt": 9}],
    "$nor": [{"$eq": 1}],
}


def conditions(name: str) -> Iterator[dict[str, Any]]:
    """A condition on a name by each operator."""
    yield {name: 1}
    yield {name: None}
    yield {name: {"City": "Rome"}}
    for op, operand in OPERANDS.items():
        yield {name: {op: operand}}
        yield {name: {"$not": {op: operand}}}
    yield {name: {"$all": []}}
    yield {name: {"$elemMatch": {}}}
    yield {name: {"$elemMatch": {"Name": "Ann"}}}
    for condition in ("==", "!=", "empty", "notempty", "oneof"):
        yield {"$filters": [{"column": name, "condition": condition, "value": 1}]}
    yield {"$filters": [{"column": name, "condition": "between", "from": 1}]}
    yield {"$filters": [{"column": name, "condition": "dateis", "value": "2026-01-01"}]}


PLACES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "alone": lambda c: c,
    "beside": lambda c: {"Name": "Ann", **c},
    "and": lambda c: {"$and": [{"Name": "Ann"}, c]},
    "or": lambda c: {"$or": [c, {"Name": "Ann"}]},
    "nor": lambda c: {"$nor": [c]},
    "not": lambda c: {"$not": c},
    "deep": lambda c: {"$and": [{"$or": [{"$nor": [{"$not": {"$and": [c]}}]}]}]},
}


@pytest.fixture(params=RULES)
def asking(request: pytest.FixtureRequest) -> SourceApi:
    """Everyone may do everything, with columns hidden."""
    rule = {**OPEN, **RULES[request.param]}
    return SourceApi(data_source("Staff", COLUMNS, ROWS, [rule]))


def told(asking: SourceApi, responses: Iterator[tuple[Any, Any]]) -> list[Any]:
    """What was answered otherwise than by the denial that tells nothing."""
    denials = {
        f'{{"message":"The security rules for the Data Source \\"Staff\\" do not allow this app to '
        f'{verb} data.","type":"datasource.access","payload":{{"dataSourceId":{asking.model.pk}}}}}'
        for verb in ("read", "delete")
    }
    return [
        (asked, response.status_code, response.content.decode())
        for asked, response in responses
        if response.status_code != 400 or without_id(response.content)[0].decode() not in denials
    ]


def test_no_condition_may_name_a_hidden_column(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for condition in conditions(name):
                yield condition, asking.query(where=condition)

    assert told(asking, ask()) == []


def test_nor_at_any_place_of_a_where(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for place, put in PLACES.items():
                for op in ("$eq", "$ne", "$exists"):
                    where = put({name: {op: OPERANDS[op]}})
                    yield (place, where), asking.query(where=where)

    assert told(asking, ask()) == []


def test_nor_where_only_the_number_is_asked_for(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for more in ({"countOnly": True}, {"includePagination": True, "limit": 0}):
                yield (name, more), asking.query(where={name: {"$gt": 0}}, **more)
                yield (name, more), asking.query(where={"$not": {name: 1}}, **more)

    assert told(asking, ask()) == []


def test_nor_in_an_order(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for order in ([[name, "ASC"]], [["Name"], [name, "DESC"]]):
                yield order, asking.query(order=order)
                yield order, asking.query(order=order, attributes=["Name"], limit=1)

    assert told(asking, ask()) == []


def test_nor_among_attributes(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            yield name, asking.query(attributes=[name])
            yield name, asking.query(attributes=["id", "Name", name])

    assert told(asking, ask()) == []


def test_nor_in_an_index(asking: SourceApi) -> None:
    """An index knows no `data.` in front: such a name is denied as well, or has no values."""

    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for response in (asking.index(name), asking.index("Name", name)):
                other = name.startswith("data.") and response.status_code == 200
                if not (other and json_of(response)["indexes"][name] == []):
                    yield name, response

    assert told(asking, ask()) == []


def test_nor_in_a_delete_by_query(asking: SourceApi) -> None:
    before = asking.ids()

    def ask() -> Iterator[tuple[Any, Any]]:
        for name in HIDDEN:
            for where in ({name: 1}, {name: {"$ne": 1}}, {"$or": [{name: 1}, {"Name": "Ann"}]}):
                yield where, asking.query(type="delete", where=where)

    assert told(asking, ask()) == []
    assert asking.ids() == before


def test_a_delete_by_query_may_not_name_what_reading_hides() -> None:
    rules = [
        {"type": ["delete"], "allow": "all"},
        {"type": ["select"], "allow": "all", "exclude": ["Salary"]},
    ]
    asking = SourceApi(data_source("Staff", COLUMNS, ROWS, rules))
    for name in ("Salary", "data.Salary", "Salary.0"):
        assert failure_of(asking.query(type="delete", where={name: 99})) == DENIED
    assert asking.query(type="delete", where={"Dept": "None"}).json() == {"deletedCount": 0}


def test_an_empty_condition_names_its_column_too(asking: SourceApi) -> None:
    def ask() -> Iterator[tuple[Any, Any]]:
        for condition in ({}, {"$and": [{}]}, {"$or": [{}]}, {"$not": {}}, {"$in": []}):
            yield condition, asking.query(where={"Salary": condition})

    assert told(asking, ask()) == []


def test_what_is_not_hidden_may_be_named_in_every_spelling(asking: SourceApi) -> None:
    assert asking.rows(where={"Dept": "HR"})[0]["Name"] == "Bob"
    for order, first in (
        ([["Name", "DESC"]], "Cy"),
        ([["data.Name", "DESC"]], "Cy"),
        ([["data.Dept"], ["data.Name"]], "Bob"),
    ):
        assert asking.rows(order=order)[0]["Name"] == first
    for attributes in (["Name"], ["data.Name"], ["id", "data.Name"]):
        assert asking.rows(attributes=attributes) == [{"Name": r["Name"]} for r in ROWS]
    assert asking.index("Name").json() == {"indexes": {"Name": ["Ann", "Bob", "Cy"]}}


def test_no_answer_has_a_hidden_column(asking: SourceApi) -> None:
    """Reads, a commit's entries; a write's answer has what was sent, and what a select shows."""
    first = asking.ids()[0]
    rows = asking.rows() + asking.rows(order=[["id", "DESC"]], includePagination=True)
    rows += [entry["data"] for entry in json_of(asking.send("GET", "/data"))["entries"]]
    rows.append(asking.send("GET", f"/data/{first}").json()["data"])
    rows.append(asking.send("PUT", f"/data/{first}", {"Dept": "HR"}).json()["data"])
    rows.append(asking.send("PUT", "/data", {"Name": "Dee"}).json()["data"])
    commit = {"entries": [{"data": {"Name": "Eve"}}], "append": True}
    rows += [entry["data"] for entry in asking.send("POST", "/commit", commit).json()["entries"]]
    bulk = asking.send("POST", "/data", {"entries": [{"Name": "Fay"}], "append": True})
    rows += [entry["data"] for entry in bulk.json().get("entries", [])]
    assert len(rows) > 15
    assert [row for row in rows if row.keys() & {"Salary", "Home", "a.b"}] == []
    assert all("Name" in row for row in rows)


def test_a_short_answer_names_no_hidden_column(asking: SourceApi) -> None:
    told = asking.send("GET", "").json()["dataSource"]
    assert not set(told["columns"]) & {"Salary", "Home", "a.b"}


def test_a_rule_that_does_not_fit_is_passed_over_for_the_next() -> None:
    token, secret = tokens.create_api_token("reader")
    rules = [
        {"type": ["select"], "allow": "all", "exclude": ["Salary"]},
        {"type": ["select"], "allow": {"tokens": [token.pk]}},
    ]
    model = data_source("Staff", COLUMNS, ROWS, rules)
    where = {"Salary": {"$gt": 1}}
    assert failure_of(SourceApi(model).query(where=where)) == LOGIN
    asking = SourceApi(model, {"Auth-token": secret})
    assert [row["Salary"] for row in asking.rows(where=where)] == [2, [3, 4]]
    assert all("Salary" not in row for row in asking.rows(where={"Dept": "IT"}))


# -- excused: what says just what a requirement says

EXCUSED: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (
        {"Dept": {"equals": "IT"}},
        [
            {"Dept": "IT"},
            {"Dept": {"$eq": "IT"}},
            {"Dept": {"$in": ["IT"]}},
            {"$and": [{"Name": {"$exists": True}}, {"Dept": "IT"}]},
            {"$or": [{"Name": "Ann", "Dept": "IT"}, {"Name": {"$ne": "Ann"}, "Dept": "IT"}]},
            {"Dept": {"$and": [{"$eq": "IT"}]}},
        ],
        [
            {"Dept": "HR"},
            {"Dept": {"$in": ["IT", "HR"]}},
            {"Dept": {"$like": "IT"}},
            {"Dept": {"$eq": "IT", "$gt": "A"}},
            {"Dept": "IT", "data.Dept": "IT"},
            {"Dept": "IT", "$or": [{"Dept": {"$ne": "HR"}}, {"Name": "Ann"}]},
            {"$and": [{"Dept": "IT"}, {"$not": {"Dept": "HR"}}]},
            {"Dept": "IT", "Dept.x": "IT"},
            {"$not": {"Dept": {"$ne": "IT"}}},
            {},
        ],
    ),
    (
        {"Dept": {"notequals": "HR"}},
        [{"Dept": {"$ne": "HR"}}, {"Dept": {"$nin": ["HR"]}}, {"$and": [{"Dept": {"$ne": "HR"}}]}],
        [
            {"Dept": "IT"},
            {"Dept": {"$in": ["IT"]}},
            {"Dept": {"$nin": ["HR", "XX"]}},
            {"Dept": {"$ne": "HR", "$exists": True}},
        ],
    ),
    (
        {"Dept": {"contains": "I"}},
        [{"Dept": {"$like": "%I%"}}, {"Dept": {"$like": "I"}}],
        [
            {"Dept": "IT"},
            {"Dept": {"$like": "I%"}},
            {"Dept": {"$like": "%I%T%"}},
            {"Dept": {"$iLike": "it"}},
            {"Dept": {"$like": "%I%", "$ne": "IO"}},
        ],
    ),
]


@pytest.mark.parametrize(("requirement", "fine", "denied"), EXCUSED)
def test_what_a_requirement_says_may_be_said(
    requirement: dict[str, Any], fine: list[Any], denied: list[Any]
) -> None:
    """Whoever says it gets the rows that the rule opens, and learns no more than that."""
    rule = {"type": ["select", "delete"], "allow": "all", "require": [requirement]}
    asking = SourceApi(data_source("Staff", COLUMNS, ROWS, [{**rule, "exclude": ["Dept"]}]))
    for where in fine:
        rows = asking.rows(where=where)
        assert [row["Name"] for row in rows] == ["Ann", "Cy"], where
        assert not any("Dept" in row for row in rows)
        assert asking.query(where=where, countOnly=True).json() == {"count": 2}
        assert failure_of(asking.query(where=where, order=[["Dept"]])) == DENIED
        assert failure_of(asking.query(where=where, attributes=["Dept"])) == DENIED
    assert [where for where in denied if failure_of(asking.query(where=where)) != DENIED] == []
    assert [w for w in denied if failure_of(asking.query(type="delete", where=w)) != DENIED] == []
    assert asking.query(type="delete", where=fine[0]).json() == {"deletedCount": 2}


def test_an_excused_template_lets_one_see_the_own_rows_alone() -> None:
    people = sign_in_source("People", [{"Email": "o'brien@acme.com"}, {"Email": "%"}])
    rule = {"type": ["select"], "allow": "loggedIn", "exclude": ["Owner"]}
    rule["require"] = [{"Owner": {"equals": "{{user.[Email]}}"}}]
    rows = [{"Owner": "o'brien@acme.com", "n": 1}, {"Owner": "%", "n": 2}, {"Owner": "x", "n": 3}]
    model = data_source("Owned", ["Owner", "n"], rows, [rule])
    for email, own in (("o'brien@acme.com", [{"n": 1}]), ("%", [{"n": 2}])):
        asking = SourceApi(model, headers_of(SourceApi(model).client, people, email))
        assert asking.rows(where={"Owner": email}) == own
        assert failure_of(asking.query(where={"Owner": "x"})) == DENIED
        assert failure_of(asking.query(where={"Owner": {"$like": email}})) == DENIED
        assert failure_of(asking.query()) == DENIED


# -- the password column of a data source that people sign in against

PASSWORD = ["Password", "data.Password", "Password.x", "data.Password.x", "Password.0"]


@pytest.fixture(
    params=[
        {},
        {"include": ["Email", "Password"]},
        {"exclude": []},
        {"require": ["Password"]},
    ],
    ids=["plain", "include", "exclude nothing", "required"],
)
def staff(request: pytest.FixtureRequest) -> SourceApi:
    """People who sign in, in a data source where everybody may do everything."""
    model = sign_in_source("Staff", [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}])
    save_rules(model, [{**OPEN, **request.param}])
    return SourceApi(model)


def test_the_password_column_is_hidden_in_every_clause(staff: SourceApi) -> None:
    before = staff.ids()

    def ask() -> Iterator[tuple[Any, Any]]:
        for name in PASSWORD:
            for condition in conditions(name):
                yield condition, staff.query(where=condition)
                yield condition, staff.query(where=condition, countOnly=True)
                yield condition, staff.query(type="delete", where=condition)
            for place, put in PLACES.items():
                yield place, staff.query(where=put({name: {"$like": "md5%"}}))
            yield name, staff.query(order=[[name, "DESC"]])
            yield name, staff.query(attributes=[name])
            if not name.startswith("data."):
                yield name, staff.index(name)

    assert told(staff, ask()) == []
    assert staff.ids() == before


def test_no_rule_tests_a_password() -> None:
    """Else whoever may change rules could read the hashes, guess by guess."""
    model = sign_in_source("Staff", [{"Email": "ann@acme.com"}])
    for op, value in (("equals", "x"), ("notequals", "x"), ("contains", "md5$")):
        with pytest.raises(RulesInvalid, match="Password"):
            save_rules(model, [{**OPEN, "require": [{"Password": {op: value}}]}])


def test_no_answer_has_the_password() -> None:
    model = sign_in_source("Staff", [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}])
    save_rules(model, [{**OPEN, "include": ["Email", "Password"]}])
    asking = SourceApi(model)
    first = asking.ids()[0]
    commit = {"entries": [{"data": {"Email": "d@x", "Password": "p"}}], "append": True}
    answers = [
        asking.query(),
        asking.query(includePagination=True),
        asking.send("GET", "/data"),
        asking.send("GET", f"/data/{first}"),
        asking.send("PUT", f"/data/{first}", {"Password": "new"}),
        asking.send("PUT", "/data", {"Email": "c@x", "Password": "p"}),
        asking.send("POST", "/commit", commit),
        asking.index("Email"),
        asking.send("GET", ""),
    ]
    assert [response.status_code for response in answers] == [200] * len(answers)
    texts = [response.getvalue() for response in answers]
    assert [text for text in texts if b"Password" in text or b"md5$" in text] == []


def test_a_former_password_column_stays_hidden() -> None:
    model = sign_in_source("Staff", [{"Email": "ann@acme.com", "Name": "Ann"}])
    model.definition = {}
    saving.save(model)
    save_rules(model, [OPEN])
    asking = SourceApi(DataSource.objects.get(pk=model.pk))
    assert asking.rows() == [{"Email": "ann@acme.com", "Name": "Ann"}]
    for name in PASSWORD:
        assert failure_of(asking.query(where={name: {"$exists": True}})) == DENIED
        assert failure_of(asking.query(order=[[name]])) == DENIED


@pytest.mark.parametrize(
    ("columns", "own", "other"),
    [
        ({}, True, False),
        ({"include": ["Email", "Password"]}, True, True),
        ({"include": ["Email"]}, False, False),
        ({"exclude": ["Password"]}, False, False),
    ],
    ids=["plain", "included", "not included", "excluded"],
)
def test_who_may_write_a_password(columns: dict[str, Any], own: bool, other: bool) -> None:
    """An `include` that names it opens it, the own row does; a rule that closes it closes it."""
    model = sign_in_source("Staff", [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}])
    save_rules(model, [{"type": ["update"], "allow": "loggedIn", **columns}])
    asking = SourceApi(model)
    asking.headers = headers_of(asking.client, model, "ann@acme.com")
    ann, bob = asking.ids()
    for entry, allowed in ((bob, other), (ann, own)):
        response = asking.send("PUT", f"/data/{entry}", {"Password": "new words"})
        assert (response.status_code == 200) is allowed, (entry, response.content)
