"""Answers of more entries than are held in memory at once: read in pages, and streamed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction

from rowkeeper.accounts.models import LoginSession
from rowkeeper.accounts.tokens import revoke
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.query.select import Projection, Select, parse_query
from rowkeeper.datasources.query.where import EVERYTHING as ALL
from rowkeeper.datasources.store import paging
from rowkeeper.rules.api import responses as streams
from rowkeeper.rules.api.responses import entries_answer
from rowkeeper.rules.repository.rules import save_rules
from tests.indexes.test_indexed import indexed
from tests.support import calls
from tests.support.calls import OPEN, SourceApi, data_source
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

ROWS = [{"Name": f"n{at % 7}", "Number": at % 5, "Note": "é\u2028"} for at in range(20)]
WHERES = [
    {},
    {"Number": {"$gte": 1}},
    {"Name": "n3"},
    {"Name": {"$regex": "[246]$"}},
    {"Name": "x"},
]
ORDERS = [None, [["Number", "ASC"]], [["Name", "DESC"], ["Number", "ASC"]], [["id", "DESC"]]]
PARTS = [{}, {"limit": 2}, {"limit": 3}, {"limit": 4}, {"limit": 9}, {"limit": 99}, {"offset": 2}]
PARTS += [{"limit": 7, "offset": 5}, {"offset": 20}, {"limit": 9, "offset": 2**63 - 1}]


def small(monkeypatch: pytest.MonkeyPatch, size: int = 3) -> None:
    """Pages of so few entries."""
    monkeypatch.setattr(paging, "PAGE", size)
    monkeypatch.setattr(streams, "PAGE", size)


def made(rows: list[dict[str, Any]]) -> DataSource:
    return data_source("Some", ["Name", "Number", "Note"], rows, [OPEN])


def told(response: Any) -> Any:
    return json.loads(response.getvalue())


@pytest.mark.parametrize("marked", [[], ["Name"], ["Number"]], ids=str)
def test_pages_hold_what_one_answer_would(
    marked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(ROWS)
    indexed(registry.source_of(model), marked) if marked else None
    model.refresh_from_db()
    some = random.Random(20261126)
    asks: list[dict[str, Any]] = [
        {"where": where, "order": order, **part} | more
        for where in WHERES
        for order in ORDERS
        for part in PARTS
        for more in ({}, {"attributes": ["id", "Name"]})
    ]
    asks = some.sample(asks, 200)
    asking = SourceApi(model)
    whole = [asking.query(**ask).json() for ask in asks]
    small(monkeypatch)
    responses = [asking.query(**ask) for ask in asks]
    for ask, expected, response in zip(asks, whole, responses, strict=True):
        assert told(response) == expected, ask
        assert response.streaming is (len(expected["entries"]) >= 3 and ask.get("limit") != 3), ask
    assert any(response.streaming for response in responses)


def test_every_entry_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = SourceApi(made(ROWS))
    whole = told(asking.send("GET", "/data"))
    assert [entry["data"] for entry in whole["entries"]] == ROWS
    small(monkeypatch)
    response = asking.send("GET", "/data")
    assert response.streaming and response["Content-Type"] == "application/json"
    assert told(response) == whole
    assert len(list(asking.send("GET", "/data").streaming_content)) == 8


def test_those_beside_an_index_are_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are not in the index of a marked column: they are found beside it, by their ids."""
    rows: list[dict[str, Any]] = [{"Name": "a"}] * 4 + [{"Name": ["a"]}] + [{"Name": "a"}] * 8
    rows += [{"Name": ["b", "a"]}]
    model = made(rows)
    indexed(registry.source_of(model), ["Name"])
    model.refresh_from_db()
    source = registry.source_of(model)
    small(monkeypatch)
    where = parse_query({"where": {"Name": "a"}}, source.columns).where
    found = chain.from_iterable(store.pages(source, Select(), where, Projection()))
    assert [json.loads(text)["data"] for text in found] == rows
    assert told(SourceApi(model).query(where={"Name": "a"}))["entries"][-1]["data"] == rows[-1]


@pytest.mark.parametrize("order", ORDERS, ids=["by id", "a column", "two columns", "id descending"])
def test_what_changes_meanwhile(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that fits no longer, or is gone, is not answered; none is answered twice."""
    small(monkeypatch)
    model = made(ROWS)
    source = registry.source_of(model)
    ask = parse_query({"where": {"Name": {"$ne": "x"}}, "order": order}, source.columns)
    assert isinstance(ask, Select)
    parts = store.pages(source, ask, ask.where, Projection())
    first = [json.loads(text)["id"] for text in next(parts)]
    everything = store.fetch_where(source, ALL)
    later = [key for key in everything if key not in first]
    with store.writing(source, []):
        hidden = everything[later[2]]
        store.update(source, [(hidden, {"Name": "x"})])
        store.update(source, [(everything[first[0]], {"Name": "n9", "Number": 99})])
        store.delete(source, [later[5]])
    rest = [json.loads(text)["id"] for text in chain.from_iterable(parts)]
    assert not set(rest) & {later[2], later[5]}
    assert sorted(first + rest) == sorted(set(everything) - {later[2], later[5]})


def test_what_is_wrong_is_told_before_anything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    asking = SourceApi(made(ROWS))

    def busy(*_: Any) -> None:
        raise Busy("the query took too long; send a smaller query")

    monkeypatch.setattr(paging, "_ids", busy)
    response = asking.query(order=[["Name", "ASC"]])
    assert response.status_code == 503 and response.json()["type"] == "server.busy"
    monkeypatch.setattr(paging, "read_rows", busy)
    assert asking.send("GET", "/data").status_code == 503


def test_few_are_one_statement(django_assert_num_queries: Any) -> None:
    source = registry.source_of(made(ROWS))
    for asked in ({}, {"order": [["Name", "ASC"]]}):
        ask = parse_query(asked, source.columns)
        assert isinstance(ask, Select)
        with django_assert_num_queries(1):
            assert [len(page) for page in store.pages(source, ask, ALL, Projection())] == [20]


def test_it_is_sent_as_it_is_read_under_asgi_as_well() -> None:
    read: list[int] = []

    def parts() -> Any:
        for number in range(3):
            read.append(number)
            yield ['"a"'] * (store.PAGE if number < 2 else 1)

    async def first() -> bytes:
        response: Any = entries_answer(parts())
        assert response.streaming
        stream = aiter(response)
        sent = [await anext(stream), await anext(stream)]
        assert read == [0, 1]
        sent += [part async for part in stream]
        return b"".join(sent)

    assert len(json.loads(asyncio.run(first()))["entries"]) == 2 * store.PAGE + 1


@pytest.mark.django_db(transaction=True)
def test_nothing_stays_open_while_a_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    source: Source = registry.source_of(made(ROWS))
    for asked in ({}, {"order": [["Name", "ASC"]]}):
        ask = parse_query(asked, source.columns)
        assert isinstance(ask, Select)
        parts = store.pages(source, ask, ALL, Projection())
        next(parts)
        assert not connection.in_atomic_block
        parts.close()


def test_one_that_goes_meanwhile_does_not_end_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It left the first page short, which was taken for the last one."""
    small(monkeypatch)
    model = made(ROWS)
    source = registry.source_of(model)
    read = paging._ids
    gone: list[int] = []

    def then_one_goes(*args: Any) -> Any:
        keys = read(*args)
        with store.writing(source, []):
            gone.append(keys[1])
            store.delete(source, gone)
        return keys

    monkeypatch.setattr(paging, "_ids", then_one_goes)
    expected = set(store.ids(source))
    asked = SourceApi(model).query(order=[["id", "DESC"]])
    found = [entry["id"] for entry in told(asked)["entries"]]
    assert found == sorted(expected - set(gone), reverse=True) and len(gone) == 1


def test_those_beside_an_index_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page read all that are behind it, and a thousand pages did so a thousand times."""
    model = made([{"Name": [f"n{at}", "a"]} for at in range(20)])
    indexed(registry.source_of(model), ["Name"])
    model.refresh_from_db()
    source = registry.source_of(model)
    small(monkeypatch)
    read: list[Any] = []
    ways = paging.plan_scan
    monkeypatch.setattr(paging, "plan_scan", lambda ask: read.append(ask) or ways(ask))
    for limit, offset in ((None, 0), (11, 4)):
        ask = parse_query({"where": {"Name": "a"}, "limit": limit, "offset": offset}, ["Name"])
        assert isinstance(ask, Select)
        read.clear()
        pages = list(store.pages(source, ask, ask.where, Projection()))
        assert len(read) == 2
        ids = [json.loads(text)["id"] for text in chain.from_iterable(pages)]
        assert ids == store.ids(source)[offset:][:limit]
        assert [len(page) == 3 for page in pages] == [True] * (len(pages) - 1) + [False]


# -- a right that is lost before the end

LEADS = {"type": ["select"], "allow": {"user": {"Role": {"equals": "Lead"}}}}
Change = Callable[[DataSource, DataSource], object]


def _person(people: DataSource, **columns: Any) -> None:
    entry = Entry.objects.get(data_source=people)
    entry.data.update(columns)
    entry.save()


def _column(model: DataSource, name: str) -> None:
    source = registry.source_of(model)
    with store.writing(source, [name]):
        store.insert(source, [{name: 1}])


LOST: dict[str, Change] = {
    "the rules": lambda model, people: save_rules(
        model, [{**LEADS, "require": [{"Name": {"equals": "n1"}}]}]
    ),
    "no rules": lambda model, people: save_rules(model, []),
    "a column": lambda model, people: save_rules(model, [{**LEADS, "exclude": ["Note"]}]),
    "the role": lambda model, people: _person(people, Role="User"),
    "the session": lambda model, people: LoginSession.objects.all().delete(),
    "the row": lambda model, people: Entry.objects.filter(data_source=people).delete(),
    "the data source": lambda model, people: DataSource.objects.get(pk=model.pk).delete(),
}
KEPT: dict[str, Change] = {
    "nothing": lambda model, people: None,
    "a new column": lambda model, people: _column(model, "More"),
    "rules to the same effect": lambda model, people: save_rules(
        model, [{**LEADS, "name": "Leads"}, {**LEADS, "type": ["delete"]}]
    ),
}


@pytest.mark.parametrize("order", [None, [["Name", "ASC"]]], ids=["by id", "sorted"])
@pytest.mark.parametrize("change", [*LOST, *KEPT])
def test_a_right_that_is_lost_ends_the_answer(
    change: str, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    model = data_source("Some", ["Name", "Number", "Note"], ROWS, [LEADS])
    people = sign_in_source("People", [{"Email": "ann@acme.com", "Role": "Lead"}])
    ann = SourceApi(model, calls.session(people, "ann@acme.com").headers)
    for answer in (ann.query(order=order), ann.send("GET", "/data")):
        parts = iter(answer.streaming_content)
        assert next(parts).count(b'"dataSourceId"') == 3
        if change in KEPT:
            KEPT[change](model, people)
            assert next(parts).count(b'"dataSourceId"') == 3
            assert list(parts)[-1] == b"]}"
            continue
        with transaction.atomic():
            LOST[change](model, people)
            with pytest.raises(Busy):
                next(parts)
            assert list(parts) == []
            transaction.set_rollback(True)


@pytest.mark.parametrize("change", ["token", "user", "group"])
def test_so_does_one_of_a_token_or_of_a_user_of_the_site(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    model = made(ROWS)
    token, api = calls.bare_token()
    user = User.objects.create_user("boss")
    asking = SourceApi(model, api.headers if change == "token" else {})
    if change != "token":
        asking.client.force_login(user)
    assert told(asking.send("GET", "/data"))["entries"][-1]["data"] == ROWS[-1]
    parts = iter(asking.send("GET", "/data").streaming_content)
    next(parts)
    next(parts)
    if change == "token":
        revoke(token)
    elif change == "user":
        User.objects.update(is_active=False)
    else:
        user.groups.add(Group.objects.create(name="Other"))
    with pytest.raises(Busy):
        next(parts)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True])
def test_no_connection_is_kept_while_a_client_reads(
    atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool has few of them, and whoever reads slowly would keep one from everybody else."""
    small(monkeypatch)
    asking = SourceApi(made(ROWS))
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    closed: list[Any] = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: closed.append(1))
    for answer in (asking.query(), asking.query(order=[["Name", "ASC"]])):
        for part in answer.streaming_content:
            assert closed or not part.count(b'"id"')
            closed.clear()
            assert not connection.in_atomic_block
