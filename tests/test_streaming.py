"""Answers of more entries than are held in memory at once: read in pages, and streamed."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import chain
from typing import Any

import pytest
from django.db import connection

from datasources import sources, store
from datasources.errors import Busy
from datasources.models import DataSource
from datasources.queries import Projection, Select, parse_query
from datasources.sources import Source
from datasources.store import paging
from datasources.where import EVERYTHING as ALL
from rules.api import streams
from rules.api.streams import entries_answer

from .http import EVERYTHING, Asking, data_source
from .test_indexed import indexed

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
    return data_source("Some", ["Name", "Number", "Note"], rows, [EVERYTHING])


def told(response: Any) -> Any:
    return json.loads(response.getvalue())


@pytest.mark.parametrize("marked", [[], ["Name"], ["Number"]], ids=str)
def test_pages_hold_what_one_answer_would(
    marked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(ROWS)
    indexed(sources.source_of(model), marked) if marked else None
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
    asking = Asking(model)
    whole = [asking.query(**ask).json() for ask in asks]
    small(monkeypatch)
    responses = [asking.query(**ask) for ask in asks]
    for ask, expected, response in zip(asks, whole, responses, strict=True):
        assert told(response) == expected, ask
        assert response.streaming is (len(expected["entries"]) >= 3 and ask.get("limit") != 3), ask
    assert any(response.streaming for response in responses)


def test_every_entry_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(made(ROWS))
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
    indexed(sources.source_of(model), ["Name"])
    model.refresh_from_db()
    source = sources.source_of(model)
    small(monkeypatch)
    where = parse_query({"where": {"Name": "a"}}, source.columns).where
    found = chain.from_iterable(store.pages(source, Select(), where, Projection()))
    assert [json.loads(text)["data"] for text in found] == rows
    assert told(Asking(model).query(where={"Name": "a"}))["entries"][-1]["data"] == rows[-1]


@pytest.mark.parametrize("order", ORDERS, ids=["by id", "a column", "two columns", "id descending"])
def test_what_changes_meanwhile(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that fits no longer, or is gone, is not answered; none is answered twice."""
    small(monkeypatch)
    model = made(ROWS)
    source = sources.source_of(model)
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
    asking = Asking(made(ROWS))

    def busy(*_: Any) -> None:
        raise Busy("the query took too long; ask for less")

    monkeypatch.setattr(paging, "_ids", busy)
    response = asking.query(order=[["Name", "ASC"]])
    assert response.status_code == 503 and response.json()["type"] == "server.busy"
    monkeypatch.setattr(paging, "read_rows", busy)
    assert asking.send("GET", "/data").status_code == 503


def test_few_are_one_statement(django_assert_num_queries: Any) -> None:
    source = sources.source_of(made(ROWS))
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
    source: Source = sources.source_of(made(ROWS))
    for asked in ({}, {"order": [["Name", "ASC"]]}):
        ask = parse_query(asked, source.columns)
        assert isinstance(ask, Select)
        parts = store.pages(source, ask, ALL, Projection())
        next(parts)
        assert not connection.in_atomic_block
        parts.close()
