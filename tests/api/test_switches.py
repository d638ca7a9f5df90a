"""Switches in the body, in the query string and in both, and known keys with a wrong shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rowkeeper.accounts.models import App
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.api.openapi import SCHEMAS
from tests.support.calls import Answer, Api, Place, anonymous, bare_token, place, superuser

pytestmark = pytest.mark.django_db

MALFORMED = (400, "request.invalid")
ROWS: list[dict[str, Any]] = [{"N": 1}, {"N": 2}]


def entries_body(there: Place) -> dict[str, Any]:
    """A commit of one change and one new row, with `append` left out."""
    return {"entries": [{"id": there.ids[0], "data": {"M": 5}}, {"data": {"N": 3}}]}


def stored(there: Place, answer: Answer) -> Any:
    return sorted(there.stored.values(), key=str)


def answered(there: Place, answer: Answer) -> Any:
    return sorted(answer.json)


def returned(there: Place, answer: Answer) -> Any:
    return bool(answer.json["entries"])


# Path, switch, its default, a body, and what shows the switch's value.
SWITCHES: list[tuple[str, str, bool, Any, Any]] = [
    ("data", "append", False, lambda there: {"entries": [{"N": 3}]}, stored),
    ("commit", "append", False, entries_body, stored),
    ("commit", "extend", False, lambda t: {**entries_body(t), "append": True}, stored),
    ("commit", "returnEntries", True, entries_body, returned),
    ("data/query", "includePagination", False, lambda there: {}, answered),
    ("data/query", "countOnly", False, lambda there: {}, answered),
]


@pytest.mark.parametrize(("path", "name", "default", "body", "shows"), SWITCHES)
def test_every_switch_in_body_query_string_and_both(
    path: str, name: str, default: bool, body: Any, shows: Any
) -> None:
    _, api = bare_token()

    def ask(in_body: Any, query: str) -> tuple[Answer, Place]:
        there = place(rows=ROWS, name=f"T{DataSource.objects.count()}", columns=["N", "M"])
        sent = {**body(there), **({} if in_body is None else {name: in_body})}
        # Twice: the second select is answered from what the first one prepared.
        for _ in range(2 if path == "data/query" else 1):
            answer = api("POST", f"{there.url}/{path}{query}", sent)
        return answer, there

    def outcome(in_body: Any, query: str) -> Any:
        answer, there = ask(in_body, query)
        assert answer.status == 200, answer.text
        return shows(there, answer)

    def refused(in_body: Any, query: str) -> None:
        answer, there = ask(in_body, query)
        assert answer.failure == MALFORMED, (in_body, query)
        assert name in answer.json["message"]
        assert list(there.stored.values()) == ROWS

    on, off = outcome(True, ""), outcome(False, "")
    assert on != off
    assert outcome(None, "") == (on if default else off)
    assert outcome(None, f"?{name}=true") == outcome(True, f"?{name}=true") == on
    assert outcome(None, f"?{name}=false") == outcome(False, f"?{name}=false") == off
    refused(True, f"?{name}=false")
    refused(False, f"?{name}=true")
    for text in ("", "1", "True", "yes"):
        refused(None, f"?{name}={text}")
    refused(None, f"?{name}")
    refused(None, f"?{name}=true&{name}=true")
    for wrong in (1, 0, "true", [], {}):
        refused(wrong, f"?{name}=true")
        refused(wrong, "")


def test_the_app_of_a_creation_in_body_query_string_and_both() -> None:
    api = superuser()
    apps = [App.objects.create(name=name) for name in ("One", "Two")]
    one, two = (app.pk for app in apps)

    def made(query: str, **body: Any) -> Any:
        sent = {"name": f"S{DataSource.objects.count()}", **body}
        answer = api("POST", f"data-sources{query}", sent)
        return answer.json["dataSource"]["appId"] if answer.status == 201 else answer.failure

    assert made("") is None
    assert made(f"?appId={one}") == made("", appId=one) == made(f"?appId={one}", appId=one) == one
    assert made(f"?appId={one}", appId=None) == one
    for query in (f"?appId={two}", "?appId=", "?appId=x", f"?appId={one}&appId={one}"):
        assert made(query, appId=one) == MALFORMED, query
    assert made(f"?appId={two + 1_000}") == MALFORMED


def test_append_in_the_query_string_never_replaces() -> None:
    there = place(rows=ROWS)
    answer = anonymous()("POST", f"{there.data}?append=true", {"entries": [{"N": 3}]})
    assert answer.status == 200
    assert list(there.stored.values()) == [*ROWS, {"N": 3}]


# -- joins and views


def test_what_is_joined_comes_back_as_joins() -> None:
    there = place(rows=ROWS)
    join = {"Same": {"dataSourceId": there.model.pk, "on": {"N": "N"}, "count": True}}
    answer = anonymous()("POST", f"{there.data}/query", {"join": join})
    assert [entry["joins"] for entry in answer.entries] == [{"Same": 1}] * 2
    assert all("join" not in entry for entry in answer.entries)


@pytest.fixture
def viewed() -> Place:
    views = {"Odd": {"where": {"N": {"$mod": [2, 1]}}}, "Small": {"where": {"N": {"$lt": 3}}}}
    rows = [{"N": n} for n in range(1, 7)]
    return place(rows=rows, definition={"views": views})


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ({"views": ["Odd"]}, [1, 3, 5]),
        ({"views": ["Odd", "Small"]}, [1]),
        ({"view": "Odd", "views": ["Small"]}, [1]),
        ({"view": "Odd", "views": ["Odd"]}, [1, 3, 5]),
        ({"views": ["Odd"], "where": {"N": {"$gt": 1}}}, [3, 5]),
        ({"views": []}, [1, 2, 3, 4, 5, 6]),
        ({"views": None, "view": None}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_all_views_hold_together(viewed: Place, named: dict[str, Any], left: list[int]) -> None:
    api = anonymous()
    assert [row["N"] for row in api("POST", f"{viewed.data}/query", named).rows] == left
    _, token = bare_token()
    for _ in range(2):
        assert [row["N"] for row in token("POST", f"{viewed.data}/query", named).rows] == left
    body = {"type": "delete", "where": {}, **named}
    assert api("POST", f"{viewed.data}/query", body).json == {"deletedCount": len(left)}


@pytest.mark.parametrize(
    "named",
    [
        {"views": "Odd"},
        {"views": {"Odd": True}},
        {"views": [1]},
        {"views": [["Odd"]]},
        {"views": ["Odd", "Nothing"]},
        {"views": [f"V{n}" for n in range(11)]},
        {"view": ["Odd"]},
        {"view": {"name": "Odd"}},
    ],
)
def test_views_that_are_none(viewed: Place, named: dict[str, Any]) -> None:
    for kind in ("select", "delete"):
        answer = anonymous()("POST", f"{viewed.data}/query", {"type": kind, "where": {}, **named})
        assert answer.failure == MALFORMED
        assert "view" in answer.json["message"]
    assert len(viewed.stored) == 6


def test_views_count_together_against_the_limits_of_a_where() -> None:
    half = {"where": {"N": {"$in": list(range(6_000))}}}
    other = {"where": {"M": {"$in": list(range(6_000))}}}
    there = place(rows=ROWS, definition={"views": {"A": half, "B": other}})
    api = anonymous()
    assert len(api("POST", f"{there.data}/query", {"views": ["A"]}).rows) == 2
    assert api("POST", f"{there.data}/query", {"views": ["A", "B"]}).failure == MALFORMED


@pytest.mark.parametrize("key", ["limit", "offset", "countOnly"])
def test_a_delete_refuses_what_would_make_it_smaller(key: str) -> None:
    there = place(rows=ROWS)
    body = {"type": "delete", "where": {}, key: True if key == "countOnly" else 1}
    answer = anonymous()("POST", f"{there.data}/query", body)
    assert answer.failure == MALFORMED and key in answer.json["message"]
    assert anonymous()("POST", f"{there.data}/query?countOnly=true", {**body, key: None}).failure
    assert len(there.stored) == 2


# -- known keys with another shape

WRONG: tuple[Any, ...] = (7.5, "~", True, [], ["~"], [7], {}, {"~": 7})
# What a key accepts beyond the shapes of `WRONG` that are wrong for it.
ACCEPTS: dict[str, tuple[type, ...]] = {
    "where": (dict,),
    "attributes": (list,),
    "order": (list,),
    "join": (dict,),
    "joins": (dict,),
    "view": (str,),
    "views": (list,),
    "after": (str,),
    "aggregate": (list,),
    "delete": (list,),
    "entries": (list,),
    "columns": (list,),
    "accessRules": (list,),
    "definition": (dict,),
    "name": (str,),
    "type": (str,),
    "dataSourceName": (str,),
    "passport": (str,),
    "on": (dict,),
    "sum": (str,),
    "data": (dict,),
    "clientId": (float, str, bool),
}
SWITCH_NAMES = {
    *("append", "extend", "returnEntries", "includePagination", "countOnly", "distinct"),
    *("required", "has", "count", "renameInRules"),
}


def bodies(there: Place) -> Iterator[tuple[str, str, str, dict[str, Any], tuple[str, ...]]]:
    """(schema, method, path, a valid body, where in it the keys of the schema are)."""
    one = {"dataSourceId": there.model.pk, "on": {"N": "N"}}
    yield "Select", "POST", f"{there.data}/query", {}, ()
    yield "DeleteByQuery", "POST", f"{there.data}/query", {"type": "delete", "where": {}}, ()
    yield "Join", "POST", f"{there.data}/query", {"join": {"J": one}}, ("join", "J")
    yield "Bulk", "POST", there.data, {"entries": [], "append": True}, ()
    yield "Commit", "POST", f"{there.url}/commit", {"entries": [], "append": True}, ()
    sent = {"entries": [{"data": {}}], "append": True}
    yield "Commit.entries", "POST", f"{there.url}/commit", sent, ("entries", "0")
    yield "NewDataSource", "POST", "data-sources", {"name": "New"}, ()
    yield "DataSourceChange", "PUT", there.url, {}, ()
    where = {"Email": "a@b.c", "Password": "x"}
    sign_in = {"passport": "dataSource", "dataSourceId": there.model.pk, "where": where}
    yield "SignIn", "POST", "session/authorize", sign_in, ()


def keys_of(schema: str) -> dict[str, Any]:
    name, _, inner = schema.partition(".")
    found = SCHEMAS[name]["properties"]
    properties: dict[str, Any] = found[inner]["items"]["properties"] if inner else found
    return properties


def with_key(body: dict[str, Any], inside: tuple[str, ...], key: str, value: Any) -> Any:
    """A copy of the body in which `key`, in the object at the path `inside`, is `value`."""
    if not inside:
        return {**body, key: value}
    first, *rest = inside
    if isinstance(body, list):
        return [with_key(body[0], tuple(rest), key, value)]
    return {**body, first: with_key(body[first], tuple(rest), key, value)}


def test_a_known_key_with_another_shape_is_never_ignored() -> None:
    there = place(rows=ROWS)
    api, walked = superuser(), 0
    for schema, method, path, body, inside in bodies(there):
        for key in keys_of(schema):
            accepted = (bool,) if key in SWITCH_NAMES else ACCEPTS.get(key, ())
            for wrong in WRONG:
                if isinstance(wrong, accepted):
                    continue
                answer = api(method, path, with_key(body, inside, key, wrong))
                assert answer.failure == MALFORMED, (schema, key, wrong, answer.text)
                walked += 1
    assert walked > 300
    assert list(there.stored.values()) == ROWS


def test_a_body_that_is_no_object() -> None:
    there = place(rows=ROWS)
    api: Api = superuser()
    for _, method, path, _, _ in bodies(there):
        for wrong in (b"[]", b'"x"', b"1", b"null", b"true"):
            assert api(method, path, raw=wrong).failure == MALFORMED
