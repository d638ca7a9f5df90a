"""`explain` and `checkrules`, as somebody at a terminal sees them; and what the save warns of."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.analysis.lint import check_rules
from rowkeeper.rules.analysis.lint_rule import warnings_with
from rowkeeper.rules.analysis.site import Site
from rowkeeper.rules.describe.advice import advice_for
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import save_rules
from tests.support.people import sign_in_source

OWN = {"Email": {"equals": "{{user.[Email]}}"}}
RULES: list[dict[str, Any]] = [
    {"name": "Admins", "type": ["select", "delete"], "allow": {"user": {"Role": {"equals": "A"}}}},
    {"type": ["select", "delete"], "allow": "loggedIn", "exclude": ["Salary"], "require": [OWN]},
    {"type": ["update"], "allow": "loggedIn", "require": [OWN]},
    {"type": ["insert"], "allow": {"tokens": [7]}, "include": ["Email"]},
    {"enabled": False, "type": ["select"], "allow": "all"},
]
BOB = '{"Email": "bob@acme.com"}'


@pytest.fixture
def people(db: None) -> DataSource:
    model = DataSource.objects.create(name="Staff members", columns=["Email", "Salary", "Role"])
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, [{"Email": "bob@acme.com", "Salary": 1, "Role": "U"}])
    save_rules(model, RULES)
    ApiToken.objects.create(pk=7, name="seven", digest="7" * 64)
    return model


def run(command: str, *words: str) -> list[str]:
    output = StringIO()
    call_command(command, *words, stdout=output)
    return output.getvalue().splitlines()


def explain(operation: str, *words: str) -> list[str]:
    return run("explain", "Staff members", "--operation", operation, *words)


def entry_of(model: DataSource) -> str:
    return str(model.entries.get().pk)


# -- explain


def test_a_grant_with_its_columns_and_conditions(people: DataSource) -> None:
    assert explain("select", "--user", BOB, "--query", '{"where": {"Email": "bob@acme.com"}}') == [
        "granted by rule 2",
        "  columns: all but `Salary`",
        '  added to the query: `Email` is "bob@acme.com"',
        'rule 1 (Admins): is for users whose `Role` has to be `"A"`',
        "rule 2: grants",
        "rule 3: does not apply to this operation",
        "rule 4: does not apply to this operation",
        "rule 5: is disabled",
    ]


def test_by_name_and_by_number(people: DataSource) -> None:
    words = ("--operation", "select", "--user", '{"Role": "A"}')
    assert run("explain", str(people.pk), *words) == run("explain", people.name, *words)
    assert run("explain", str(people.pk), *words)[0] == "granted by rule 1 (Admins)"


def test_a_name_of_digits(db: None) -> None:
    DataSource.objects.create(name="987654")
    assert run("explain", "987654", "--operation", "select")[-1] == "there are no rules"


@pytest.mark.parametrize(
    ("words", "answer", "line"),
    [
        (
            ["select"],
            "401 auth.required",
            "rule 2: applies to signed-in users; the request is anonymous",
        ),
        (["select", "--user", BOB], "400 datasource.access", "rule 2: requires `Email` to be"),
        (
            ["select", "--user", BOB, "--query", '{"order": [["Salary", "ASC"]]}'],
            "400 datasource.access",
            "rule 2: requires `Email` to be",
        ),
        (
            [
                *("select", "--user", BOB, "--query"),
                '{"where": {"Email": "bob@acme.com"}, "order": [["Salary", "ASC"]]}',
            ],
            "400 datasource.access",
            "rule 2: hides `Salary`, which the request names",
        ),
        (
            ["insert", "--user", BOB, "--data", "{}"],
            "400 datasource.access",
            "rule 4: applies to other API tokens",
        ),
        (["insert", "--data", "{}"], "401 auth.required", "rule 4: applies to other API tokens"),
        (
            ["insert", "--token", "7", "--data", '{"Salary": 1}'],
            "400 datasource.access",
            "rule 4: does not allow writes to `Salary`; the request is denied",
        ),
    ],
)
def test_denials_and_the_kind_of_failure(
    people: DataSource, words: list[str], answer: str, line: str
) -> None:
    told = explain(*words)
    assert told[0] == f"denied: {answer}"
    assert any(one.startswith(line) for one in told), told
    assert len([one for one in told if one.startswith("rule ")]) == len(RULES)


def test_what_would_be_stored(people: DataSource) -> None:
    words = ("--entry", entry_of(people), "--data", '{"Email": "bob@acme.com", "Salary": 2}')
    told = explain("update", "--user", BOB, *words)
    assert told[0] == "granted by rule 3"
    assert json.loads(told[1].partition(": ")[2]) == {
        "Email": "bob@acme.com",
        "Salary": 2,
        "Role": "U",
    }
    assert people.entries.get().data["Salary"] == 1


def test_entries_by_id(people: DataSource) -> None:
    key = entry_of(people)
    assert explain("select", "--user", BOB, "--entry", key)[0] == "granted by rule 2"
    eve = '{"Email": "eve@acme.com"}'
    assert explain("delete", "--user", eve, "--entry", key)[0] == "denied: 400 datasource.access"


def test_entries_that_are_not_there(people: DataSource) -> None:
    told = explain("select", "--user", '{"Role": "A"}', "--entry", "999999")
    assert told[0] == "denied: 404 notfound"
    assert [line for line in told if "there is no" in line] == ["  there is no such entry"]
    told = explain("delete", "--user", BOB, "--entry", "999999")
    assert told[0] == "denied: 400 datasource.access"
    assert "  there is no entry 999999" in told
    told = explain("update", "--user", BOB, "--entry", "999999", "--data", "{}")
    assert told[0] == "denied: 400 datasource.access"


def test_a_delete_by_query(people: DataSource) -> None:
    told = explain("delete", "--user", BOB, "--query", '{"where": {"Email": "bob@acme.com"}}')
    assert told[0] == "granted by rule 2"
    assert people.entries.count() == 1


def test_a_denial_calls_the_data_source_as_it_was_asked_for(people: DataSource) -> None:
    token = str(create_api_token("other")[0].pk)
    assert '"Staff members"' in explain("select", "--token", token)[1]
    number = str(people.pk)
    told = run("explain", number, "--operation", "select", "--token", token)
    assert f'"{number}"' in told[1]


def test_the_app_of_a_token(people: DataSource) -> None:
    token, _ = create_api_token("one", app=App.objects.create(name="Shop"))
    rule = {"type": ["select"], "allow": {"tokens": [token.pk]}, "appId": [token.app_id]}
    save_rules(people, [rule])
    assert explain("select", "--token", str(token.pk))[0] == "granted by rule 1"
    told = explain("select", "--token", str(token.pk), "--app", "99999")
    assert told[-1] == "rule 1: applies to other apps"


def test_secrets_are_not_printed(db: None) -> None:
    model = sign_in_source("Users", [{"Email": "bob@acme.com", "Name": "Bob"}])
    save_rules(model, [{"type": ["update", "select"], "allow": "all"}])
    words = ("--operation", "update", "--entry", entry_of(model), "--data", '{"Name": "Rob"}')
    told = run("explain", "Users", *words)
    stored = json.loads(told[1].removeprefix("  to be stored: "))
    assert stored == {"Email": "bob@acme.com", "Name": "Rob"}
    assert run("explain", "Users", "--operation", "select")[1] == "  columns: all but `Password`"


def test_the_own_row_of_a_session(db: None) -> None:
    model = sign_in_source("Users", [{"Email": "bob@acme.com"}])
    save_rules(model, [{"type": ["update"], "allow": "loggedIn"}])
    words = ("--operation", "update", "--entry", entry_of(model), "--data", '{"Password": "new"}')
    own = json.dumps({"Source": "Users", "ID": model.entries.get().pk})
    other = json.dumps({"Source": "Users", "ID": 0})
    assert run("explain", "Users", *words, "--user", own)[0] == "granted by rule 1"
    assert run("explain", "Users", *words, "--user", other)[0].startswith("denied")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["select", "--query", "{"], "--query: the argument is not valid JSON"),
        (["select", "--query", "[]"], "--query must be a JSON object"),
        (["select", "--query", '{"Email": "x"}'], "a query cannot have `Email`"),
        (
            ["select", "--query", '{"where": {"$where": "x"}}'],
            "a client would receive 400 request.invalid: `where.$where`",
        ),
        (["select", "--user", "Bob"], "--user: the argument is not valid JSON"),
        (["select", "--user", "{}", "--token", "7"], "a request has only one"),
        (["select", "--token", "99"], "there is no API token 99"),
        (["select", "--token", "9" * 30], "there is no API token 999"),
        (["select", "--token", "-1"], "there is no API token -1"),
        (["select", "--data", "{}"], "requires `--query` or `--entry`"),
        (["delete"], "requires `--query` or `--entry`"),
        (["insert"], "requires `--data`"),
        (["update", "--data", "{}"], "requires `--entry` and `--data`"),
        (["update", "--entry", "0", "--data", "{}"], "a whole number from 1"),
        (["insert", "--data", '{"$a": 1}'], "begins with `$`"),
        (["read"], "invalid choice"),
    ],
)
def test_what_cannot_be_asked(people: DataSource, words: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=_plain(message)):
        explain(*words)


def _plain(message: str) -> str:
    import re

    return re.escape(message)


@pytest.mark.parametrize("command", [["explain", "--operation", "select"], ["checkrules"]])
@pytest.mark.parametrize("name", ["Nothing", "999999", "9" * 40])
def test_a_data_source_that_is_not_there(db: None, command: list[str], name: str) -> None:
    with pytest.raises(CommandError, match=f"there is no data source `{name}`"):
        run(command[0], name, *command[1:])


def test_the_data_sources_that_are_there_are_listed(people: DataSource) -> None:
    with pytest.raises(CommandError, match=f"there are {people.pk} `Staff members`$"):
        run("checkrules", "Nothing")


def test_a_stored_rule_that_is_not_valid(people: DataSource) -> None:
    AccessRule.objects.filter(data_source=people, position=2).update(allow="everyone")
    registry.bump_rules_version(people.pk)
    told = explain("select", "--user", BOB)
    assert told[0] == "denied: 400 datasource.access"
    assert any("is not valid, which ends the evaluation" in line for line in told)


# -- checkrules


def test_all_is_well(people: DataSource) -> None:
    closed = [
        {**rule, "exclude": ["Salary"]} if "update" in rule["type"] else rule for rule in RULES
    ]
    save_rules(people, closed)
    assert run("checkrules") == ["1 data source checked: 0 errors, 0 warnings"]


def test_errors_are_told_and_end_in_one(people: DataSource) -> None:
    DataSource.objects.create(name="Other")
    AccessRule.objects.filter(data_source=people, position=1).update(type=["read"], allow="x")
    output = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("checkrules", stdout=output)
    assert raised.value.returncode == 1
    lines = output.getvalue().splitlines()
    assert lines[0].startswith(
        f"Staff members ({people.pk}): error: rule 1, `type[0]`: must be one of"
    )
    assert lines[1].startswith(f"Staff members ({people.pk}): error: rule 1, `allow`: must be")
    assert lines[-1].startswith("2 data sources checked: 2 errors, ")
    assert run("checkrules", "Other")[-1] == "1 data source checked: 0 errors, 0 warnings"


def test_stored_text_that_is_no_json(people: DataSource) -> None:
    from django.db import connection

    table = AccessRule._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET \"require\"='[{{' WHERE position=1")
    with pytest.raises(CommandError):
        run("checkrules")


def test_warnings_are_no_errors(people: DataSource) -> None:
    save_rules(people, [{"type": ["update"], "allow": "all"}])
    told = run("checkrules", "Staff members")
    assert told[0].startswith(
        f"Staff members ({people.pk}): warning: rule 1: every entry can be updated"
    )
    assert told[1:] == [
        f"Staff members ({people.pk}): info: no rule allows `select`, `insert` or `delete`: "
        "nobody can do that",
        "1 data source checked: 0 errors, 1 warning",
    ]


# -- warnings


UPDATE: dict[str, Any] = {"type": ["update"], "allow": "all"}


@pytest.mark.parametrize(
    ("rule", "warns"),
    [
        (UPDATE, True),
        ({**UPDATE, "require": ["Email"]}, True),
        ({**UPDATE, "require": [{"Role": {"equals": "User"}}]}, True),
        ({**UPDATE, "require": [{"Role": {"equals": "{{user.[Role]}}", "on": "submitted"}}]}, True),
        ({**UPDATE, "require": [OWN]}, False),
        ({**UPDATE, "require": [{"Role": {"notequals": "Admin"}}]}, False),
        ({**UPDATE, "require": [{"Role": {"equals": "User", "on": "stored"}}]}, False),
        ({**UPDATE, "type": ["insert"]}, False),
        ({**UPDATE, "enabled": False}, False),
        ({"script": "return None"}, False),
        ({**UPDATE, "allow": "nonsense"}, False),
    ],
)
def test_an_update_rule_for_every_record(rule: dict[str, Any], warns: bool) -> None:
    found = warnings_with([rule], [], several_kinds=False)
    assert [warning.code for warning in found] == ["any-record"] * warns
    for warning in found:
        assert warning.message.endswith('add one with a template, a `notequals`, or `"on": "both"`')


@pytest.mark.parametrize(
    ("rule", "warns"),
    [
        ({"type": ["select"], "exclude": ["Email"]}, True),
        ({"type": ["select"], "include": ["Name"]}, True),
        ({"type": ["delete"], "exclude": ["Email"]}, True),
        ({"type": ["select"], "include": ["Email"], "exclude": ["Email"]}, False),
        ({"type": ["select"], "exclude": ["Name"]}, False),
        ({"type": ["insert"], "exclude": ["Email"]}, False),
        ({"type": ["insert"], "exclude": ["Email"], "require": ["Email"]}, True),
        (
            {"type": ["insert"], "exclude": ["Email"], "require": [{"Email": {"contains": "@"}}]},
            True,
        ),
        (
            {
                "type": ["update"],
                "exclude": ["Email"],
                "require": [{"Email": {"contains": "@", "on": "stored"}}],
            },
            False,
        ),
    ],
)
def test_a_column_that_is_required_and_hidden(rule: dict[str, Any], warns: bool) -> None:
    full = {"allow": "all", "require": [OWN], **rule}
    said = check_rules([full], LintContext(("Email", "Name")))
    found = [each for each in said if each.code == "required-and-hidden"]
    assert len(found) == warns
    for warning in found:
        assert "`Email`" in warning.message


@pytest.mark.parametrize(
    ("rule", "warns"),
    [
        ({"allow": {"user": {"Role": {"equals": "A"}}}}, True),
        ({"allow": "loggedIn", "require": [OWN]}, True),
        (
            {"allow": {"user": {"Role": {"equals": "A"}, "Source": {"equals": "Users"}}}},
            False,
        ),
        ({"allow": {"user": {"Source": {"equals": "Users"}}}, "require": [OWN]}, False),
        ({"allow": "loggedIn"}, False),
        ({"allow": "all", "require": [{"Role": {"equals": "A"}}]}, False),
        ({"allow": {"tokens": [7]}}, False),
        ({"allow": {"tokens": [7]}, "require": [OWN]}, False),
    ],
)
def test_a_rule_that_takes_any_kind_of_user(rule: dict[str, Any], warns: bool) -> None:
    full = {"type": ["select"], **rule}
    assert warnings_with([full], [], several_kinds=False) == []
    found = warnings_with([full], [], several_kinds=True)
    assert [warning.code for warning in found] == ["any-kind-of-user"] * warns
    for warning in found:
        by_word = rule["allow"] == "loggedIn"
        told = "write {" if by_word else 'add "Source": {"equals": "…"} to `allow.user`'
        assert told in warning.message


def several() -> bool:
    return Site.now().around(None).several_kinds


def test_kinds_of_user(db: None) -> None:
    assert not several()
    User.objects.create_user("staff")
    assert not several()
    sign_in_source("Users", [])
    assert several()
    User.objects.all().delete()
    User.objects.create_superuser("root")
    assert not several()
    sign_in_source("Guests", [])
    assert several()


def test_rules_that_share_a_warning_are_named_together(people: DataSource) -> None:
    sign_in_source("Users", [])
    sign_in_source("Guests", [])
    first, others = (line for line in advice_for(people) if "`Source`" in line)
    assert first.startswith("rule 1, `allow`: the user is tested without `Source`")
    assert others.startswith("rules 2, 3, `allow`: the user is tested without `Source`")
    save_rules(people, [])
    assert advice_for(people) == ["no rule is enabled: nobody gets in"]
