"""What the page hands to the rule editor: names that its user may see anyway, in few queries."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import save_rules
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

MARK = 'data-rowkeeper-rules="'


def make(name: str, columns: list[str], rules: Any = ()) -> DataSource:
    source = DataSource(name=name, columns=columns)
    saving.save(source)
    save_rules(source, list(rules))
    return source


def page(user: User, source: DataSource | None) -> str:
    client = Client()
    client.force_login(user)
    place = "add" if source is None else f"{source.pk}/change"
    response = client.get(f"/admin/rowkeeper_datasources/datasource/{place}/")
    assert response.status_code == 200
    return str(response.content.decode())


def offers(user: User, source: DataSource | None) -> dict[str, Any]:
    html = page(user, source)
    start = html.index(MARK) + len(MARK)
    found: dict[str, Any] = json.loads(unescape(html[start : html.index('"', start)]))
    return found


def fields(found: dict[str, Any]) -> dict[str, str]:
    return {field["name"]: field["of"] for field in found["session"]}


@pytest.fixture
def people(db: None) -> DataSource:
    return sign_in_source("Crew", [{"Email": "a@x.com", "Salary Band": "7", "<b>": '"'}])


@pytest.fixture
def notes(db: None) -> DataSource:
    return make("Notes", ["Title", 'a"&amp;'])


def delegate(source: DataSource, *rights: str) -> User:
    user = User.objects.create_user("ann", is_staff=True)
    for right in rights:
        assign_perm(f"rowkeeper_datasources.{right}_datasource", user, source)
    return user


def test_everything_is_offered_to_who_may_see_it(people: DataSource, notes: DataSource) -> None:
    app = App.objects.create(name="Front desk")
    token = ApiToken.objects.create(name="nightly", digest="d")
    ApiToken.objects.create(name="gone", digest="e", revoked_at="2026-01-01T00:00:00Z")
    found = offers(User.objects.create_superuser("boss"), notes)
    assert found["columns"] == ["Title", 'a"&amp;']
    assert fields(found)["Salary Band"] == "Crew"
    assert fields(found)["Email"] == "Crew, users of the site"
    assert fields(found)["<b>"] == "Crew"
    assert {"ID", "Source", "Username", "Groups", "Staff"} <= set(fields(found))
    assert "Password" not in fields(found)
    assert found["apps"] == [{"id": app.pk, "name": "Front desk"}]
    assert found["tokens"] == [{"id": token.pk, "name": "nightly"}]
    assert found["sources"] == ["Crew", "django"]
    assert found["dataSources"] == ["Crew", "Notes"]


def test_nothing_is_told_of_what_is_hidden(people: DataSource, notes: DataSource) -> None:
    App.objects.create(name="Front desk")
    ApiToken.objects.create(name="nightly", digest="d")
    ann = delegate(notes, "change_rules")
    found = offers(ann, notes)
    assert (found["apps"], found["tokens"]) == ([], [])
    assert (found["sources"], found["dataSources"]) == (["django"], ["Notes"])
    assert "Salary Band" not in fields(found)
    html = page(ann, notes)
    for secret in ("Crew", "Salary Band", "Front desk", "nightly"):
        assert secret not in html
    # A right that shows a name alone shows no columns.
    assign_perm("rowkeeper_datasources.share_datasource", ann, people)
    assert "Salary Band" not in fields(offers(ann, notes))
    assign_perm("rowkeeper_datasources.view_datasource", ann, people)
    ann.user_permissions.add(Permission.objects.get(codename="view_apitoken"))
    found = offers(User.objects.get(pk=ann.pk), notes)
    assert "Salary Band" in fields(found)
    assert [token["name"] for token in found["tokens"]] == ["nightly"]


def test_without_the_right_to_the_rules_nothing_is_handed_over(
    people: DataSource, notes: DataSource
) -> None:
    assert MARK not in page(delegate(notes, "view", "change"), notes)


def test_passwords_of_other_data_sources_are_no_fields(people: DataSource) -> None:
    people.definition = {}
    saving.save(people)
    notes = make("Notes", [])
    found = offers(User.objects.create_superuser("boss"), notes)
    assert "Password" not in fields(found)
    assert offers(User.objects.get(username="boss"), None)["dataSource"] is None


def test_the_number_of_queries_depends_on_nothing() -> None:
    boss = User.objects.create_superuser("boss")
    few = make("Few", ["A"], [{"type": ["select"], "allow": "all"}])
    rule = {
        "type": ["select"],
        "allow": {"user": {"Role": {"equals": "Admin"}}},
        "require": [{"C1": {"equals": "{{user.[Email]}}"}}],
        "exclude": [f"C{number}" for number in range(2, 200)],
    }
    many = make("Many", [f"C{number}" for number in range(200)], [rule] * 50)
    with store.writing(registry.source_of(many), []):
        store.insert(registry.source_of(many), [{"C1": number} for number in range(500)])
    for number in range(5):
        sign_in_source(f"People {number}", [{"Email": "a@x.com", "Role": "User"}])
        ApiToken.objects.create(name="t", digest=str(number))
    client = Client()
    client.force_login(boss)

    def count(source: DataSource) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/admin/rowkeeper_datasources/datasource/{source.pk}/change/")
        return len(queries)

    count(few)  # what is kept from then on
    assert count(few) == count(many)
