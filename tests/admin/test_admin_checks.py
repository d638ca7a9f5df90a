"""The address that checks rules as they are typed: what it says, to whom, and to whom nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rowkeeper.accounts.models import ApiToken
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.engine.parse import parse_rules
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import boss, make, staff
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db
__all__ = ["boss"]

READ = {"type": ["select"], "allow": "loggedIn", "exclude": ["Salary"]}


def check(client: Client, source: DataSource | None, rules: Any, **more: Any) -> Any:
    body = {"dataSource": source and source.pk, "rules": rules, **more}
    return client.post(
        reverse("admin:rowkeeper_rules_check"), json.dumps(body), content_type="application/json"
    )


def answer(client: Client, source: DataSource | None, rules: Any, **more: Any) -> dict[str, Any]:
    text = rules if isinstance(rules, str) else json.dumps(rules)
    response = check(client, source, text, **more)
    assert response.status_code == 200, response.content
    return response.json()  # type: ignore[no-any-return]


def test_rules_in_words_and_who_gets_in(boss: Client) -> None:
    admins = {"type": ["select", "delete"], "allow": {"user": {"Role": {"equals": "Admin"}}}}
    token = {"type": ["insert"], "allow": {"tokens": [7]}, "include": ["Email"]}
    own = {"Email": {"equals": "{{user.[Email]}}"}}
    mine = {"type": ["update"], "allow": "loggedIn", "require": [own], "exclude": ["Salary"]}
    script = {"script": "return {'granted': True}", "enabled": False}
    ApiToken.objects.create(pk=7, name="seven", digest="7" * 64)
    found = answer(boss, make("Staff"), [admins, READ, token, mine, script])
    assert [rule["words"] for rule in found["rules"]] == [
        "Anyone who is signed in and whose Role is “Admin” can read and delete everything",
        "Everyone who is signed in can read all but Salary",
        "API token 7 can add only Email",
        "Everyone who is signed in can change all but Salary, if Email is the user's Email",
        "A script decides",
    ]
    assert found["rules"][4]["operations"] == ["select", "insert", "update", "delete"]
    assert found["access"] == {
        "select": "signed in",
        "insert": "API token 7",
        "update": "signed in, on conditions",
        "delete": "Role is “Admin”",
    }
    assert found["problems"] == []


def test_a_problem_has_its_place_and_what_mends_it(boss: Client) -> None:
    both = {**READ, "include": ["Email"]}
    text = f"[\n  {json.dumps(READ)},\n  {json.dumps(both)}]"
    (problem, *_) = answer(boss, make("Staff"), text)["problems"]
    assert problem == {
        "rule": 2,
        "path": "exclude",
        "severity": "warning",
        "code": "both-lists",
        "message": "the rule also has `include`, which takes precedence: this list hides nothing",
        "line": 3,
        "column": 3,
        "fix": {"label": "remove `exclude`", "rules": problem["fix"]["rules"]},
    }
    mended = {key: value for key, value in both.items() if key != "exclude"}
    assert json.loads(problem["fix"]["rules"]) == [READ, mended]


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("[{]", 1, 3, "expecting property name"),
        ('[\r\n {"type": }]', 2, 11, "expecting value"),
        ("[" * 100_000, None, None, "nested too deeply"),
        ('[{"type": [], "type": []}]', None, None, "same object twice"),
        ("[1e999]", None, None, "too large"),
        ("{} []", 1, 4, "extra data"),
    ],
)
def test_what_is_no_json_is_a_problem(
    boss: Client, text: str, line: int | None, column: int | None, said: str
) -> None:
    found = answer(boss, make("Staff"), text)
    (problem,) = found["problems"]
    assert (problem["line"], problem["column"]) == (line, column)
    assert (problem["rule"], problem["severity"], problem["code"]) == (0, "error", "no-json")
    assert said in problem["message"]
    assert (found["rules"], found["access"]) == ([], {})


@pytest.mark.parametrize("rules", [{}, 1, "x", None, [1, [], None, "x", {"a": 1}], [{}] * 201])
def test_what_are_no_rules_are_errors(boss: Client, rules: Any) -> None:
    found = answer(boss, make("Staff"), json.dumps(rules))
    assert found["problems"]
    assert {problem["severity"] for problem in found["problems"]} == {"error"}
    assert set(found["access"].values()) <= {"nobody"}


def test_no_text_is_no_rule(boss: Client) -> None:
    found = answer(boss, make("Staff"), " \n")
    assert [problem["code"] for problem in found["problems"]] == ["nobody"]
    assert set(found["access"].values()) == {"nobody"}


def test_the_columns_are_those_of_the_form(boss: Client) -> None:
    source = make("Staff")
    rules = [{"type": ["select"], "allow": "loggedIn", "exclude": ["Phone"]}]
    codes = [p["code"] for p in answer(boss, source, rules)["problems"]]
    assert "unknown-column" in codes
    found = answer(boss, source, rules, columns=["Name", "Phone"])
    assert "unknown-column" not in [p["code"] for p in found["problems"]]


def test_nothing_is_saved(boss: Client) -> None:
    source = make("Staff", rules=[READ])
    answer(boss, source, [])
    assert rules_of(source) == [READ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"dataSource": null}',
        b'{"dataSource": "1", "rules": "[]"}',
        b'{"dataSource": true, "rules": "[]"}',
        b'{"dataSource": 9223372036854775808, "rules": "[]"}',
        b'{"dataSource": null, "rules": []}',
        b'{"dataSource": null, "rules": "[]", "columns": "Email"}',
        b'{"dataSource": null, "rules": "[]", "columns": ["$x"]}',
        b"\xff",
    ],
)
def test_what_is_no_request(boss: Client, body: bytes) -> None:
    address = reverse("admin:rowkeeper_rules_check")
    response = boss.post(address, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["type"] == "request.invalid"


def test_a_body_has_a_limit(boss: Client) -> None:
    assert check(boss, None, " " * 2_200_000).status_code == 413


def test_only_post_and_only_with_the_csrf_token(boss: Client) -> None:
    address = reverse("admin:rowkeeper_rules_check")
    assert boss.get(address).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="boss"))
    assert check(strict, None, "[]").status_code == 403


def test_who_may_ask() -> None:
    first, second = make("One"), make("Two")
    delegate = staff("ann", first, "view", "change", "change_rules")
    assert answer(delegate, first, [READ])["problems"]
    other = check(delegate, second, "[]")
    missing = check(delegate, DataSource(pk=10**6), "[]")
    assert (other.status_code, missing.status_code) == (404, 404)
    assert check(delegate, None, "[]").status_code == 403
    assert check(staff("bob", first, "view", "change", "share"), first, "[]").status_code == 403
    assert check(staff("eve"), first, "[]").status_code == 403
    adder = staff("zoe", None, "add")
    assert answer(adder, None, [READ], columns=["Email", "Salary"])["problems"]
    assert check(adder, first, "[]").status_code in (403, 404)
    assert check(Client(), first, "[]").status_code == 302


def test_the_columns_of_other_people_are_not_told() -> None:
    """No oracle: who may not see a sign-in data source is not told which columns it lacks."""
    source = make("One")
    sign_in_source("Users", [{"Email": "a@x.com", "Secret Club": True}])
    tests = [{"allow": {"user": {name: {"equals": 1}}}} for name in ("Secret Club", "Nonsense")]
    rules = [{"type": ["select"], **test} for test in tests]
    told = answer(staff("ann", source, "change_rules"), source, rules)["problems"]
    assert "unknown-column" not in [problem["code"] for problem in told]
    told = answer(staff("root", None, "change_rules"), source, rules)["problems"]
    assert [p["path"] for p in told if p["code"] == "unknown-column"] == ["allow.user.Nonsense"]


def test_rules_elsewhere_that_read_a_column_of_the_people(boss: Client) -> None:
    users = sign_in_source("Users", [{"Email": "a@x.com", "Role": "User"}])
    rules = [{"type": ["update"], "allow": "loggedIn"}]
    assert "self-promotion" not in [p["code"] for p in answer(boss, users, rules)["problems"]]
    admins = {"type": ["select"], "allow": {"user": {"Role": {"equals": "Admin"}}}}
    secret = make("Secret plans", rules=[admins])
    (told,) = [
        problem
        for problem in answer(staff("ann", None, "change_rules"), users, rules)["problems"]
        if problem["code"] == "self-promotion"
    ]
    assert "`Role`" in told["message"]
    assert "Secret" not in told["message"]
    save_rules(secret, [{**admins, "enabled": False}])
    assert "self-promotion" not in [p["code"] for p in answer(boss, users, rules)["problems"]]


def test_the_number_of_queries_does_not_grow(boss: Client) -> None:
    users = sign_in_source("Users", [{"Email": "a@x.com", "Role": "User"}])

    def queries(rules: list[Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            answer(boss, users, rules)
        return len(captured)

    queries([])
    before = queries([READ])
    for number in range(20):
        make(f"More {number}", rules=[READ])
    assert queries([{**READ, "name": str(n), "require": ["Email"]} for n in range(200)]) == before


def test_the_worst_lists_are_answered(boss: Client) -> None:
    """As many rules, names and conditions as fit: every check has a bound."""
    names = [f"c{n}" for n in range(2_000)]
    unknown = {**READ, "exclude": [f"C{n}x" for n in range(120)]}
    tests = {f"c{n}": {"equals": f"{n}", "contains": "x"} for n in range(20)}
    wide = {"type": ["select", "update"], "allow": {"user": tests}, "require": names[:40]}
    source = make("Wide", columns=names)
    for rules in ([unknown] * 200, [wide] * 200, [{**READ, "include": []}] * 200):
        found = answer(boss, source, rules)
        assert len(found["problems"]) <= 201


def test_more_rules_than_are_taken_are_not_looked_through(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body has room for a million, each of which would cost a walk through the text."""
    read: list[int] = []

    def reads(raw: list[Any], *more: Any) -> Any:
        read.append(len(raw))
        return parse_rules(raw, *more)

    monkeypatch.setattr("rowkeeper.rules.describe.editor.parse_rules", reads)
    monkeypatch.setattr("rowkeeper.rules.analysis.lint.parse_rules", reads)
    found = answer(boss, make("Staff"), [1] * 100_000)
    assert [(one["rule"], one["message"]) for one in found["problems"]] == [
        (0, "there are 100000 rules; at most 200 are allowed")
    ]
    assert found["rules"] == [] and sum(read) <= 200
