"""How much a bulk write may send: bytes and rows, by who sends it."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from rowkeeper.datasources.errors import Malformed, TooLarge
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.values import bulk as jsonbulk
from rowkeeper.datasources.values.bulk import Limits
from rowkeeper.datasources.values.bulk import loads_bulk as read_bulk
from rowkeeper.datasources.values.codec import loads
from tests.support import calls
from tests.support.calls import Api, Place, place

TOO_LARGE = (413, "request.size")
LIMIT = 2_000


@pytest.fixture
def small(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_BODY": LIMIT}


def rule(*operations: str, allow: Any = "all") -> dict[str, Any]:
    return {"type": list(operations), "allow": allow}


def send(api: Api, there: Place, where: str, length: int = LIMIT + 100) -> Any:
    """A bulk write of one row, in a body of about that length."""
    row = {"Name": "a"}
    entry = row if where == "data" else {"data": row}
    body = {"append": True, "entries": [entry], "filler": ""}
    body["filler"] = " " * 10 if length < LIMIT else ""
    text = json.dumps(body).encode()
    return api("POST", f"{there.url}/{where}", raw=text + b" " * (length - len(text)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operations", "where", "fits"),
    [
        (["insert"], "data", True),
        (["select"], "data", False),
        (["update"], "data", False),
        (["delete"], "data", False),
        (["insert"], "commit", True),
        (["update"], "commit", True),
        (["select"], "commit", False),
    ],
)
def test_a_large_body_is_for_those_whom_a_write_rule_lets_in(
    operations: list[str], where: str, fits: bool, small: None
) -> None:
    there = place([rule("select"), rule(*operations)])
    api = calls.bare_token()[1]
    assert (send(api, there, where).failure == TOO_LARGE) is not fits
    # The same from somebody without a credential, whatever the rules say.
    assert send(calls.anonymous(), there, where).failure == TOO_LARGE
    assert send(calls.anonymous(), there, where, 500).failure != TOO_LARGE


@pytest.mark.django_db
def test_a_rule_for_somebody_else_does_not_count(small: None) -> None:
    ours, api = calls.bare_token()
    others = place([rule("insert", allow={"tokens": [ours.pk + 1]})], name="Others")
    assert send(api, others, "data").failure == TOO_LARGE
    assert send(api, others, "commit").failure == TOO_LARGE
    own = place([rule("insert", allow={"tokens": [ours.pk]})], name="Own")
    assert send(api, own, "data").status == 200
    disabled = place([{**rule("insert"), "enabled": False}], name="Disabled")
    assert send(api, disabled, "data").failure == TOO_LARGE


@pytest.mark.django_db
def test_a_body_that_is_refused_is_not_read(small: None) -> None:
    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("the body is read")

        readline = read

    there = place([rule("select"), rule("insert", allow="loggedIn")])
    for api in (calls.anonymous(), calls.bare_token()[1]):
        for where in ("data", "commit"):
            answer = api(
                "POST",
                f"{there.url}/{where}",
                raw=b" " * 5_000,
                **{"wsgi.input": Unread()},
            )
            assert answer.failure == TOO_LARGE


def bulk(api: Api, there: Place, count: int) -> Any:
    return api("POST", there.data, {"append": True, "entries": [{}] * count})


def commit(api: Api, there: Place, count: int, gone: int = 0) -> Any:
    body = {
        "append": True,
        "returnEntries": False,
        "entries": [{"data": {}}] * count,
        "delete": list(range(1_000_000, 1_000_000 + gone)),
    }
    return api("POST", f"{there.url}/commit", body)


@pytest.mark.django_db
def test_how_many_rows_somebody_without_a_credential_may_send() -> None:
    there = place([rule("select", "insert", "delete")])
    api = calls.anonymous()
    assert bulk(api, there, 1_001).failure == TOO_LARGE
    assert commit(api, there, 1_001).failure == TOO_LARGE
    assert commit(api, there, 500, 501).failure == TOO_LARGE
    assert not there.stored
    assert commit(api, there, 999, 1).status == 200
    assert bulk(api, there, 1_000).status == 200
    # What a malformed body has behind the rows that are too many is not looked at.
    start = b'{"entries":[' + b"{}," * 1_000
    assert api("POST", there.data, raw=start + b"nonsense").failure[0] == 413


@pytest.mark.django_db
def test_how_many_rows_others_may_send(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_ROWS": 1_200}
    there = place([rule("insert")])
    api = calls.bare_token()[1]
    assert bulk(api, there, 1_201).failure == TOO_LARGE
    assert commit(api, there, 1_201).failure == TOO_LARGE
    assert bulk(api, there, 1_200).status == 200
    manager = calls.superuser()
    for count, status in ((1_201, 413), (1_200, 201)):
        body = {"name": f"Of {count}", "columns": ["A"], "entries": [{}] * count}
        assert manager("POST", "data-sources", body).status == status
    assert DataSource.objects.count() == 2
    assert Entry.objects.count() == 2_400


@pytest.mark.django_db
def test_ten_megabytes_of_empty_rows_take_little_memory() -> None:
    there = place([rule("insert")])
    api = calls.bare_token()[1]
    body = b'{"append":true,"entries":[' + b"{}," * 3_300_000 + b"{}]}"
    assert bulk(api, there, 1).status == 200
    tracemalloc.start()
    try:
        for where in ("data", "commit"):
            assert api("POST", f"{there.url}/{where}", raw=body).failure == TOO_LARGE
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000
    assert len(there.stored) == 1


# -- the reader that stops


def random_text(some: random.Random) -> str:
    """The text of a bulk write, often with something wrong."""

    def value(depth: int = 0) -> Any:
        kind = some.randrange(7 if depth < 3 else 5)
        if kind == 5:
            return [value(depth + 1) for _ in range(some.randrange(3))]
        if kind == 6:
            return {some.choice(["a", "b", '"', "é"]): value(depth + 1) for _ in range(2)}
        return [None, True, some.randrange(-9, 99), 1.5, some.choice(["", "x]}", 'q"', "\\", "é"])][
            kind
        ]

    def rows() -> Any:
        """Several that look alike, or the like of them, with objects in a list of one."""
        row = {some.choice(["a", "}, {"]): value(2), "b": [{"a": 1}] * some.randrange(3)}
        return [some.choice([row, row, {}, value(2)]) for _ in range(some.randrange(9))]

    keys = ["entries", "delete", "append", "other", "ent\\u0072ies"]
    parts = [
        f'"{key}":{json.dumps(found, indent=some.choice([None, 1]))}'
        for key in (some.choice(keys) for _ in range(some.randrange(4)))
        for found in [rows() if key in ("entries", "delete") and some.random() < 0.7 else value()]
    ]
    text = some.choice(["", " ", "\n"]) + "{" + ",".join(parts) + "}" + some.choice(["", " ", "x"])
    if some.random() < 0.6 and text:
        at = some.randrange(len(text))
        more = some.choice([*'",]}{[:\\1', "\\u0000", "NaN", "1e999"])
        text = text[:at] + more + text[at + some.randrange(2) :]
    return text


def loads_bulk(data: bytes, most: int, elsewhere: int) -> Any:
    return read_bulk(BytesIO(data).read, Limits(most, 1_000_000, elsewhere))


def in_pieces(data: bytes, size: int) -> Any:
    """The same, as if the network gave a few bytes at a time."""
    held = BytesIO(data)
    return read_bulk(lambda wanted: held.read(min(size, wanted)), Limits(1_000, 1_000_000, 100_000))


def outcome(read: Any, text: str) -> Any:
    try:
        value = read(text.encode())
    except Malformed as error:
        return error.message
    return json.dumps(value) if isinstance(value, dict) else "no object"


def test_reading_in_parts_finds_what_reading_at_once_finds() -> None:
    seed = random.randrange(2**32)
    some = random.Random(seed)
    found = 0
    for _ in range(20_000 if os.environ.get("ROWKEEPER_TEST_LONG") else 1_500):
        text = random_text(some)
        expected = outcome(loads, text)
        # That it is no object is said first.
        first = "no object" if not text.strip().startswith("{") else expected
        for size in (1, 3, 10, 100_000):
            found_now = outcome(partial(in_pieces, size=size), text)
            if "trailing comma" in expected:
                # Python 3.13 has words of its own for it, and names the comma.
                assert found_now.startswith("the body is not valid JSON"), (seed, text, size)
                continue
            assert found_now in (expected, first), (seed, text, size)
        found += expected.startswith("{")
    assert found > 100, seed


def random_rows(some: random.Random) -> list[Any]:
    """Rows with texts that look like values."""

    def value(depth: int) -> Any:
        if depth < 3 and some.random() < 0.3:
            return [value(depth + 1) for _ in range(some.randrange(4))]
        if depth < 3 and some.random() < 0.3:
            return {f"k{number}": value(depth + 1) for number in range(some.randrange(4))}
        return some.choice([1, None, "", "a, {b", '"[,', "\\", 'x\\"y,,,,,,'])

    return [value(0) for _ in range(some.randrange(12))]


def count_of(value: Any) -> int:
    """The values inside of a value."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(1 + count_of(item) for item in inside)


def test_values_are_counted_exactly() -> None:
    seed = random.randrange(2**32)
    some = random.Random(seed)
    for _ in range(500):
        rows = random_rows(some)
        body = json.dumps({"entries": rows, "other": [1, 2, {"a": [3]}]}).encode()
        size = some.choice([1, 7, 100_000])

        def read(most: int, body: bytes = body, size: int = size) -> Any:
            held = BytesIO(body)

            def pieces(wanted: int) -> bytes:
                return held.read(min(size, wanted))

            return read_bulk(pieces, Limits(1_000, most, 100_000))["entries"]

        count = sum(map(count_of, rows))
        assert read(count) == rows, seed
        if count:
            with pytest.raises(TooLarge, match=f"more than {count - 1} values"):
                read(count - 1)


ROW_OF_LISTS = b'{"A":[' + b"[]," * 3_000_000 + b"[]]}"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        # One row that is read for as long as its values may still be few.
        (b'{"entries":[' + ROW_OF_LISTS + b"]}", 1_100_000),
        # Rows of which each is short.
        (b'{"entries":[' + b'{"A":1,"B":2,"C":3,"D":4},' * 500_000 + b"{}]}", 800_000),
    ],
    ids=["one row", "many rows"],
)
def test_a_row_with_too_many_values_is_not_parsed(
    body: bytes, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body is refused by its text, before that of a row is read to its end; what is parsed
    never has more values than allowed, but for those of one piece of the text.
    """
    parsed = 0
    scan = jsonbulk.scan_once

    def counting(text: str, at: int) -> Any:
        nonlocal parsed
        value, end = scan(text, at)
        parsed += count_of(value)
        return value, end

    monkeypatch.setattr(jsonbulk, "scan_once", counting)
    held = BytesIO(body)
    with pytest.raises(TooLarge, match="the rows have more than 100000 values"):
        read_bulk(held.read, Limits(1_000_000, 100_000, 1_048_576))
    assert held.tell() <= read < len(body)
    assert parsed <= 100_000 + jsonbulk.CHUNK


def test_rows_are_parsed_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    scan = jsonbulk.scan_once

    def counting(text: str, at: int) -> Any:
        nonlocal calls
        calls += 1
        return scan(text, at)

    monkeypatch.setattr(jsonbulk, "scan_once", counting)
    alike = [{"data": {"A": [{"B": 1}, {"B": 2}], "C": "},{"}, "id": n} for n in range(5_000)]
    rows: list[Any]
    for rows, indent in ((alike, None), (alike, 2), ([{}] * 9_000, None), ([1] * 9_000, 1)):
        body = json.dumps({"entries": rows}, indent=indent).encode()
        calls = 0
        assert loads_bulk(body, 10_000, 1_048_576)["entries"] == rows
        assert calls <= 4 * (1 + len(body) // jsonbulk.CHUNK)


@pytest.mark.django_db
def test_how_many_values_a_caller_may_send(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_VALUES": 30, "MAX_ANONYMOUS_VALUES": 20}
    there = place([rule("insert")], columns=["A", "B"])
    for api, most in ((calls.anonymous(), 20), (calls.bare_token()[1], 30)):
        for count in (most // 2, most // 2 + 1):
            rows = [{"A": 1, "B": 2}] * count
            answer = api("POST", there.data, {"append": True, "entries": rows})
            assert answer.failure == ((200, None) if count == most // 2 else TOO_LARGE)
    # The first of these rows has five values, as `data` is one of them; the last one is a text.
    sent = [{"data": {"A": [1, 2], "B": {}}}, {"data": {"A": "1,2,3,[{,,,,,,,,,,,,,,,"}}]
    body = {"append": True, "returnEntries": False, "entries": sent * 2}
    assert calls.anonymous()("POST", f"{there.url}/commit", body).status == 200
    body["entries"] = sent * 3
    assert calls.anonymous()("POST", f"{there.url}/commit", body).failure == TOO_LARGE


def test_values_beside_the_rows_are_short() -> None:
    long = b'{"other":[' + b"{}," * 1_000 + b"{}],"
    behind = b'{"entries":[],' + long[1:-1] + b"}"
    for text in (long + b'"entries":[]}', behind, b"[" + b"1," * 999):
        with pytest.raises(TooLarge, match="body without its rows is longer than 1000 characters"):
            loads_bulk(text, 10, 1_000)
    # All of them together, and their names.
    for key in (b'"k%d":[1,2,3,4,5]', b'"a long name of a key %d":1'):
        several = b",".join(key % number for number in range(90))
        with pytest.raises(TooLarge, match="body without its rows is longer than 1000 characters"):
            loads_bulk(b'{"entries":[],' + several + b"}", 10, 1_000)
    assert loads_bulk(b'{"entries":[{"A":"' + b"x" * 900 + b'"},{}],"a":1}', 10, 1_000)["a"] == 1
    with pytest.raises(Malformed, match="line 1, column 11"):
        loads_bulk(b'{"append":tru,"entries":["' + b"x" * 5_000 + b'"]}', 10, 1_000)


def test_a_row_has_a_limit() -> None:
    for row in (b'{"A":"' + b"x" * 20_000 + b'"}', b'{"A":[' + b"[]," * 9_000 + b"[]]}"):
        with pytest.raises(TooLarge, match=r"`entries\[1\]` is longer than 16000 characters"):
            loads_bulk(b'{"entries":[{},' + row + b"]}", 10, 1_000)
    row = b'{"A":"' + b"x, " * 4_000 + b'"}'
    assert len(loads_bulk(b'{"entries":[' + row + b",{}]}", 10, 1_000)["entries"]) == 2


def test_a_row_may_have_long_texts() -> None:
    row = b'{"A":"' + b"some text, " * 300_000 + b'"}'
    rows = b'{"entries":[' + row + b',{"B":1}' * 50_000 + b"]}"
    assert len(loads_bulk(rows, 100_000, 1_048_576)["entries"]) == 50_001


@pytest.mark.parametrize(
    "text",
    [
        b'{"entries":[{"A":[' + b"[]," * 3_300_000 + b"[]]}]}",
        b"{" + b",".join(b'"k%d":[' % n + b"{}," * 330_000 + b"{}]" for n in range(10)) + b"}",
    ],
    ids=["one row", "ten keys"],
)
def test_what_is_too_long_takes_little_memory(text: bytes) -> None:
    read = BytesIO(text).read
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read_bulk(read, Limits(100_000, 1_000_000, 1_048_576))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 2_000])
def test_an_answered_request_holds_no_body(count: int) -> None:
    """Django's request refers to itself, so that it stays in memory for a while."""
    there = place([rule("insert")], name="Held")
    response = Client().post(
        f"/v1/{there.url}/commit",
        {"append": True, "entries": [{"data": {"Name": "new"}}] * count},
        content_type="application/json",
    )
    assert response.status_code == (200 if count == 1 else 413)
    held = [value for value in vars(response.wsgi_request).values() if "new" in str(value)]
    assert not held
