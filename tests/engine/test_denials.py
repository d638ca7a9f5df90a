"""Missing login, missing permission, denied by a rule: which of the three, for whom, in a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rowkeeper.accounts.models import ApiToken, App
from tests.support import calls
from tests.support.calls import OPEN, Answer, Api, Place, place

pytestmark = pytest.mark.django_db

OPERATIONS = ("select", "insert", "update", "delete")
VERBS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}
ROW = {"Owner": "somebody", "N": 1}


# -- who asks


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody who asks, and the one token that rules name."""

    callers: dict[str, Api]
    token: ApiToken
    other_app: App


@pytest.fixture
def cast() -> Cast:
    app, other_app = App.objects.create(name="One"), App.objects.create(name="Two")
    token, by_token = calls.bare_token(app)
    return Cast(
        {
            "nobody": calls.anonymous(),
            "a session": calls.person({"Role": "Admin"}, app=app),
            "a token": by_token,
            "another token": calls.bare_token()[1],
            "a site user": calls.on_site(calls.django_user()),
            "the superuser's token": calls.superuser(),
            "a revoked token": calls.revoked_token(),
        },
        token,
        other_app,
    )


# -- what the rules say

Rules = Callable[[str, Cast], list[dict[str, Any]]]


def one(**properties: Any) -> Rules:
    """One rule of the operation."""
    return lambda operation, cast: [{"type": [operation], **properties}]


def elsewhere(rules: Rules) -> Rules:
    """Beside a rule of another operation that lets everybody in: all know the data source."""

    def made(operation: str, cast: Cast) -> list[dict[str, Any]]:
        other = OPERATIONS[(OPERATIONS.index(operation) + 2) % 4]
        return [*rules(operation, cast), {"type": [other], "allow": "all", "include": []}]

    return made


UNMET = [{"Owner": {"equals": "nobody at all"}}]
SCRIPT = {"script": "return {'granted': True}"}
SILENT = {"script": "return None"}
# Who is let in (`+`), who is told to sign in (`?`) and who is denied (`-`), in the order of:
# nobody, a session, a token, another token, a site user, the superuser's token.
TABLE: list[tuple[str, Rules, str]] = [
    ("no rules", lambda operation, cast: [], "?-----"),
    ("everybody", one(allow="all"), "++++++"),
    ("anyone who is signed in", one(allow="loggedIn"), "?+--+-"),
    ("a user", one(allow={"user": {"Role": {"equals": "Admin"}}}), "?+----"),
    ("another user", one(allow={"user": {"Role": {"equals": "Boss"}}}), "?-----"),
    ("a user who lacks a column", one(allow={"user": {"Role": {"notequals": "Admin"}}}), "?---+-"),
    ("a template", one(allow={"user": {"Role": {"equals": "{{user.[Role]}}"}}}), "?+----"),
    (
        "a token",
        lambda operation, cast: [{"type": [operation], "allow": {"tokens": [cast.token.pk]}}],
        "?-+---",
    ),
    ("no such token", one(allow={"tokens": [2**40]}), "?-----"),
    ("disabled", one(allow="all", enabled=False), "?-----"),
    ("disabled, of a login", one(allow="loggedIn", enabled=False), "?-----"),
    ("no app", one(allow="all", appId=[]), "?-----"),
    (
        "an app",
        lambda operation, cast: [
            {"type": [operation], "allow": "all", "appId": [cast.token.app_id]}
        ],
        "?++---",
    ),
    (
        "another app",
        lambda operation, cast: [
            {"type": [operation], "allow": "all", "appId": [cast.other_app.pk]}
        ],
        "?-----",
    ),
    ("a requirement that is not met", one(allow="all", require=UNMET), "------"),
    ("a login and a requirement", one(allow="loggedIn", require=UNMET), "?-----"),
    ("a script", lambda operation, cast: [SCRIPT], "++++++"),
    ("a script that says nothing", lambda operation, cast: [SILENT], "?-----"),
    ("another operation", elsewhere(lambda operation, cast: []), "------"),
    ("another operation, and a login", elsewhere(one(allow="loggedIn")), "?+--+-"),
    (
        "another operation, and a disabled login",
        elsewhere(one(allow="loggedIn", enabled=False)),
        "-" * 6,
    ),
    ("another operation, and no app", elsewhere(one(allow="loggedIn", appId=[])), "-" * 6),
    ("another operation, and no token", elsewhere(one(allow={"tokens": [2**40]})), "?-----"),
    ("another operation, and a script", elsewhere(lambda operation, cast: [SILENT]), "?-----"),
    (
        "a login before everybody",
        lambda operation, cast: [
            {"type": [operation], "allow": "loggedIn", "require": UNMET},
            {"type": [operation], "allow": "all"},
        ],
        # A write that is rejected goes no further; a read is skipped to the next rule.
        "+*++*+",
    ),
]
WHO = ("nobody", "a session", "a token", "another token", "a site user", "the superuser's token")


def commit(there: Place, *entries: Any, delete: Any = ()) -> tuple[str, str, Any]:
    body = {"append": True, "extend": True, "entries": list(entries), "delete": list(delete)}
    return "POST", f"{there.url}/commit", body


def asks(operation: str, there: Place) -> list[tuple[str, str, Any]]:
    """Every way to ask for an operation."""
    key = there.ids[0]
    if operation == "select":
        return [
            ("POST", f"{there.data}/query", {}),
            ("POST", f"{there.data}/query", {"where": {"N": 1}, "countOnly": True}),
            ("GET", there.data, None),
            ("GET", f"{there.data}/{key}", None),
            ("GET", f"{there.url}/indexes/N", None),
        ]
    if operation == "insert":
        return [
            ("PUT", there.data, {"N": 2}),
            ("POST", there.data, {"append": True, "entries": [{"N": 2}]}),
            commit(there, {"data": {"N": 2}}),
        ]
    if operation == "update":
        return [
            ("PUT", f"{there.data}/{key}", {"N": 2}),
            commit(there, {"id": key, "data": {"N": 2}}),
        ]
    return [commit(there, delete=[key]), ("DELETE", f"{there.data}/{key}", None)]


def told(answer: Answer) -> str:
    if answer.status == 200:
        return "+"
    return {(401, "auth.required"): "?", (400, "datasource.access"): "-"}[answer.failure]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("rules", "expected"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE]
)
def test_the_table(cast: Cast, rules: Rules, expected: str, operation: str) -> None:
    writes = operation in ("insert", "update")
    expected = expected.replace("*", "-" if writes else "+")
    list_of_rules = rules(operation, cast)
    there = place(list_of_rules, [ROW])
    for at in range(len(asks(operation, there))):
        found = ""
        for who in WHO:
            method, path, body = asks(operation, there)[at]
            answer = cast.callers[who](method, path, body)
            found += told(answer)
            if found[-1] == "-":
                check_denial(answer, there, operation, f"{expected} {who}")
            if found[-1] != "+":
                assert there.stored == {there.ids[0]: ROW}
            elif operation != "select":
                there.model.delete()
                there = place(list_of_rules, [ROW])
        assert found == expected, asks(operation, there)[at]
    method, path, body = asks(operation, there)[0]
    answer = cast.callers["a revoked token"](method, path, body)
    assert answer.failure == (401, "auth.invalid")


def check_denial(answer: Answer, there: Place, operation: str, label: str) -> None:
    """The body of the seed: with the name to those who may know it, else with what was sent."""
    verb = VERBS[operation]
    key = there.model.pk
    texts = [
        f'The security rules for the Data Source "{name}" do not allow this app to {verb} data.'
        for name in (there.model.name, key)
    ]
    assert answer.json["message"] in texts, label
    assert answer.json == {
        "message": answer.json["message"],
        "type": "datasource.access",
        "payload": {"dataSourceId": key},
    }


def test_a_401_names_the_way_to_sign_in() -> None:
    there = place([{**OPEN, "allow": "loggedIn"}], [ROW])
    for api in (calls.anonymous(), calls.revoked_token()):
        answer = api("GET", there.data)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_whoever_could_be_let_in_is_told_the_name() -> None:
    there = place([{"type": ["insert"], "allow": "loggedIn"}], [ROW], name="Known")
    answer = calls.person()("GET", there.data)
    assert '"Known"' in answer.json["message"]
    answer = calls.bare_token()[1]("GET", there.data)
    assert f'"{there.model.pk}"' in answer.json["message"] and "Known" not in answer.json["message"]
    answer = calls.bare_token()[1]("GET", "data-sources/Known/data")
    assert answer.json["payload"] == {"dataSourceId": "Known"}


def test_a_denial_tells_not_why() -> None:
    """One body, whatever rule, value or column was at fault."""
    rules = [
        {
            "type": ["select", "update", "insert"],
            "allow": "all",
            "exclude": ["Hidden"],
            "require": ["N", {"Owner": {"equals": "secret value"}}],
        }
    ]
    there = place(rules, [{**ROW, "Hidden": 1}], name="Told")
    api = calls.anonymous()
    answers = [
        api("POST", f"{there.data}/query", {"where": where})
        for where in (
            {},
            {"N": 1},
            {"Owner": "secret value"},
            {"N": 1, "Owner": "x"},
            {"N": 1, "Owner": "secret value", "Hidden": 1},
        )
    ]
    assert len({answer.text for answer in answers}) == 1
    assert len(answers[0].headers) == len(answers[-1].headers)
    path = f"{there.data}/{there.ids[0]}"
    bodies: list[Any] = [
        {},
        {"N": 2},
        {"Owner": "x"},
        {"Hidden": 1, "N": 1, "Owner": "secret value"},
    ]
    for method, url in (("PUT", path), ("PUT", there.data)):
        texts = {api(method, url, body).text for body in bodies}
        assert len(texts) == 1
        assert b"secret" not in texts.pop()


# -- elevated actions


@pytest.mark.parametrize("who", WHO)
def test_elevated_actions_are_401_or_403_never_400(cast: Cast, who: str) -> None:
    there = place([], [ROW])
    api = cast.callers[who]
    for method, path, body in (
        ("PUT", there.url, {"name": "x"}),
        ("POST", "data-sources", {"name": "y"}),
        ("DELETE", there.url, None),
    ):
        answer = api(method, path, body)
        if who == "nobody":
            assert answer.failure == (401, "auth.required")
        elif who == "the superuser's token":
            assert answer.status in (200, 201)
        else:
            assert answer.failure == (403, "auth.forbidden")


# -- the order of the checks


def test_the_order_of_the_checks() -> None:
    """Each request has all the faults that come later, too."""
    there = place([{**OPEN, "allow": "loggedIn"}], [ROW])
    path = f"{there.data}/query"
    bad = {"Auth-token": "rk_" + "x" * 43}
    big = b"[" * 2_000_000
    api = calls.anonymous()
    asked: list[tuple[str, dict[str, str], bytes, str, tuple[int, str]]] = [
        ("PATCH", bad, big, "text/plain", (401, "auth.invalid")),
        ("PATCH", {}, big, "text/plain", (405, "request.method")),
        ("POST", {}, big, "text/plain", (415, "request.media")),
        ("POST", {}, big, "application/json", (413, "request.size")),
        ("POST", {}, b"[", "application/json", (400, "request.invalid")),
        ("POST", {}, b'{"limit": "x"}', "application/json", (400, "request.invalid")),
        ("POST", {}, b'{"where": {"$foo": 1}}', "application/json", (400, "request.invalid")),
        ("POST", {}, b"{}", "application/json", (401, "auth.required")),
    ]
    for method, headers, raw, media, expected in asked:
        assert api(method, path, raw=raw, media=media, headers=headers).failure == expected


def test_csrf_belongs_to_the_credential() -> None:
    there = place([], [ROW])
    api = calls.on_site(calls.django_user(), csrf=True)
    for method, path in (
        ("POST", f"{there.data}/query"),
        ("PATCH", there.data),
        ("PUT", "nothing"),
    ):
        answer = api(method, path, raw=b"{", media="text/plain")
        assert answer.failure == (403, "auth.csrf")
    assert api("GET", there.data).failure == (400, "datasource.access")


def test_two_credentials_that_differ_are_invalid() -> None:
    there = place([OPEN], [ROW])
    _, one_token = calls.bare_token()
    _, other = calls.bare_token()
    bearer = {"Authorization": f"Bearer {other.headers['Auth-token']}"}
    assert one_token("GET", there.data, headers=bearer).failure == (401, "auth.invalid")
    same = {"Authorization": f"Bearer {one_token.headers['Auth-token']}"}
    assert one_token("GET", there.data, headers=same).status == 200
    bad = {"Authorization": "Bearer rk_" + "x" * 43}
    assert one_token("GET", there.data, headers=bad).failure == (401, "auth.invalid")
    session = calls.person()
    bearer = {"Authorization": f"Bearer {session.headers['Auth-token']}"}
    assert one_token("GET", there.data, headers=bearer).failure == (401, "auth.invalid")


@pytest.mark.parametrize(
    "headers",
    [
        {"Auth-token": "x"},
        {"Auth-token": "rk_"},
        {"Auth-token": "rks_" + "x" * 43},
        {"Auth-token": "\xe9"},
        {"Auth-token": "rk_" + "x" * 10_000},
        {"Authorization": "Bearer x"},
        {"Authorization": "bearer cmtfeA=="},
        {"Authorization": "Bearer %00"},
    ],
)
def test_an_unknown_credential_is_invalid_everywhere(headers: dict[str, str]) -> None:
    there = place([OPEN], [ROW])
    for path in (there.data, there.url, "user", "session", "data-sources", "nothing"):
        assert calls.anonymous()("GET", path, headers=headers).failure == (401, "auth.invalid")
