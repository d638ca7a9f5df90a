"""Separate rights on one data source: each opens what it says, and scripts need their own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from guardian.shortcuts import assign_perm

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import OBJECT_RIGHTS
from rowkeeper.rules.repository.rules import rules_of, save_rules
from rowkeeper.rules.scripts.permissions import new_scripts
from tests.admin.test_admin import errors, make, save, staff, url
from tests.support import calls
from tests.support.calls import OPEN, Place, place

pytestmark = pytest.mark.django_db

SCRIPT: dict[str, Any] = {"name": "own", "script": 'return {"granted": bool(user)}'}
OTHER: dict[str, Any] = {"script": 'return {"granted": True}'}
OFF = {**SCRIPT, "enabled": False}
FOR_APP = {**SCRIPT, "appId": [1]}

# What was stored, what is to be, and the rules whose script is new.
CHANGES: list[tuple[str, list[Any], list[Any], list[int]]] = [
    ("one that stays", [SCRIPT], [SCRIPT], []),
    ("one that is renamed", [SCRIPT], [{**SCRIPT, "name": "other"}], []),
    ("the first", [], [SCRIPT], [1]),
    ("a second", [SCRIPT], [SCRIPT, OTHER], [2]),
    ("a copy", [SCRIPT], [SCRIPT, SCRIPT], [2]),
    ("another text", [SCRIPT], [OTHER], [1]),
    ("one more blank", [SCRIPT], [{**SCRIPT, "script": SCRIPT["script"] + " "}], [1]),
    ("moved", [SCRIPT, OPEN, OTHER], [OTHER, OPEN, SCRIPT], []),
    ("moved before a wide rule", [OPEN, SCRIPT], [SCRIPT, OPEN], []),
    ("taken away", [SCRIPT, OTHER], [OTHER], []),
    ("switched off", [SCRIPT], [OFF], []),
    ("switched on", [OFF], [SCRIPT], [1]),
    ("switched on by a word", [OFF], [{**SCRIPT, "enabled": True}], [1]),
    ("one off, one on", [SCRIPT, OFF], [OFF, SCRIPT], []),
    ("both on", [SCRIPT, OFF], [SCRIPT, SCRIPT], [2]),
    ("both off", [SCRIPT, OFF], [OFF, OFF], []),
    ("for every app", [FOR_APP], [SCRIPT], [1]),
    ("for other apps", [FOR_APP], [{**SCRIPT, "appId": [2]}], [1]),
    ("for other apps, off", [FOR_APP], [{**OFF, "appId": [2]}], []),
    ("no script at all", [SCRIPT], [OPEN], []),
    ("a copy that is off", [SCRIPT], [SCRIPT, OFF], [2]),
]


@pytest.mark.parametrize(
    ("before", "after", "new"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_which_scripts_are_new(before: list[Any], after: list[Any], new: list[int]) -> None:
    assert new_scripts(before, after) == new


@pytest.fixture
def things() -> Place:
    return place([SCRIPT, OPEN], [{"N": 1}])


def sent(there: Place, rules: list[Any], *rights: str) -> Any:
    return calls.manager(*rights, on=there.model)("PUT", there.url, {"accessRules": rules})


def test_the_api_lets_a_script_stay_and_takes_no_new_one(things: Place) -> None:
    answer = sent(things, [OPEN, SCRIPT, OTHER], "change_rules")
    assert (answer.status, answer.json["type"]) == (403, "auth.forbidden")
    assert "`write_scripts`" in answer.json["message"] and "rule 3" in answer.json["message"]
    assert rules_of(things.model) == [SCRIPT, OPEN]
    assert sent(things, [OPEN, SCRIPT], "change_rules").status == 200
    assert rules_of(things.model) == [OPEN, SCRIPT]
    assert sent(things, [OTHER], "change_rules", "write_scripts").status == 200
    assert rules_of(things.model) == [OTHER]


def test_a_script_that_is_refused_takes_the_whole_request_along(things: Place) -> None:
    api = calls.manager("change", "change_rules", on=things.model)
    answer = api("PUT", things.url, {"name": "New", "accessRules": [OTHER]})
    assert answer.status == 403
    assert not DataSource.objects.filter(name="New").exists()


def test_the_right_to_scripts_alone_changes_no_rules(things: Place) -> None:
    assert sent(things, [], "write_scripts").status == 403
    assert sent(things, [], "view", "write_scripts").status == 403
    assert rules_of(things.model) == [SCRIPT, OPEN]


def test_scripts_on_another_data_source_are_no_right_here(things: Place) -> None:
    other = place(name="Other")
    user = calls.django_user("change_rules", on=things.model)
    assign_perm("rowkeeper_datasources.write_scripts_datasource", user, other.model)
    api = calls.bare_token(user=user)[1]
    assert api("PUT", things.url, {"accessRules": [OTHER]}).status == 403


def test_who_makes_a_data_source_may_put_scripts_into_it() -> None:
    body = {"name": "Mine", "accessRules": [SCRIPT]}
    assert calls.manager("add")("POST", "data-sources", body).status == 201


def test_the_operator_writes_scripts(things: Place) -> None:
    save_rules(things.model, [OTHER])
    assert rules_of(things.model) == [OTHER]


def test_the_form_says_what_is_missing() -> None:
    source = make("People", rules=[SCRIPT])
    client = staff("ann", source, "change_rules")
    said = errors(save(client, source, rules=json.dumps([SCRIPT, OTHER])))
    assert "the permission `write_scripts` is required for the script of rule 2" in said
    assert rules_of(source) == [SCRIPT]
    assert save(client, source, rules=json.dumps([OPEN, SCRIPT])).status_code == 302
    source.refresh_from_db()
    assert rules_of(source) == [OPEN, SCRIPT]
    both = staff("ben", source, "change_rules", "write_scripts")
    assert save(both, source, rules=json.dumps([OTHER])).status_code == 302
    assert rules_of(source) == [OTHER]


def test_who_makes_one_in_the_admin_may_put_scripts_into_it() -> None:
    typed = {"name": "Mine", "columns": "A", "rules": json.dumps([SCRIPT]), "definition": "{}"}
    assert staff("ann", None, "add").post(url("add"), typed).status_code == 302
    assert rules_of(DataSource.objects.get(name="Mine")) == [SCRIPT]


# -- what the other rights do not show


@pytest.fixture
def people() -> DataSource:
    return make(
        "People", [{"Email": "a@x.com"}], [OPEN, SCRIPT, OTHER], definition={"note": "N-5-N"}
    )


@pytest.mark.parametrize("right", ["delete", "write_scripts", "simulate", "view_log", "share"])
def test_rights_that_are_not_about_its_contents_show_a_name(people: DataSource, right: str) -> None:
    client = staff("ann", people, right)
    html = client.get(url("change", people.pk)).content.decode()
    assert "People" in html
    for hidden in ("Salary", "N-5-N", "granted", "<textarea"):
        assert hidden not in html
    assert client.post(url("change", people.pk), {"name": "Mine"}).status_code == 403
    api = calls.manager(right, on=people)
    assert api("PUT", f"data-sources/{people.pk}", {"accessRules": []}).status == 403


@pytest.mark.parametrize("right", [right for right in OBJECT_RIGHTS if right != "change_rules"])
def test_how_many_rules_there_are_is_told_to_those_who_may_see_them(
    people: DataSource, right: str
) -> None:
    mine = make("Mine", rules=[OPEN] * 7)
    client = staff("ann", people, right)
    assign_perm("rowkeeper_datasources.change_rules_datasource", _user("ann"), mine)
    assert _counts(client) == {"People": "–", "Mine": "7"}
    assert client.get(url("changelist") + "?o=4").status_code == 200
    if right == "delete":
        told = client.get(url("delete", people.pk)).content.decode()
        assert "1 entry" in told and "rules" not in told.partition("1 entry")[2][:20]


def test_site_wide_rights_count_all_rules(people: DataSource) -> None:
    assert _counts(staff("ann", None, "change_rules")) == {"People": "3"}
    assert _counts(staff("ben", None, "view", "change")) == {"People": "–"}


def _user(name: str) -> User:
    return User.objects.get(username=name)


def _counts(client: Client) -> dict[str, str]:
    html = client.get(url("changelist")).content.decode()
    found = re.findall(
        r'field-name"[^>]*>.*?>([^<]+)</a>.*?field-rule_count"[^>]*>([^<]*)<', html, re.S
    )
    return dict(found)


def test_the_new_rights_are_given_like_the_others(people: DataSource) -> None:
    staff("ben")
    client = staff("ann", people, "share", "simulate")
    address = url("rights", people.pk) + "?user=ben"
    page = client.get(address).content.decode()
    assert 'value="simulate"' in page and 'value="write_scripts"' not in page
    rights = {"rights": ["simulate", "view_log"]}
    assert client.post(address, rights).status_code == 200
    assert client.post(address, {"rights": ["simulate"]}).status_code == 302
    assert _user("ben").has_perm("rowkeeper_datasources.simulate_datasource", people)
    assert not _user("ben").has_perm("rowkeeper_datasources.view_log_datasource", people)


def test_every_right_has_its_permission() -> None:
    codes = {code for code, _ in DataSource._meta.permissions}
    codes |= {f"{action}_datasource" for action in DataSource._meta.default_permissions}
    assert {f"{right}_datasource" for right in OBJECT_RIGHTS} <= codes
