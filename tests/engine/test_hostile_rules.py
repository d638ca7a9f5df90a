"""Rules that are not valid, hostile templates among them: refused at save, each with its place; and
where they got into the database some other way, they grant nothing and break nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.db import connection, transaction

from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import RulesInvalid, rules_of, save_rules
from tests.support.calls import DENIED, INVALID, LOGIN, OPEN, SourceApi, data_source, failure_of
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

CASES = Path(__file__).parents[1] / "cases"
HOSTILE = [case["template"] for case in json.loads((CASES / "hostile_templates.json").read_text())]
INVALID_RULES = json.loads((CASES / "invalid_rules.json").read_text())
READ = {"type": ["select"], "allow": "all"}
ROW = {"Email": "ann@acme.com", "Age": 3, "Home": {"City": "Rome"}}
KEPT = {**OPEN, "name": "kept"}


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceApi:
    """Everyone may do everything; and the working folder is one where nothing is to appear."""
    monkeypatch.chdir(tmp_path)
    return SourceApi(data_source("Target", ["Email", "Age", "Home"], [ROW], [KEPT]))


@pytest.fixture
def managing(asking: SourceApi) -> SourceApi:
    """The same, asked by somebody who may change the rules."""
    asking.client.force_login(User.objects.create_superuser("admin", "a@acme.com", "x"))
    return asking


def with_template(template: str) -> list[dict[str, Any]]:
    """A rule for each place in which a template may stand."""
    return [
        {**READ, "require": [{"Email": {"equals": template}}]},
        {**READ, "require": [{"Email": {"notequals": f"x{template}"}}]},
        {**READ, "require": ["Age", {"Email": {"contains": template, "on": "both"}}]},
        {**READ, "allow": {"user": {"Email": {"equals": template}}}},
        {**READ, "allow": {"user": {"Email": {"notequals": template}}}},
    ]


def put_straight(model: DataSource, rules: list[dict[str, Any]]) -> None:
    """Into the table itself, past all that would look at it."""
    columns = {"appId": "app_ids"}
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {AccessRule._meta.db_table}")
        for position, rule in enumerate(rules, 1):
            names = "".join(f",{columns.get(key, key)}" for key in rule)
            cursor.execute(
                f"INSERT INTO {AccessRule._meta.db_table}(data_source_id,position{names}) "
                f"VALUES (%s,%s{',%s' * len(rule)})",
                [model.pk, position, *(held_as(value) for value in rule.values())],
            )
    registry.bump_rules_version(model.pk)


class Raw(str):
    """A text that is stored as it is."""


def held_as(value: Any) -> str:
    return str(value) if isinstance(value, Raw) else json.dumps(value)


# -- hostile templates


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE)) >= 40


def test_none_is_saved(asking: SourceApi, tmp_path: Path) -> None:
    revision = asking.model.revision
    for template in HOSTILE:
        for rule in with_template(template):
            with pytest.raises(RulesInvalid) as caught:
                save_rules(asking.model, [KEPT, rule])
            told = str(caught.value)
            assert told.startswith("rule 2, `"), told
            assert "Email" in told and "\n" not in told, told
            assert len(told) < 1_000, told
    asking.model.refresh_from_db()
    assert (rules_of(asking.model), asking.model.revision) == ([KEPT], revision)
    assert list(tmp_path.iterdir()) == []


def test_none_is_taken_by_the_api(managing: SourceApi, tmp_path: Path) -> None:
    for template in HOSTILE:
        rules = [KEPT, with_template(template)[0]]
        assert (
            failure_of(managing.send("PUT", "", {"accessRules": rules, "name": "Other"})) == INVALID
        )
        made = managing.client.post(
            "/v1/data-sources",
            json.dumps({"name": "New", "accessRules": rules}),
            content_type="application/json",
        )
        assert failure_of(made) == INVALID
    assert rules_of(managing.model) == [KEPT]
    assert list(DataSource.objects.values_list("name", flat=True)) == ["Target"]
    assert list(tmp_path.iterdir()) == []


def test_none_comes_in_by_a_model_or_a_fixture(asking: SourceApi, tmp_path: Path) -> None:
    for template in HOSTILE[::5]:
        rule = with_template(template)[0]
        with pytest.raises(RulesInvalid):
            AccessRule(data_source=asking.model, position=2, **rule).save()
    fields = {"data_source": asking.model.pk, "position": 2, "type": ["select"], "allow": "all"}
    require = [{"Email": {"equals": HOSTILE[0]}}]
    fixture = [{"model": AccessRule._meta.label_lower, "fields": {**fields, "require": require}}]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(fixture))
    with pytest.raises((RulesInvalid, DeserializationError)), transaction.atomic():
        call_command("loaddata", str(path), verbosity=0)
    assert rules_of(asking.model) == [KEPT]


def test_put_straight_into_the_database_they_grant_nothing_and_break_nothing(
    asking: SourceApi, tmp_path: Path
) -> None:
    """Reads end denied, though a later rule would grant them; the other operations go on."""
    people = sign_in_source("People", [{"Email": "ann@acme.com"}])
    signed_in = SourceApi(asking.model, headers_of(asking.client, people, "ann@acme.com"))
    for template in HOSTILE:
        for rule in with_template(template)[::3]:
            put_straight(asking.model, [rule, {**OPEN, "enabled": True}])
            for who in (asking, signed_in):
                first = asking.ids()[0]
                assert failure_of(who.query(where={"Email": "ann@acme.com"})) == DENIED, template
                assert failure_of(who.send("GET", f"/data/{first}")) == DENIED
                assert failure_of(
                    who.query(type="delete", where={"Email": template})
                ) == DENIED or ("\x00" in template or "\ud800" in template)
                assert who.send("PUT", f"/data/{first}", {"Age": 3}).status_code == 200
    made = signed_in.send("PUT", "/data", {"Age": 4})
    assert made.status_code == 200
    assert signed_in.send("DELETE", f"/data/{made.json()['id']}").json() == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_all_of_them_at_once(asking: SourceApi) -> None:
    rules = [with_template(template)[0] for template in HOSTILE]
    put_straight(asking.model, [{**OPEN, "type": ["insert"]}, *rules])
    assert failure_of(asking.query()) == DENIED
    assert asking.send("PUT", "/data", {"Age": 5}).status_code == 200
    put_straight(asking.model, [OPEN, *rules])
    assert asking.rows() == [ROW, {"Age": 5}]


# -- rules that are not valid


@pytest.mark.parametrize("case", INVALID_RULES, ids=[case["name"] for case in INVALID_RULES])
def test_it_is_refused_with_its_place(managing: SourceApi, case: dict[str, Any]) -> None:
    """Nothing of the list is saved, nor of the request; a message names the rule and the place."""
    with pytest.raises(RulesInvalid) as caught:
        save_rules(managing.model, [KEPT, case["rule"]])
    told = str(caught.value)
    place = f", `{case['place']}" if case["place"] else ":"
    assert told.startswith(f"rule 2{place}"), told
    assert "\n" not in told
    refused = managing.send("PUT", "", {"name": "Other", "accessRules": [KEPT, case["rule"]]})
    assert failure_of(refused) == INVALID
    managing.model.refresh_from_db()
    assert (managing.model.name, rules_of(managing.model)) == ("Target", [KEPT])


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in INVALID_RULES
        if isinstance(case["rule"], dict)
        and case["rule"].keys()
        <= {*OPEN, *("name", "enabled", "include", "exclude")} | {"require", "appId", "script"}
    ],
    ids=lambda case: case["name"],
)
def test_put_straight_into_the_database_it_ends_what_it_names(
    asking: SourceApi, case: dict[str, Any]
) -> None:
    put_straight(asking.model, [case["rule"], {**OPEN, "name": "later"}])
    assert failure_of(asking.query(where={"Email": "ann@acme.com"})) == DENIED
    assert failure_of(asking.send("GET", f"/data/{asking.ids()[0]}")) == DENIED
    inserted = asking.send("PUT", "/data", {"Age": 1})
    if case["rule"].get("type") == ["select"] and "script" not in case["rule"]:
        assert inserted.status_code == 200
    else:  # what it is about cannot be read, so it is about all
        assert failure_of(inserted) == DENIED


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("allow", "all"),
        ("allow", "'all'"),
        ("allow", ""),
        ("require", "null"),
        ("include", "null"),
        ("exclude", "null"),
        ("appId", "null"),
        ("require", "["),
        ("require", '[{"Email": {"equals": "ann@acme.com", "equals": "ann@acme.com"}}]'),
        ("require", '[{"Email": {"equals": 1}, "Email": {"equals": "ann@acme.com"}}]'),
        ("require", '[{"Age": {"notequals": NaN}}]'),
        ("require", '[{"Age": {"notequals": 1e999}}]'),
        ("require", '[{"Email": {"notequals": "\\ud800"}}]'),
        ("exclude", '["Age\\u0000"]'),
        ("require", "[" * 100_000),
    ],
    ids=lambda text: str(text)[:40],
)
def test_text_that_is_no_property_ends_what_the_rule_names(
    asking: SourceApi, key: str, text: str
) -> None:
    """Stored as text by hand: no JSON, null, a key that stands twice, numbers that are none."""
    put_straight(asking.model, [{**READ, key: Raw(text)}, {**OPEN, "name": "later"}])
    assert failure_of(asking.query(where={"Email": "ann@acme.com"})) == DENIED
    assert asking.send("PUT", "/data", {"Age": 1}).status_code == 200


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"type": ["select"], "allow": "all"}, "list"),
        ("all", "list"),
        ([READ] * 201, "200"),
        ([{**READ, "include": ["x" * 250] * 20}] * 60, "bytes"),
    ],
    ids=["an object", "a text", "201 rules", "300 KB"],
)
def test_a_list_that_is_none_or_too_long_is_refused(
    managing: SourceApi, rules: Any, told: str
) -> None:
    with pytest.raises(RulesInvalid, match=told):
        save_rules(managing.model, rules)
    assert failure_of(managing.send("PUT", "", {"accessRules": rules})) == INVALID
    assert rules_of(managing.model) == [KEPT]


def test_a_list_that_is_too_long_in_the_database_denies_everything(asking: SourceApi) -> None:
    put_straight(asking.model, [{**OPEN, "name": str(n)} for n in range(201)])
    assert failure_of(asking.query()) in (DENIED, LOGIN)
    assert failure_of(asking.send("PUT", "/data", {"Age": 1})) in (DENIED, LOGIN)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": ["select"], "type": ["delete"], "allow": "all"}',
        '{"type": ["select"], "allow": "all", "allow": "loggedIn"}',
        '{"type": ["select"], "allow": {"user": {"A": {"equals": 1, "equals": 2}}}}',
        '{"type": ["select"], "allow": "all", "require": [{"A": {"equals": 1, "equals": 1}}]}',
        '{"type": ["select"], "allow": "all", "require": [{"A": {"equals": 1}, "A": {}}]}',
    ],
)
def test_a_key_that_stands_twice_is_refused(managing: SourceApi, text: str) -> None:
    response = managing.client.put(
        managing.url, f'{{"accessRules": [{text}]}}', content_type="application/json"
    )
    assert failure_of(response) == INVALID
    assert "twice" in response.json()["message"]
    assert rules_of(managing.model) == [KEPT]


def test_what_opens_or_fits_nothing_may_be_saved(asking: SourceApi) -> None:
    save_rules(asking.model, [{**OPEN, "include": []}])
    assert asking.rows() == [{}]
    assert failure_of(asking.send("PUT", "/data", {"Age": 1})) == DENIED
    save_rules(asking.model, [{**OPEN, "appId": []}, {**OPEN, "enabled": False}])
    assert failure_of(asking.query()) == LOGIN
    assert save_rules(asking.model, [READ] * 200)
    for nothing in (None, []):
        save_rules(asking.model, nothing)
        assert rules_of(asking.model) == []
