"""Names of data sources that rules test as `Source`: renaming changes the rules, or is refused, and
nobody else gets such a name.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import errors, form_of
from tests.support.calls import data_source
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

READ: dict[str, Any] = {"type": ["select"], "allow": "all"}


def only(name: str, op: str = "equals") -> dict[str, Any]:
    return {"type": ["select"], "allow": {"user": {"Source": {op: name}}}}


class Place:
    """People sign in against Users, and the rules of Things let them in."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.users = sign_in_source("Users", [{"Email": "ann@acme.com"}])
        self.things = data_source(
            "Things", ["Name"], [{"Name": "x"}], list(rules) or [only("Users")]
        )
        self.root = User.objects.create_superuser("root", password="x")
        # May rename, but may not see the rules of Things.
        self.renamer = User.objects.create_user("renamer", password="x", is_staff=True)
        for right in ("change", "set_login", "add"):
            assign_perm(f"rowkeeper_datasources.{right}_datasource", self.renamer)

    def put(self, user: User, **body: Any) -> Any:
        client = Client()
        client.force_login(user)
        url = f"/v1/data-sources/{self.users.pk}"
        return client.put(url, json.dumps(body), content_type="application/json")

    def post(self, user: User, **body: Any) -> Any:
        client = Client()
        client.force_login(user)
        url = "/v1/data-sources"
        return client.post(url, json.dumps(body), content_type="application/json")

    def is_let_in(self) -> bool:
        client = Client()
        headers = headers_of(client, self.users, "ann@acme.com")
        return (
            client.get(f"/v1/data-sources/{self.things.pk}/data", headers=headers).status_code
            == 200
        )

    @property
    def name(self) -> str:
        return DataSource.objects.get(pk=self.users.pk).name


def test_renaming_by_the_api(settings: Any) -> None:
    place = Place(
        READ | {"exclude": ["x"], "enabled": False}, only("Users"), only("Users", "notequals")
    )
    answer = place.put(place.root, name="People")
    assert answer.status_code == 400
    assert "rules 2, 3 of `Things`" in answer.json()["message"]
    assert "Send `renameInRules: true` to" in answer.json()["message"] and place.name == "Users"
    assert "--change-rules" not in answer.json()["message"]
    assert place.put(place.root, name="People", renameInRules=True).status_code == 200
    assert rules_of(place.things)[1:] == [only("People"), only("People", "notequals")]
    assert place.is_let_in()
    revision = Revision.objects.filter(data_source=place.things).latest("number")
    assert (revision.note, revision.origin) == ("`Users` is now called `People`", "api")
    # The old name is free again: no rule speaks of it.
    assert place.post(place.renamer, name="Users").status_code == 201


def test_who_may_not_change_the_rules_is_told_nothing_of_them() -> None:
    place = Place()
    for body in ({}, {"renameInRules": True}):
        answer = place.put(place.renamer, name="People", **body)
        assert answer.status_code == 400 and place.name == "Users"
        assert "Things" not in answer.json()["message"] and "rule 1" not in answer.json()["message"]
    assert place.is_let_in()


@pytest.mark.parametrize(
    "rule",
    [
        {"script": "return {'granted': user.Source == 'Users'}"},
        {"script": "return {'granted': user['Source'] in ['Users', 'Staff']}"},
        only("User", "contains"),
    ],
)
def test_what_cannot_be_changed_by_itself_comes_first(rule: dict[str, Any]) -> None:
    place = Place(rule)
    answer = place.put(place.root, name="People", renameInRules=True)
    assert answer.status_code == 400 and "rule 1 of `Things`" in answer.json()["message"]
    save_rules(place.things, [])
    assert place.put(place.root, name="People").status_code == 200


def test_what_does_not_name_it_stops_nothing() -> None:
    place = Place(
        only("Staff"),
        {"script": "return {'granted': DataSources('Users').count() > 0}"},
        {"type": ["select"], "allow": "loggedIn", "require": [{"Source": {"equals": "Users"}}]},
    )
    assert place.put(place.root, name="People").status_code == 200


def test_a_data_source_without_sign_in_is_renamed_freely_and_keeps_its_name_reserved() -> None:
    users = data_source("Users", ["Name"], [], [])
    data_source("Things", ["Name"], [], [only("Users")])
    users.name = "Other"
    saving.save(users)
    with pytest.raises(ValidationError, match="cannot be used"):
        saving.save(DataSource(name="Users", columns=[]))


@pytest.mark.parametrize(
    "rule",
    [
        only("Gone"),
        only("Gone", "notequals"),
        {"script": "return {'granted': user.Source == 'Gone'}"},
    ],
)
def test_a_name_that_rules_test_is_not_given_away(rule: dict[str, Any]) -> None:
    place = Place(rule)
    other = data_source("Other", ["Name"], [], [])
    answer = place.post(place.renamer, name="Gone")
    assert answer.status_code == 400
    assert answer.json()["message"] == "`name`: this name cannot be used"
    client = Client()
    client.force_login(place.root)
    url = f"/v1/data-sources/{other.pk}"
    sent = json.dumps({"name": "Gone", "renameInRules": True})
    assert client.put(url, sent, content_type="application/json").status_code == 400
    add = reverse("admin:rowkeeper_datasources_datasource_add")
    page = client.post(add, {"name": "Gone", "columns": "", "definition": "{}", "rules": "[]"})
    assert "this name cannot be used" in page.content.decode()
    assert not DataSource.objects.filter(name="Gone").exists()


def test_the_next_data_source_of_a_deleted_name_gets_nothing() -> None:
    place = Place()
    place.users.delete()
    assert place.post(place.root, name="Users").status_code == 400
    save_rules(place.things, [])
    assert place.post(place.root, name="Users").status_code == 201


def test_renaming_in_the_admin() -> None:
    place = Place()
    client = Client()
    client.force_login(place.root)
    url = reverse("admin:rowkeeper_datasources_datasource_change", args=[place.users.pk])
    assert "rename_in_rules" in client.get(url).context["adminform"].form.fields
    sent = form_of(client, url)
    sent["name"] = "People"
    page = client.post(url, sent)
    assert page.status_code == 200 and place.name == "Users"
    assert "rule 1 of `Things`" in errors(page), errors(page)
    assert "Select “Change the name in rules” to" in errors(page)
    assert "renameInRules" not in errors(page)
    assert client.post(url, {**sent, "rename_in_rules": "on"}).status_code == 302
    assert place.name == "People" and rules_of(place.things) == [only("People")]
    assert place.is_let_in()
    # The field is there only where it has a meaning.
    save_rules(place.things, [])
    assert "rename_in_rules" not in client.get(url).context["adminform"].form.fields


def test_renaming_by_a_command() -> None:
    place = Place()

    def run(*words: str) -> str:
        output = StringIO()
        call_command("renamesource", "Users", *words, stdout=output)
        return output.getvalue()

    with pytest.raises(CommandError, match="rule 1 of `Things`") as refused:
        run("People")
    assert "Add `--change-rules` to" in str(refused.value)
    assert "renameInRules" not in str(refused.value)
    assert place.name == "Users"
    assert "tests the name: rule 1 of `Things`" in run("People", "--change-rules")
    assert place.name == "People" and rules_of(place.things) == [only("People")]
    assert place.is_let_in()
    for name in ("Things", "a/b", ""):
        with pytest.raises(CommandError):
            call_command("renamesource", "People", name)
