"""The short way and the long one answer alike, whoever asks for what: status, headers and body."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.accounts.providers import credential_query
from rowkeeper.accounts.tokens import digest, revoke
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.api import entries, middleware, optimistic
from tests.support import calls
from tests.support.calls import READ, Place, place, without_id
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

ROWS: list[dict[str, Any]] = [
    {"Email": "ann@acme.com", "Team": "Blue", "Salary": 10, "Tags": ["a", ["b"]]},
    {"Email": "bob@acme.com", "Team": "Blue", "Salary": 20, "Big": 1e21},
    {"Email": "cid@acme.com", "Team": "Red", "Salary": 30, "Tags": []},
]
HIDES = {"type": ["select"], "allow": "all", "exclude": ["Salary"]}
OWN = {
    "type": ["select", "update"],
    "allow": "loggedIn",
    "require": [{"Email": {"equals": "{{user.[Email]}}"}}],
}
SCRIPT = {"script": "query.Team = 'Blue'\nreturn {'granted': True, 'exclude': ['Salary']}"}

RULES: dict[str, list[dict[str, Any]]] = {
    "Open": [READ],
    "Hides": [OWN, HIDES],
    "Own": [OWN],
    "Scripted": [SCRIPT],
    "Off": [{**READ, "enabled": False}],
    "None": [],
    "Inserts": [{"type": ["insert"], "allow": "all"}],
}
BLUE = {"where": {"Team": "Blue"}}
BODIES: dict[str, Any] = {
    "blue": BLUE,
    "own": {"where": {"Email": "ann@acme.com"}, "limit": 5},
    "all": {},
    "hidden": {"where": {"Salary": 10}},
    "hidden order": {**BLUE, "order": [["data.Salary", "ASC"]]},
    "hidden attribute": {**BLUE, "attributes": ["Salary"]},
    "hidden path": {"where": {"data.Salary.x": 1}},
    "aggregate": {"aggregate": [{"$group": {"_id": "$Team", "n": {"$sum": 1}}}]},
    "join": {"join": {"Other": {"dataSourceName": "Open", "on": {"data.Team": "data.Team"}}}},
    "join of none": {"join": {"O": {"dataSourceName": "Nowhere", "on": {"data.A": "data.A"}}}},
    "empty join": {**BLUE, "join": {}},
    "no join": {**BLUE, "join": None},
    "wrong join": {**BLUE, "join": []},
    "view": {**BLUE, "view": "none"},
    "null view": {**BLUE, "view": None},
    "delete": {"type": "delete", "where": {"Team": "Green"}},
    "a wrong type": {"type": "drop"},
    "an operator": {"where": {"$foo": 1}},
    "unknown keys": {**BLUE, "what": {"$x": 1}},
    "a limit": {**BLUE, "limit": "1"},
    "order": {**BLUE, "order": [["Team", "DESC"]], "attributes": ["id", "Team", "createdAt"]},
    "pagination": {**BLUE, "includePagination": True},
    "count": {**BLUE, "countOnly": True},
    "distinct": {"distinct": True, "attributes": ["Team"]},
    "percent": {"where": {"Email": {"$like": "%s%%"}, "{v}": None}},
    "dotted": {"where": {"Tags.0": "a"}, "attributes": ["Tags"]},
    "many": {"where": {"Team": {"$in": [str(n) for n in range(200)]}}},
    "text": {"where": {"Team": "\u2028'\"\\😀"}},
}
RAW: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "application/json"),
    "empty": (b"", "application/json"),
    "a list": (b"[]", "application/json"),
    "twice": (b'{"where":{"Team":"Red"},"where":{"Team":"Blue"}}', "application/json"),
    "NaN": (b'{"where":{"Salary":NaN}}', "application/json"),
    "NUL": (b'{"where":{"Team":"\\u0000"}}', "application/json"),
    "surrogate": (b'{"where":{"Team":"\\ud800"}}', "application/json"),
    "not UTF-8": (b'{"where":{"Team":"\xff"}}', "application/json"),
    "media": (b"{}", "text/plain"),
    "form": (b"where=1", "application/x-www-form-urlencoded"),
    "charset": (b"{}", "application/json; charset=latin-1"),
    "deep": (b'{"where":' * 3_000 + b"1" + b"}" * 3_000, "application/json"),
    "large": (b" " * 1_048_577, "application/json"),
}
PLACES = ["Open/data/query", "Open/data", "Nowhere/data/query", "Nowhere", "data/query", "", "None"]
ADDRESSES = [
    *(f"/v1/data-sources/{name}" for name in PLACES),
    "/v1/data-sources/Open/data/query/",
    "/v1/data-sources/Open/data/query?dsn",
    "/v1/data-sources/7/data/query?dsn=1",
    "/v1/data-sources/0/data/query",
    "/v1/data-sources/99999999999999999999/data/query",
    "/v1/data-sources/%00/data/query",
    "/v1/data-sources/Op%65n/data/query",
    "/v1/data-sources/Hides/indexes/Salary",
    "/v1/user", "/v1/session", "/v1", "/v1/", "/v1/schema", "/v1/nothing", "/", "/v1x",
]  # fmt: skip
# Who sends everything, and where; the others ask for a little, and send what cannot be read.
WHOLE, WHOLE_TO = ("a token", "a session"), ("Hides", "Own")
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS"]


@pytest.fixture
def people() -> DataSource:
    return sign_in_source("People", [{"Email": "ann@acme.com", "Role": "Lead"}])


@pytest.fixture
def places() -> dict[str, Place]:
    return {name: place(rules, ROWS, name=name) for name, rules in RULES.items()}


def identities(people: DataSource) -> dict[str, dict[str, str]]:
    """Headers by who sends them, good and bad."""
    app = App.objects.create(name="an app")
    secret = calls.bare_token(app=app)[1].headers["Auth-token"]
    ann = calls.session(people, "ann@acme.com").headers["Auth-token"]
    asleep = calls.bare_token(user=calls.django_user(is_active=True))[1]
    return {
        "nobody": {},
        "a token": {"Auth-token": secret},
        "blanks": {"Auth-token": f"  {secret}\t"},
        "a session": {"Auth-token": ann},
        "bearer": {"Authorization": f"bearer   {ann}"},
        "base64": {"Authorization": "Bearer " + base64.b64encode(ann.encode()).decode()},
        "bad base64": {"Authorization": "Bearer %%%"},
        "basic": {"Authorization": "Basic YTpi"},
        "the same twice": {"Auth-token": ann, "Authorization": f"Bearer {ann}"},
        "two": {"Auth-token": ann, "Authorization": f"Bearer {secret}"},
        "one of them bad": {"Auth-token": ann, "Authorization": "Bearer rk_x"},
        "empty": {"Auth-token": "", "Authorization": "Bearer"},
        "unknown": {"Auth-token": "rk_" + "x" * 43},
        "no token": {"Auth-token": "é"},
        "stale cookie beside": {"Auth-token": ann, "Cookie": "sessionid=stale; auth_token=x"},
        "cookie": {"Cookie": f"auth_token={ann}"},
        "another host": {"Auth-token": ann, "Host": "evil.example"},
        "revoked": calls.bare_token()[1].headers,
        "expired": calls.bare_token()[1].headers,
        "idle": calls.session(people, "ann@acme.com").headers,
        "inactive": asleep.headers,
    }


def end_some(headers: dict[str, dict[str, str]]) -> None:
    """Some of them have lost what they had when they asked first."""

    by_digest = {
        name: digest(one["Auth-token"]) for name, one in headers.items() if "Auth-token" in one
    }
    revoke(ApiToken.objects.get(digest=by_digest["revoked"]))
    late = ApiToken.objects.filter(digest=by_digest["expired"])
    late.update(expires_at=timezone.now() - timedelta(seconds=1))
    old = timezone.now() - timedelta(days=31)
    LoginSession.objects.filter(digest=by_digest["idle"]).update(last_seen_at=old)
    user: Any = ApiToken.objects.get(digest=by_digest["inactive"]).user
    user.is_active = False
    user.save()


Told = tuple[int, dict[str, str], Any]
# The length, as blanks between what is written do not count.
APART = ("X-Request-Id", "Content-Length")


def told(headers: dict[str, str], method: str, address: str, raw: bytes, media: str) -> Told:
    client = Client(raise_request_exception=False)
    response: Any = client.generic(method, address, raw, content_type=media, headers=headers)
    text = b"".join(response.streaming_content) if response.streaming else response.content
    kept = {name: value for name, value in response.headers.items() if name not in APART}
    length = response.headers.get("Content-Length", str(len(text)))
    assert method == "HEAD" or length == str(len(text))
    text, request_id = without_id(text)
    assert request_id in ("", response.headers.get("X-Request-Id", ""))
    is_json = text and response.headers["Content-Type"] == "application/json"
    return response.status_code, kept, json.loads(text) if is_json else text


def is_foreseen(monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    monkeypatch.undo()
    if not on:
        monkeypatch.setattr(entries, "optimistic_select", lambda *_: None)
        monkeypatch.setattr(middleware, "_match_with_token", lambda request: None)


@pytest.mark.parametrize("name", RULES)
def test_selects(
    people: DataSource, places: dict[str, Place], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = identities(people)
    media = "application/json"
    sent = [(json.dumps(body).encode(), media) for body in BODIES.values()] + list(RAW.values())
    url = f"/v1/data-sources/{places[name].model.pk}/data/query"
    credential_query._sessions.clear()
    # Everybody has asked before, so that there is something to be expected.
    for who in headers.values():
        told(who, "POST", url, sent[0][0], media)
    end_some(headers)
    some = [*sent[:2], (b"{", media), (b'{"where":{"$foo":1}}', media), (b"{}", "text/plain")]
    asked = [
        (headers[who], "POST", url, *one)
        for who in headers
        for one in (sent if who in WHOLE and name in WHOLE_TO else some)
    ]
    short: list[str] = []
    parse = optimistic.store.parse_embedded

    def counted(*words: Any) -> str | None:
        found = parse(*words)
        short.extend([] if found is None else [found])
        return found

    with patch.object(optimistic.store, "parse_embedded", counted):
        _compare(monkeypatch, asked)
    taken = connection.vendor == "postgresql" and name in ("Open", "Hides", "Own")
    assert bool(short) is taken


def _compare(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[Any, ...]]) -> None:
    for one in asked:
        is_foreseen(monkeypatch, True)
        short = told(*one)
        is_foreseen(monkeypatch, False)
        assert told(*one) == short, one
    is_foreseen(monkeypatch, True)


@pytest.mark.parametrize("who", ["a token", "a session", "two"])
def test_addresses_and_methods(
    people: DataSource, places: dict[str, Place], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = identities(people)[who]
    asked = [
        (header, method, address, b"{}", "application/json")
        for address in ADDRESSES
        for method in METHODS
    ]
    _compare(monkeypatch, asked)
