"""The simulator in the admin: what it tells, to whom, and that it writes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.models import App
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.models import LoggedDecision
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import make, signed_in, staff, url
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

RULES: list[dict[str, Any]] = [
    {
        "name": "admins",
        "type": ["select", "update", "delete"],
        "allow": {"user": {"Role": {"equals": "Admin"}}},
    },
    {
        "name": "own department",
        "type": ["select"],
        "allow": "loggedIn",
        "require": [{"Dept": {"equals": "{{user.Dept}}"}}],
        "exclude": ["Salary"],
    },
    {
        "name": "own row",
        "type": ["update"],
        "allow": "loggedIn",
        "require": [{"Email": {"equals": "{{user.Email}}"}}],
        "exclude": ["Role", "Salary"],
    },
    {
        "name": "forms",
        "type": ["insert"],
        "allow": "all",
        "require": ["Email", {"Role": {"notequals": "Admin"}}],
    },
]
ROWS = [
    {"Email": "bob@x", "Dept": "Sales", "Role": "User", "Salary": 123456},
    {"Email": "ann@x", "Dept": "Labs", "Role": "Admin", "Salary": 654321},
]
BOB = {"kind": "data", "data": json.dumps({"Email": "bob@x", "Dept": "Sales", "Role": "User"})}


@pytest.fixture
def boss() -> Client:
    return signed_in(User.objects.create_superuser("boss"))


@pytest.fixture
def source() -> DataSource:
    return make("Staff", ROWS, RULES, columns=["Email", "Dept", "Role", "Salary"])


def entry(source: DataSource, address: str) -> int:
    return Entry.objects.get(data_source=source, data__Email=address).pk


def ask(client: Client, source: DataSource, status: int = 200, **asked: Any) -> dict[str, Any]:
    """What the panel is answered."""
    if "body" in asked and not isinstance(asked["body"], str):
        asked["body"] = json.dumps(asked["body"])
    if "rules" in asked and not isinstance(asked["rules"], str):
        asked["rules"] = json.dumps(asked["rules"])
    whole = {"as": BOB, "operation": "select", **asked}
    response = client.post(url("simulate", source.pk), json.dumps(whole), "application/json")
    assert response.status_code == status, response.content
    found: dict[str, Any] = response.json()
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [line["code"] for line in found["lines"]]


def test_a_read_is_told_with_its_reasons_columns_query_and_rows(
    boss: Client, source: DataSource
) -> None:
    found = ask(boss, source, body={"where": {"Dept": "Sales"}, "limit": 5})
    assert (found["granted"], found["status"]) == (True, 200)
    assert found["decisions"] == [
        {"operation": "select", "granted": True, "rule": 2, "name": "own department"}
    ]
    assert codes(found) == ["allow", "granted", "type", "type"]
    assert found["query"]["where"] == '`Dept` is "Sales"'
    assert [(one["name"], one["open"]) for one in found["table"]["columns"]] == [
        ("Email", True),
        ("Dept", True),
        ("Role", True),
        ("Salary", False),
    ]
    [row] = found["table"]["rows"]
    assert [cell["text"] for cell in row["cells"]] == ["bob@x", "Sales", "User", "123456"]
    [told] = json.loads(found["body"])["entries"]
    assert told["data"] == {"Email": "bob@x", "Dept": "Sales", "Role": "User"}
    # Only of an answer with entries is it told that there may be more.
    assert ask(boss, source, body={"where": {"Dept": "Sales"}})["cut"]
    assert not ask(boss, source, body={"where": {"Dept": "Labs"}})["cut"]


# What is asked as Bob, and the nearest miss.
MISSES: list[tuple[str, dict[str, Any], int, list[str]]] = [
    ("another department", {"body": {"where": {"Dept": "Labs"}}}, 2, ["with `Dept` = `Sales`"]),
    ("nothing in particular", {"body": {}}, 2, ["with `Dept` = `Sales`"]),
    (
        "a hidden column",
        {"body": {"where": {"Dept": "Sales", "Salary": 1}}},
        2,
        ["without `Salary`"],
    ),
    (
        "nobody",
        {"as": {"kind": "anonymous"}, "body": {"where": {"Dept": "Labs"}}},
        1,
        ["to a user whose `Role` = `Admin`"],
    ),
    (
        "an insert without an address",
        {"operation": "insert", "body": {"Dept": "x"}},
        4,
        ["with a value in `Email`"],
    ),
    (
        "an insert of an admin",
        {"operation": "insert", "body": {"Email": "e", "Role": "Admin"}},
        4,
        ["with `Role` other than `Admin`"],
    ),
]


@pytest.mark.parametrize(
    ("asked", "rule", "steps"), [m[1:] for m in MISSES], ids=[m[0] for m in MISSES]
)
def test_the_nearest_miss(
    boss: Client, source: DataSource, asked: dict[str, Any], rule: int, steps: list[str]
) -> None:
    found = ask(boss, source, **asked)
    assert not found["granted"] and found["status"] in (400, 401)
    assert found["nearest"] == {"rule": rule, "steps": steps}


def test_bob_raises_his_role(boss: Client, source: DataSource) -> None:
    bob = entry(source, "bob@x")
    body = {"Email": "bob@x", "Role": "Admin"}
    found = ask(boss, source, operation="update", entry=bob, body=body)
    assert (found["granted"], found["status"]) == (False, 400)
    assert codes(found) == ["allow", "type", "column", "type"]
    assert found["nearest"] == {"rule": 3, "steps": ["without `Role`"]}
    allowed = ask(
        boss, source, operation="update", entry=bob, body={"Email": "bob@x", "Dept": "Labs"}
    )
    assert allowed["granted"]
    [written] = allowed["written"]
    assert json.loads(written["row"]) == {**ROWS[0], "Dept": "Labs"}
    assert Entry.objects.get(pk=bob).data == ROWS[0]


def test_rules_that_nobody_has_saved(boss: Client, source: DataSource) -> None:
    wide = [{"type": ["select"], "allow": "all"}]
    found = ask(boss, source, **{"as": {"kind": "anonymous"}}, rules=wide, body={})
    assert found["granted"] and len(found["table"]["rows"]) == 2
    assert not ask(boss, source, **{"as": {"kind": "anonymous"}}, body={})["granted"]
    assert rules_of(source) == RULES
    wrong = ask(boss, source, rules=[{"type": ["select"], "allow": "everybody"}])
    assert set(wrong) == {"problems"} and "rule 1" in wrong["problems"][0]
    assert "is not valid JSON" in ask(boss, source, 400, rules="[{")["message"]


def test_it_writes_nothing(boss: Client, source: DataSource) -> None:
    journal.reset()
    bob = entry(source, "bob@x")
    admin = {"kind": "data", "data": '{"Role": "Admin"}'}
    asks: list[dict[str, Any]] = [
        {"operation": "insert", "body": {"Email": "new", "Never": 1}},
        {"operation": "update", "entry": bob, "body": {"Dept": "x", "Never": 1}},
        {"operation": "delete", "entry": bob},
        {"operation": "delete", "body": {"where": {}}},
        {
            "operation": "commit",
            "body": {"entries": [{"id": bob, "data": {"A": 1}}], "delete": [], "append": False},
        },
    ]
    for asked in asks:
        with CaptureQueriesContext(connection) as captured:
            found = ask(boss, source, **{"as": admin}, **asked)
        assert found["granted"], found
        # Django's own session apart, nothing but reading.
        writes = [
            q["sql"] for q in captured if q["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")
        ]
        assert writes == []
    source.refresh_from_db()
    assert source.columns == ["Email", "Dept", "Role", "Salary"]
    assert [row.data for row in Entry.objects.order_by("pk")] == ROWS
    journal.flush()
    assert not LoggedDecision.objects.exists()


def test_numbers_travel_as_text(boss: Client, source: DataSource) -> None:
    rules = [{"type": ["insert"], "allow": "all"}]
    found = ask(boss, source, operation="insert", rules=rules, body='{"N": 9007199254740993}')
    assert '"N":9007199254740993' in found["written"][0]["row"]
    too_large = ask(
        boss, source, operation="insert", rules=rules, body='{"N": 99999999999999999999}'
    )
    assert too_large["status"] == 400 and "request.invalid" in too_large["body"]


# -- as whom


def test_as_a_row_of_a_sign_in_source(boss: Client, source: DataSource) -> None:
    people = sign_in_source("People", [{"Email": "Bob@x", "Dept": "Sales"}])
    for name in ("bob@x", str(Entry.objects.get(data_source=people).pk)):
        who = {"kind": "row", "source": people.pk, "name": name}
        found = ask(boss, source, **{"as": who}, body={"where": {"Dept": "Sales"}})
        assert found["granted"] and found["decisions"][0]["rule"] == 2
    absent = {"kind": "row", "source": people.pk, "name": "nobody@x"}
    assert "no row has" in ask(boss, source, 400, **{"as": absent})["message"]
    nameless = {"kind": "row", "source": people.pk, "name": " "}
    assert "name the user of `People`" in ask(boss, source, 400, **{"as": nameless})["message"]


def test_passwords_are_in_no_answer(boss: Client) -> None:
    people = sign_in_source("People", [{"Email": "bob@x", "Dept": "Sales"}])
    rules = [
        {"type": ["select", "update", "insert"], "allow": "all", "include": ["Email", "Password"]}
    ]
    number = Entry.objects.get(data_source=people).pk
    secret = Entry.objects.get(pk=number).data["Password"]
    bob = {"kind": "row", "source": people.pk, "name": "bob@x"}
    for asked in (
        {"body": {}},
        {"entry": number},
        {"operation": "update", "entry": number, "body": {"Password": "zz-new-zz"}},
        {"operation": "insert", "body": {"Email": "c@x", "Password": "zz-new-zz"}},
    ):
        found = ask(boss, people, **{"as": bob}, rules=rules, **asked)
        assert found["granted"], found
        assert secret not in json.dumps(found) and "zz-new-zz" not in json.dumps(found)
    taken = ask(boss, people, operation="insert", rules=rules, body={"Email": " BOB@x"})
    assert taken["status"] == 400 and "address" in codes(taken)


def test_as_a_token_of_an_app_and_as_oneself(boss: Client, source: DataSource) -> None:
    app = App.objects.create(name="Front desk")
    token, _ = create_api_token("desk", app=app)
    rules = [{"type": ["select"], "allow": {"tokens": [token.pk]}, "appId": [app.pk]}]
    assert ask(boss, source, **{"as": {"kind": "token", "token": token.pk}}, rules=rules)["granted"]
    other = {"kind": "token", "token": token.pk, "app": app.pk + 1}
    assert not ask(boss, source, **{"as": other}, rules=rules)["granted"]
    staff_only = [{"type": ["select"], "allow": {"user": {"Username": {"equals": "boss"}}}}]
    assert ask(boss, source, **{"as": {"kind": "django", "name": "boss"}}, rules=staff_only)[
        "granted"
    ]


def test_a_script_runs_as_in_production(boss: Client, source: DataSource) -> None:
    text = 'print("hello")\nquery.Dept = user.Dept\n'
    rules = [{"script": text + 'return {"granted": True, "exclude": ["Salary"]}'}]
    found = ask(boss, source, rules=rules, body={})
    assert found["granted"], found
    assert [row["cells"][0]["text"] for row in found["table"]["rows"]] == ["bob@x"]
    assert any("hello" in line for line in found["lines"][0]["script"])


# -- to whom


def test_without_the_right_to_see_entries_no_entry_is_told(source: DataSource) -> None:
    client = staff("ann", source, "simulate")
    found = ask(client, source, body={"where": {"Dept": "Sales"}})
    assert found["granted"] and found["body"] is None
    assert "table" not in found and found["columns"] == []
    assert "bob@x" not in json.dumps(found["lines"])
    bob = entry(source, "bob@x")
    for asked in (
        {"entry": bob},
        {"operation": "update", "entry": bob, "body": {}},
        {"operation": "delete", "entry": bob},
        {"operation": "commit", "body": {"entries": []}},
    ):
        assert "entries" in ask(client, source, 403, **asked)["message"]
    gone = ask(
        client,
        source,
        **{"as": {"kind": "data", "data": '{"Role": "Admin"}'}},
        operation="delete",
        body={"where": {}},
    )
    assert gone["granted"] and gone["body"] is None and "gone" not in gone


def test_a_simulated_row_does_not_tell_whose_addresses_are_there() -> None:
    forms = {"type": ["insert"], "allow": "all"}
    people = sign_in_source("People", [{"Email": "bob@x"}])
    save_rules(people, [forms])
    client = staff("ann", people, "simulate")
    taken, free = (
        ask(client, people, operation="insert", body={"Email": address})
        for address in ("bob@x", "new@x")
    )
    assert taken["status"] == free["status"] and taken["lines"] == free["lines"]
    seeing = staff("ben", people, "simulate", "view")
    assert not ask(seeing, people, operation="insert", body={"Email": "bob@x"})["granted"]


def test_other_rules_and_new_scripts_need_their_rights(source: DataSource) -> None:
    wide = [{"type": ["select"], "allow": "all"}]
    script = [{"script": 'return {"granted": True}'}]
    assert (
        "permission to change the rules"
        in ask(staff("ann", source, "simulate"), source, 403, rules=wide)["message"]
    )
    editor = staff("ben", source, "simulate", "change_rules")
    assert ask(editor, source, rules=wide, body={})["granted"]
    assert "`write_scripts`" in ask(editor, source, 403, rules=script)["message"]
    writer = staff("cat", source, "simulate", "change_rules", "write_scripts")
    assert ask(writer, source, rules=script, body={})["granted"]


def test_scripts_and_joins_tell_nothing_of_what_one_may_not_see(source: DataSource) -> None:
    other = make("Hidden", [{"A": "zebra"}], [{"type": ["select"], "allow": "all"}], columns=["A"])
    client = staff("ann", source, "view", "simulate", "change_rules", "write_scripts")
    rules = [{"script": f'print(DataSources({other.pk}).find())\nreturn {{"granted": True}}'}]
    assert "zebra" not in json.dumps(ask(client, source, rules=rules, body={}))
    joins = [
        ask(
            client,
            source,
            body={
                "where": {"Dept": "Sales"},
                "join": {"j": {"dataSourceId": key, "on": {"data.Email": "data.A"}}},
            },
        )
        for key in (other.pk, other.pk + 1_000)
    ]
    assert joins[0] == joins[1] and joins[0]["status"] == 400
    assign_perm("rowkeeper_datasources.view_datasource", User.objects.get(username="ann"), other)
    client = signed_in(User.objects.get(username="ann"))
    assert "zebra" in json.dumps(ask(client, source, rules=rules, body={}))


def test_people_of_others_are_none(source: DataSource) -> None:
    people = sign_in_source("People", [{"Email": "bob@x", "Dept": "Sales"}])
    client = staff("ann", source, "simulate")
    row = Entry.objects.get(data_source=people).pk
    told = {
        ask(client, source, 400, **{"as": {"kind": "row", "source": key, "name": str(row)}})[
            "message"
        ]
        for key in (people.pk, people.pk + 1_000)
    }
    assert len(told) == 1
    User.objects.create_user("ben")
    names = {
        ask(client, source, 400, **{"as": {"kind": "django", "name": name}})["message"].replace(
            name, ""
        )
        for name in ("ben", "nobody")
    }
    assert len(names) == 1
    offered = client.get(url("simulate", source.pk)).json()
    assert offered == {"sources": [], "tokens": [], "apps": [], "me": "ann"}


def test_it_wants_the_token_against_forged_requests(source: DataSource) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("boss"))
    sent = json.dumps({"as": BOB, "operation": "select"})
    assert client.post(url("simulate", source.pk), sent, "application/json").status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "[]",
        "{",
        '{"as": 1}',
        '{"as": {"kind": "x"}}',
        '{"operation": 5}',
        '{"as": {"kind": "row", "source": -1}, "operation": "select"}',
        '{"as": {"kind": "token"}, "operation": "select"}',
    ],
)
def test_what_cannot_be_read_is_said(boss: Client, source: DataSource, sent: str) -> None:
    response = boss.post(url("simulate", source.pk), sent, "application/json")
    assert response.status_code == 400 and response.json()["message"]
    too_much = boss.post(url("simulate", source.pk), " " * 1_100_000, "application/json")
    assert too_much.status_code == 413


def test_a_line_of_the_log_opens_here(source: DataSource, boss: Client) -> None:
    logged = LoggedDecision.objects.create(
        data_source=source,
        at="2026-01-01T00:00Z",
        request_id="r",
        status=400,
        operation="select",
        address="query",
        columns=["Dept"],
        kind="token",
        token_id=7,
        took=1,
    )
    page = boss.get(url("simulator", source.pk) + f"?decision={logged.pk}").content.decode()
    assert "&quot;token&quot;:7" in page and "Dept" in page
    client = staff("ann", source, "simulate")
    assert (
        "Dept"
        not in client.get(url("simulator", source.pk) + f"?decision={logged.pk}").content.decode()
    )


def test_the_log_is_filtered(source: DataSource, boss: Client) -> None:
    people = sign_in_source("People", [{"Email": "bob@x"}])
    row = Entry.objects.get(data_source=people).pk
    common = {"data_source": source, "at": "2026-01-01T00:00Z", "took": 1}
    for kind, extra in {
        "session": {
            "person": f"{people.pk}:{row}",
            "request_id": "one",
            "operation": "update",
            "rule": 2,
        },
        "token": {"token_id": 7, "request_id": "two", "operation": "select"},
        "anonymous": {"request_id": "three", "operation": "select", "status": 401},
    }.items():
        LoggedDecision.objects.create(**{**common, "status": 400, "kind": kind, **extra})
    page = url("decisions", source.pk)

    def found(client: Client, query: str) -> list[str]:
        html = client.get(f"{page}?{query}").content.decode()
        return [name for name in ("one", "two", "three") if f"<code>{name}</code>" in html]

    assert found(boss, "") == ["one", "two", "three"]
    for query, names in {
        "q=BOB@x": ["one"],
        "q=7": ["two"],
        "kind=anonymous": ["three"],
        "operation=update": ["one"],
        "outcome=login": ["three"],
        "outcome=denied": ["one", "two"],
        "rule=2": ["one"],
        "request=two": ["two"],
        "since=2026-01-02T00:00": [],
        "until=2026-01-02T00:00": ["one", "two", "three"],
        "rule=x": [],
    }.items():
        assert found(boss, query) == names, query
    client = staff("ann", source, "view_log")
    html = client.get(page).content.decode()
    assert f"row {row} of data source {people.pk}" in html and "bob@x" not in html
    assert found(client, "q=bob@x") == []


def test_nothing_in_the_log_becomes_markup(source: DataSource, boss: Client) -> None:
    evil = "<script>alert('x')</script>"
    LoggedDecision.objects.create(
        data_source=source,
        at="2026-01-01T00:00Z",
        request_id="r",
        status=400,
        operation="select",
        kind="anonymous",
        columns=[evil],
        rule=1,
        rule_name=evil,
        trace=[[1, evil, "hidden", f"hides `{evil}`, {evil}"]],
        took=1,
    )
    html = boss.get(url("decisions", source.pk)).content.decode()
    assert evil not in html and html.count("&lt;script&gt;") >= 5
    assert "<code><bdi>&lt;script&gt;" in html
