"""Every address of the API: who decides there, and what it answers to what it cannot take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import LazySettings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.client import FakePayload
from django.urls import URLPattern, get_resolver

from rowkeeper.datasources import store
from rowkeeper.rules.access import guard
from rowkeeper.rules.api import commit
from rowkeeper.rules.engine.decide import Decision
from tests.support import calls
from tests.support.calls import OPEN, Answer, Api, Place, place

pytestmark = pytest.mark.django_db

ONE = "data-sources/<reference>"
# Each address, its methods, and who decides: the access rules of a data source (`rules`), Django's
# permissions (`rights`), or the credential itself (`self`).
ROUTES: dict[str, dict[str, str]] = {
    "user": {"GET": "self"},
    "session": {"GET": "self"},
    "session/authorize": {"POST": "sign-in"},
    "session/logout": {"POST": "self"},
    "data-sources": {"GET": "rights", "POST": "rights"},
    ONE: {"GET": "rights", "PUT": "rights", "DELETE": "rights"},
    f"{ONE}/data/query": {"POST": "rules"},
    f"{ONE}/data": {"GET": "rules", "PUT": "rules", "POST": "rules"},
    f"{ONE}/data/<entry_id>": {"GET": "rules", "PUT": "rules", "DELETE": "rules"},
    f"{ONE}/commit": {"POST": "rules"},
    f"{ONE}/indexes/<names>": {"GET": "rules"},
    # It says what everybody may know.
    "schema": {"GET": "public"},
}
ALL = [(route, method, by) for route, methods in ROUTES.items() for method, by in methods.items()]
GUARDED = [(route, method) for route, method, by in ALL if by == "rules"]
ELEVATED = [(route, method) for route, method, by in ALL if by == "rights"]
# Where a body is read, which signing out does not.
WITH_BODY = [
    (route, method)
    for route, method, by in ALL
    if method in ("POST", "PUT") and route != "session/logout"
]
# What each guarded address is asked for; it is granted where everything is open.
BODIES: dict[tuple[str, str], list[Any]] = {
    (f"{ONE}/data/query", "POST"): [
        {"where": {}},
        {"where": {}, "countOnly": True},
        {"type": "delete", "where": {}},
    ],
    (f"{ONE}/data", "GET"): [None],
    (f"{ONE}/data", "PUT"): [{"Name": "new"}],
    (f"{ONE}/data", "POST"): [
        {"entries": [{"Name": "new"}], "append": True},
        {"entries": [{"Name": "new"}]},
        {"entries": []},
    ],
    (f"{ONE}/data/<entry_id>", "GET"): [None],
    (f"{ONE}/data/<entry_id>", "PUT"): [{"Name": "new"}],
    (f"{ONE}/data/<entry_id>", "DELETE"): [None],
    (f"{ONE}/commit", "POST"): [
        {"entries": [{"data": {"Name": "new"}}], "append": True},
        {"entries": [{"data": {"Name": "new"}}]},
        {"entries": [{"id": 0, "data": {"Name": "new"}}]},
        {"entries": [{"id": 0, "data": {"Name": "new"}}], "append": True, "extend": True},
        {"entries": [], "delete": [0], "append": True},
        {"entries": []},
    ],
    (f"{ONE}/indexes/<names>", "GET"): [None],
}
ASKS = [
    pytest.param(route, method, body, id=f"{method} {route.removeprefix(ONE)} {body}")
    for (route, method), bodies in BODIES.items()
    for body in bodies
]


def patterns() -> list[URLPattern]:
    [api] = [found for found in get_resolver().url_patterns if str(found.pattern) == "v1/"]
    return list(api.url_patterns)


def address_of(pattern: URLPattern) -> str:
    """Without what its parts may hold."""
    return re.sub(r"<\w+:", "<", str(pattern.pattern))


def actions_of(pattern: URLPattern) -> dict[str, str]:
    return dict(pattern.callback.actions)  # type: ignore[attr-defined]


def path_of(route: str, there: Place | None = None, reference: object = None) -> str:
    """An address with its parts filled in: the first entry, the column Name."""
    number = 1 if there is None else there.model.pk
    entry = there.ids[0] if there is not None and there.ids else 1
    return (
        route.replace("<reference>", str(number if reference is None else reference))
        .replace("<entry_id>", str(entry))
        .replace("<names>", "Name")
    )


def with_id(body: Any, there: Place) -> Any:
    """0 stands for the first entry's id."""
    if body is None or not there.ids:
        return body
    text = json.dumps(body).replace('"id": 0', f'"id": {there.ids[0]}')
    return json.loads(text.replace('"delete": [0]', f'"delete": [{there.ids[0]}]'))


@pytest.fixture
def things() -> Place:
    return place([OPEN], [{"Name": "a"}, {"Name": "b"}])


# -- the table is the URLconf


def test_the_table_has_every_address_and_method() -> None:
    """Whoever adds an address says here who decides about it."""
    found = {
        address_of(pattern): {method.upper() for method in actions_of(pattern)} - {"HEAD"}
        for pattern in patterns()
        if set(actions_of(pattern).values()) != {"nothing"}
    }
    assert found == {route: set(methods) for route, methods in ROUTES.items()}


# -- each address that touches entries decides


Events = list[str]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    """In order: each decision, and each time that rows are read or written."""
    seen: Events = []

    def spied(word: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append(word)
            return function(*args, **kwargs)

        return call

    for name in ("decide_select", "decide_insert", "decide_update", "decide_delete"):
        monkeypatch.setattr(guard, name, spied("decide", getattr(guard, name)))
    monkeypatch.setattr(commit, "decide_select", spied("decide", commit.decide_select))
    for name in ("select", "count", "stream", "distinct", "insert", "update", "delete"):
        monkeypatch.setattr(store, name, spied("touch", getattr(store, name)))
    monkeypatch.setattr(store, "delete_where", spied("touch", store.delete_where))
    return seen


@pytest.mark.parametrize(("route", "method", "body"), ASKS)
def test_a_decision_comes_before_any_entry(
    things: Place, events: Events, route: str, method: str, body: Any
) -> None:
    answer = calls.anonymous()(method, path_of(route, things), with_id(body, things))
    assert answer.status == 200, answer
    assert "decide" in events
    if "touch" in events:
        assert events.index("decide") < events.index("touch")


@pytest.mark.parametrize(("route", "method", "body"), ASKS)
def test_where_every_decision_is_no_nothing_is_read_or_written(
    things: Place, monkeypatch: pytest.MonkeyPatch, route: str, method: str, body: Any
) -> None:
    for operation in ("select", "insert", "update", "delete"):
        denied = lambda ruleset, *rest, op=operation: Decision(False, op, ruleset)  # noqa: E731
        monkeypatch.setattr(guard, f"decide_{operation}", denied)
        if operation == "select":
            monkeypatch.setattr(commit, "decide_select", denied)
    before = things.stored
    answer = calls.anonymous()(method, path_of(route, things), with_id(body, things))
    assert answer.failure == (400, "datasource.access")
    assert things.stored == before


def kinds_of_callers() -> dict[str, Callable[[], Api]]:
    return {
        "anonymous": calls.anonymous,
        "bare token": lambda: calls.bare_token()[1],
        "session": calls.person,
        "superuser's token": calls.superuser,
        "superuser on the site": lambda: calls.on_site(calls.django_user(is_superuser=True)),
    }


@pytest.mark.parametrize("who", kinds_of_callers())
@pytest.mark.parametrize(("route", "method", "body"), ASKS)
def test_a_data_source_without_rules_gives_nothing_to_anybody(
    route: str, method: str, body: Any, who: str
) -> None:
    there = place([], [{"Name": "a"}])
    api = kinds_of_callers()[who]()
    answer = api(method, path_of(route, there), with_id(body, there))
    if who == "anonymous":
        assert answer.failure == (401, "auth.required")
    else:
        assert answer.failure == (400, "datasource.access")
    assert list(there.stored.values()) == [{"Name": "a"}]


# -- each elevated address: without a login, and without the permission


ELEVATED_BODIES: dict[tuple[str, str], Any] = {
    ("data-sources", "GET"): None,
    ("data-sources", "POST"): {"name": "New"},
    (ONE, "GET"): None,
    (ONE, "PUT"): {"name": "New"},
    (ONE, "DELETE"): None,
}


def test_the_elevated_addresses_are_all_tried() -> None:
    assert set(ELEVATED_BODIES) == set(ELEVATED)


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(("route", "method"), ELEVATED)
def test_without_a_login_and_without_the_permission(route: str, method: str, exists: bool) -> None:
    there = place([], [{"Name": "a"}])
    path = path_of(route, there if exists else None, None if exists else 999_999)
    body = ELEVATED_BODIES[route, method]

    assert calls.anonymous()(method, path, body).failure == (401, "auth.required")
    for api in (calls.bare_token()[1], calls.person()):
        assert api(method, path, body).failure == (403, "auth.forbidden")
    for api in (calls.manager(), calls.on_site(calls.django_user())):
        answer = api(method, path, body)
        if (route, method) == ("data-sources", "GET"):
            assert answer.json == {"dataSources": []}
        else:
            assert answer.failure == (403, "auth.forbidden")
    assert list(there.stored.values()) == [{"Name": "a"}]
    there.model.refresh_from_db()
    assert there.model.name == "Things"


# -- unknown addresses, wrong methods


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND")


@pytest.mark.parametrize("route", ROUTES)
def test_a_wrong_method_is_told_the_right_ones(things: Place, route: str) -> None:
    allowed = set(ROUTES[route]) | ({"HEAD"} if "GET" in ROUTES[route] else set())
    api = calls.superuser()
    for method in set(METHODS) - allowed:
        answer = api(method, path_of(route, things))
        assert answer.status == 405, method
        assert set(answer.headers["Allow"].split(", ")) == allowed
        if method != "HEAD":
            assert answer.failure == (405, "request.method")


@pytest.mark.parametrize(("route", "method"), [(r, m) for r, m, _ in ALL if m == "GET"])
def test_head_is_get_without_the_body(things: Place, route: str, method: str) -> None:
    api = calls.superuser()
    path = path_of(route, things)
    assert api("HEAD", path).status == api(method, path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "users",
        "user/",
        "User",
        "session/",
        "session/authorize/",
        "data-sources/",
        "data-sources//data",
        "data-sources/1/",
        "data-sources/1/data/",
        "data-sources/1/data/1/",
        "data-sources/1/data/1/2",
        "data-sources/1/data/query/",
        "data-sources/1/commit/",
        "data-sources/1/indexes",
        "data-sources/1/indexes/",
        "data-sources/1/nothing",
        "data-sources/1%2F2/3/4",
        "/user",
        "a%0Ab",
        "a%00b",
        "%ff",
        "../v1/nothing",
        "x" * 5_000,
    ],
)
def test_an_unknown_address_is_404_in_json(path: str) -> None:
    for method in METHODS:
        answer = calls.anonymous()(method, path)
        assert answer.status == 404, method
        if method != "HEAD":
            assert answer.failure == (404, "notfound")


# -- what comes first


def test_a_bad_credential_comes_before_all_else(things: Place) -> None:
    bad = Api({"Auth-token": "rk_" + "x" * 43})
    for method, path in (
        ("PATCH", things.data),
        ("GET", "nothing"),
        ("PUT", things.data),
        ("POST", "session/authorize"),
        ("POST", f"{things.data}/query"),
    ):
        assert bad(method, path, raw=b"{", media="text/plain").failure == (401, "auth.invalid")


@pytest.mark.parametrize(("route", "method"), WITH_BODY)
def test_method_media_size_shape_in_this_order(
    things: Place, settings: LazySettings, route: str, method: str
) -> None:
    settings.ROWKEEPER = {"MAX_BODY": 50, "MAX_BULK_BODY": 50}
    api, path = calls.superuser(), path_of(route, things)
    big = b"{" + b" " * 100
    assert api("PATCH", path, raw=big, media="text/plain").failure == (405, "request.method")
    assert api(method, path, raw=big, media="text/plain").failure == (415, "request.media")
    assert api(method, path, raw=big).failure == (413, "request.size")
    assert api(method, path, raw=b"{").failure == (400, "request.invalid")


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a":1,"a":2}'])
@pytest.mark.parametrize(("route", "method"), WITH_BODY)
def test_the_shape_comes_before_the_decision(route: str, method: str, raw: bytes) -> None:
    """So a malformed body is told apart from a denial by nobody's rights or rules."""
    hidden = place([], [{"Name": "a"}])
    for api in (calls.anonymous(), calls.bare_token()[1], calls.person()):
        answer = api(method, path_of(route, hidden), raw=raw)
        if (route, method) == ("data-sources", "POST") and answer.status == 401:
            # Its body may be large: it is not read from nobody.
            assert answer.failure == (401, "auth.required")
        else:
            assert answer.failure == (400, "request.invalid")
    assert calls.bare_token()[1](
        method, path_of(route, hidden), raw=b"{}", media="text/plain"
    ).failure == (415, "request.media")


# -- bodies that are none


def deep(levels: int, escape: bool = True) -> bytes:
    inner = b'"\\u0041"' if escape else b"1"
    return b'{"x":' + b"[" * levels + inner + b"]" * levels + b"}"


MALFORMED = {
    "cut off": b"{",
    "text": b"hello",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "a number": b"1",
    "two values": b"{} {}",
    "trailing comma": b'{"x": 1,}',
    "single quotes": b"{'x': 1}",
    "duplicate key": b'{"x": 1, "x": 2}',
    "duplicate key inside": b'{"x": {"y": [{"z": 1, "z": 1}]}}',
    "duplicate key, escaped": b'{"x": 1, "\\u0078": 2}',
    "NaN": b'{"x": NaN}',
    "Infinity": b'{"x": Infinity}',
    "-Infinity": b'{"x": [-Infinity]}',
    "1e400": b'{"x": 1e400}',
    "-1e400": b'{"x": -1e400}',
    "2^63": b'{"x": 9223372036854775808}',
    "-2^63-1": b'{"x": -9223372036854775809}',
    "5,000 digits": b'{"x": ' + b"9" * 5_000 + b"}",
    "10,000 lists": b'{"x":' + b"[" * 10_000,
    "10,000 lists, closed": deep(10_000),
    "10,000 objects": b'{"x":' * 10_000,
    "10,000 objects, closed": b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
    "lone surrogate": b'{"x": "\\ud800"}',
    "lone low surrogate": b'{"x": "\\udc00"}',
    "surrogates the wrong way round": b'{"x": "\\udc00\\ud800"}',
    "lone surrogate as a key": b'{"\\ud800": 1}',
    "raw lone surrogate": b'{"x": "\xed\xa0\x80"}',
    "NUL": b'{"x": "\\u0000"}',
    "NUL as a key": b'{"\\u0000": 1}',
    "raw NUL": b'{"x": "\x00"}',
    "not UTF-8": b'{"x": "\xff"}',
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "raw line feed": b'{"x": "\n"}',
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_400_everywhere(things: Place, raw: bytes) -> None:
    api = calls.superuser()
    for route, method in WITH_BODY:
        answer = api(method, path_of(route, things), raw=raw)
        assert answer.failure == (400, "request.invalid"), (method, route)
        assert len(answer.json["message"]) < 300
    assert len(things.stored) == 2


@pytest.mark.parametrize("levels", [50, 99, 150, 300, 500, 700, 800, 850, 900, 930, 950, 970, 990])
def test_no_depth_is_a_fault(things: Place, levels: int) -> None:
    """Between what JSON's reader takes and what ours does there is no gap."""
    api = calls.superuser()
    for route, method in WITH_BODY:
        for escape in (True, False):
            answer = api(method, path_of(route, things), raw=deep(levels, escape))
            assert answer.status < 500, (method, route, escape)


@pytest.mark.parametrize("levels", [300, 930])
@pytest.mark.parametrize(
    ("path", "key"),
    [
        *(
            ("data/query", key)
            for key in (
                "type",
                "where",
                "order",
                "attributes",
                "limit",
                "offset",
                "includePagination",
                "countOnly",
                "distinct",
                "join",
                "aggregate",
                "view",
            )
        ),
        *(("commit", key) for key in ("entries", "delete", "append", "extend", "returnEntries")),
        *(("data", key) for key in ("entries", "append")),
        *(("", key) for key in ("name", "type", "columns", "definition", "accessRules")),
        *(("new", key) for key in ("name", "appId", "columns", "definition", "entries")),
        *(("new", key) for key in ("accessRules", "type")),
        *(("authorize", key) for key in ("passport", "where", "dataSourceId", "dataSourceName")),
    ],
)
def test_no_depth_of_a_key_that_is_read_is_a_fault(
    things: Place, path: str, key: str, levels: int
) -> None:
    method, url = {
        "": ("PUT", things.url),
        "new": ("POST", "data-sources"),
        "authorize": ("POST", "session/authorize"),
    }.get(path, ("POST", f"{things.url}/{path}"))
    others: dict[str, Any] = {}
    if path == "commit":
        others = {"entries": [], "append": True}
    if path == "new":
        others = {"name": "New"}
    if path == "authorize":
        others = {"passport": "dataSource", "dataSourceId": 1, "where": {"a": "b", "c": "d"}}
    others.pop(key, None)
    rest = json.dumps(others)[1:-1].encode()
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"$not":', b"}")):
        value = opening * levels + b"1" + closing * levels
        raw = b'{"' + key.encode() + b'":' + value + (b"," + rest if rest else b"") + b"}"
        answer = calls.superuser()(method, url, raw=raw)
        assert answer.status < 500, (opening, answer)


# -- media types


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "text/html",
        "application/xml",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/octet-stream",
        "multipart/mixed; boundary=x",
        "",
        "nonsense",
        "*/*",
    ],
)
def test_a_wrong_media_type_is_415_everywhere(things: Place, media: str) -> None:
    api = calls.superuser()
    for route, method in WITH_BODY:
        answer = api(method, path_of(route, things), raw=b'{"Name": "x"}', media=media)
        assert answer.failure == (415, "request.media"), (method, route)
    assert [row["Name"] for row in things.stored.values()] == ["a", "b"]


@pytest.mark.parametrize(
    "media", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_only_the_put_of_a_row_takes_forms(things: Place, media: str) -> None:
    api = calls.superuser()
    for route, method in WITH_BODY:
        is_row = method == "PUT" and route.startswith(f"{ONE}/data")
        if not is_row:
            answer = api(method, path_of(route, things), raw=b"Name=x", media=media)
            assert answer.failure == (415, "request.media"), (method, route)


@pytest.mark.parametrize("media", ["application/json; charset=UTF-8", "Application/JSON"])
def test_json_in_utf_8_is_taken_however_it_is_spelled(things: Place, media: str) -> None:
    answer = calls.anonymous()("POST", f"{things.data}/query", raw=b"{}", media=media)
    assert len(answer.entries) == 2


def test_the_body_of_a_delete_is_not_read(things: Place) -> None:
    path = f"{things.data}/{things.ids[0]}"
    answer = calls.anonymous()("DELETE", path, raw=b"{" * 2_000_000, media="text/plain")
    assert answer.json == {}


def test_an_empty_body_is_an_empty_object(things: Place) -> None:
    assert len(calls.anonymous()("POST", f"{things.data}/query").entries) == 2
    assert calls.anonymous()("PUT", things.data).json["data"] == {}
    assert calls.anonymous()("POST", f"{things.data}/query", raw=b"  \n").status == 200


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "*/*;q=x", ";;;", "", "image/*", "a" * 5_000]
)
@pytest.mark.parametrize("path", ["nothing", "data-sources", "user", "{data}", "{data}?format=xml"])
def test_whatever_a_client_accepts_it_gets_json(things: Place, path: str, accept: str) -> None:
    calls.anonymous()("GET", path.format(data=things.data), headers={"Accept": accept})


# -- sizes


def test_the_limits_of_size(things: Place, settings: LazySettings) -> None:
    settings.ROWKEEPER = {"MAX_BODY": 60, "MAX_BULK_BODY": 200}
    api = calls.superuser()
    bulk = {
        (f"{ONE}/data", "POST"),
        (f"{ONE}/commit", "POST"),
        ("data-sources", "POST"),
    }
    for route, method in WITH_BODY:
        limit = 200 if (route, method) in bulk else 60
        path = path_of(route, things)
        answer = api(method, path, raw=b"{}" + b" " * (limit - 1))
        assert answer.failure == (413, "request.size"), (method, route)
        assert api(method, path, raw=b"{}" + b" " * (limit - 2)).status != 413, (method, route)


def test_the_default_limit_is_a_mebibyte(things: Place) -> None:
    path = f"{things.data}/query"
    assert calls.anonymous()("POST", path, raw=b"{}" + b" " * 1_048_574).status == 200
    answer = calls.anonymous()("POST", path, raw=b"{}" + b" " * 1_048_575)
    assert answer.failure == (413, "request.size")


def test_a_bulk_write_may_be_larger(things: Place) -> None:
    """If a credential comes with it."""
    _, token = calls.bare_token()
    rows = {"entries": [{"Name": "x" * 3_000_000}], "append": True}
    entries = [{"data": {"Name": "x" * 3_000_000}}]
    commit = {"entries": entries, "append": True, "returnEntries": False}
    for path, body in ((things.data, rows), (f"{things.url}/commit", commit)):
        assert token("POST", path, body).status == 200
        assert calls.anonymous()("POST", path, body).failure == (413, "request.size")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "\xb2", "999999999999999999999", "1"])
def test_a_content_length_that_is_none(things: Place, length: str) -> None:
    answer = calls.anonymous()("POST", f"{things.data}/query", raw=b"{}", CONTENT_LENGTH=length)
    assert answer.status < 500


def test_a_chunked_body_is_answered_in_json(things: Place) -> None:
    answer = calls.anonymous()(
        "POST",
        f"{things.data}/query",
        HTTP_TRANSFER_ENCODING="chunked",
        CONTENT_TYPE="application/json",
        **{"wsgi.input": FakePayload(b"{}")},
    )
    assert answer.status in (200, 400)


# -- forms


BOUNDARY = "multipart/form-data; boundary=BOUNDARY"
FORM = "application/x-www-form-urlencoded"


def part(name: str, value: str, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--BOUNDARY\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return f"{head}{value}\r\n".encode()


END = b"--BOUNDARY--\r\n"


@pytest.mark.parametrize(
    ("raw", "media"),
    [
        (part("Name", "x") + part("File", "y", "a.txt") + END, BOUNDARY),
        (part("File", "y" * 100_000, "a.txt") + END, BOUNDARY),
        (part("Name", "x") + part("Name", "y") + END, BOUNDARY),
        (b"garbage", BOUNDARY),
        (part("Name", "x") + END, "multipart/form-data"),
        (part("Name", "x") + END, "multipart/form-data; boundary=" + "x" * 500),
        (part("Name", "x") + END, "multipart/form-data; boundary=\xe9"),
        (part("", "x") + END, BOUNDARY),
        (part("$where", "x") + END, BOUNDARY),
        (part("Name", "\x00") + END, BOUNDARY),
        (part("x" * 256, "x") + END, BOUNDARY),
        (b"".join(part(f"c{n}", "x") for n in range(1_001)) + END, BOUNDARY),
        # Each is read in a time that is quadratic in these.
        (part("Name", "x").replace(b'"Name"', b'"Name"' + b";" * 21) + END, BOUNDARY),
        (part("Name", "x").replace(b'"Name"', b'"Name";"' + b";" * 900) + END, BOUNDARY),
        # Each encoding that is named so would be looked up, and kept.
        (part("Name", "x").replace(b'"Name"', b"\"Name\"; a*=q1''y") + END, BOUNDARY),
        (part("Name", "x").replace(b'name="Name"', b"name*0*=punycode''x-b") + END, BOUNDARY),
        # Django counts neither as a field nor as a file what has no name.
        (part("Name", "x", "a").replace(b' name="Name";', b"") * 1_001 + END, BOUNDARY),
        (part("Name", "x") + END, "multipart/form-data; boundary*=utf-7''+2AA-"),
        (b"Name=" + b"%" * 1_001, "application/x-www-form-urlencoded"),
        (b"Name=x&Name=y", "application/x-www-form-urlencoded"),
        (b"Name=%00", "application/x-www-form-urlencoded"),
        (b"=x", "application/x-www-form-urlencoded"),
        (b"%24where=x", "application/x-www-form-urlencoded"),
        (b"Name=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"c%d=x" % n for n in range(1_001)), "application/x-www-form-urlencoded"),
    ],
)
def test_a_form_that_is_no_row_is_refused(things: Place, raw: bytes, media: str) -> None:
    before = things.stored
    for path in (things.data, f"{things.data}/{things.ids[0]}"):
        answer = calls.anonymous()("PUT", path, raw=raw, media=media)
        assert answer.status in (400, 415), answer
    assert things.stored == before


def test_forms_take_what_browsers_send(things: Place) -> None:
    """Any characters in a value, and other headers and parameters of a part."""
    value = "100% ;;;;;;;;;;;;;;;;;;;;;;;;;; --BOUND %zz é"
    odd = part("Name", value).replace(
        b"\r\n\r\n", b'; a=b; c="d;e"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n', 1
    )
    encoded = urlencode({"Name": value}).encode()
    for raw, media in ((odd + END, BOUNDARY), (encoded, "application/x-www-form-urlencoded")):
        answer = calls.anonymous()("PUT", things.data, raw=raw, media=media)
        assert answer.status == 200, answer
        assert answer.json["data"]["Name"] == value
    # And what those send who do not escape it.
    for value in (b"10%", b"%4", b"%zz", b"%" * 1_000):
        answer = calls.anonymous()("PUT", things.data, raw=b"Name=" + value, media=FORM)
        assert answer.json["data"]["Name"] == value.decode()


@pytest.mark.parametrize("raw", [b"garbage", part("Name", "x")[:-20], b"--BOUNDARY\r\n", b"x" * 99])
@pytest.mark.parametrize("csrf", [True, False])
def test_a_broken_form_beside_the_sites_own_session_is_no_fault(
    things: Place, raw: bytes, csrf: bool
) -> None:
    """Django's check for the CSRF token reads the form of a POST."""
    api = calls.on_site(calls.django_user(), csrf)
    api.client.cookies["csrftoken"] = "x" * 32
    for path in (f"{things.data}/query", things.data, "session/logout", "data-sources"):
        for media in (BOUNDARY, "multipart/form-data", "application/x-www-form-urlencoded"):
            assert api("POST", path, raw=raw, media=media).status < 500, (path, media)


# -- faults


def test_a_fault_is_500_in_json_and_tells_nothing(
    things: Place, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(guard, "compiled_of", broken)
    for debug in (False, True):
        settings.DEBUG = debug
        for (route, method), bodies in BODIES.items():
            answer = calls.bare_token()[1](method, path_of(route, things), bodies[0])
            assert answer.failure == (500, "server.error")
            assert b"secret" not in answer.text


def test_a_fault_of_whoever_identifies_is_500_in_json(
    things: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowkeeper.accounts.authentication.extract_secrets", lambda request: 1 / 0)
    for route, method, _ in ALL:
        answer = calls.anonymous()(method, path_of(route, things))
        assert answer.failure == (500, "server.error")


@pytest.mark.parametrize(("reads", "body"), [("select", {"limit": 1}), ("pages", {})])
def test_a_locked_database_is_503(
    things: Place, monkeypatch: pytest.MonkeyPatch, reads: str, body: dict[str, Any]
) -> None:
    def locked(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(store, reads, locked)
    answer = calls.anonymous()("POST", f"{things.data}/query", body)
    assert answer.failure == (503, "server.busy")


class Cancelled(Exception):
    """What psycopg says where `statement_timeout` has ended a statement."""

    sqlstate = "57014"


def test_a_statement_that_took_too_long_is_503_and_says_so(
    things: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("canceling statement due to statement timeout") from Cancelled()

    monkeypatch.setattr(store, "select", cancelled)
    answer = calls.anonymous()("POST", f"{things.data}/query", {"limit": 5})
    assert answer.failure == (503, "server.busy")
    assert "took too long" in answer.json["message"]


class Broken:
    """A middleware with a fault."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise RuntimeError("a secret of the server")


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_outside_the_views_is_json_too(settings: LazySettings, debug: bool) -> None:
    settings.DEBUG = debug
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Broken"]
    answer = Api(client=Client(raise_request_exception=False))("GET", "user")
    assert answer.failure == (500, "server.error")
    assert b"secret" not in answer.text


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("host", ["evil.example", "a b", "localhost:x", "[", "\xe9", "x" * 999])
def test_a_host_that_is_not_ours_is_400_in_json(
    settings: LazySettings, host: str, debug: bool
) -> None:
    settings.DEBUG = debug
    settings.ALLOWED_HOSTS = ["localhost"]
    for path in ("user", "nothing", "data-sources/1/data"):
        answer = calls.anonymous()("GET", path, headers={"Host": host})
        assert answer.failure == (400, "request.invalid")
        assert "`ALLOWED_HOSTS`" in answer.json["message"]


@pytest.mark.parametrize(
    "query",
    [
        "appId=x",
        "appId=%00",
        "appId=-1",
        "appId=99999999999999999999",
        "appId=",
        "type=%00",
        "type=%ff",
        "excludeTypes=%00,a",
        "excludeTypes=",
        "attributes=%00",
        "attributes=",
        "attributes=password",
        "attributes=id&attributes=name",
        "&".join(f"a{n}=1" for n in range(1_500)),
    ],
)
def test_no_query_string_is_a_fault(query: str) -> None:
    assert calls.superuser()("GET", f"data-sources?{query}").status < 500


REFERENCES = ["0", "-1", "9" * 30, "9" * 400, "%00", "a%00b", "%ff", "%ED%A0%80", "%0A", "%20"]


@pytest.mark.parametrize(
    "reference", [*REFERENCES, "x" * 3_000, "..", "%F0%9F%A6%8A", "1.0", "1e3"]
)
def test_no_reference_is_a_fault(reference: str) -> None:
    for api in (calls.superuser(), calls.anonymous(), calls.bare_token()[1]):
        for route, method, _ in ALL:
            if route.startswith(ONE):
                for query in ("", "?dsn"):
                    path = path_of(route, None, reference) + query
                    body = BODIES.get((route, method), [{"name": "x"}])[0]
                    assert 400 <= api(method, path, body).status < 500, (method, path)


@pytest.mark.parametrize("entry", ["0", "-1", "x", "1.0", "%00", "9223372036854775808", "9" * 400])
def test_no_entry_id_is_a_fault(things: Place, entry: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = calls.anonymous()(method, f"{things.data}/{entry}", None)
        assert answer.failure == (400, "request.invalid")


@pytest.mark.parametrize("names", ["%00", "$x", "a,,b", ",", "x" * 256, "%25", "%2525", "%ff"])
def test_no_index_is_a_fault(things: Place, names: str) -> None:
    assert calls.anonymous()("GET", f"{things.url}/indexes/{names}").status < 500


def every_answer(things: Place) -> Iterator[Answer]:
    for (route, method), bodies in BODIES.items():
        yield calls.anonymous()(method, path_of(route, things), with_id(bodies[0], things))
    yield calls.anonymous()("GET", "user")
    yield calls.superuser()("GET", things.url)


def test_no_answer_is_kept_by_a_cache(things: Place) -> None:
    for answer in every_answer(things):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Auth-token" in answer.headers["Vary"]
