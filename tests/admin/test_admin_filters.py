"""Lists of the admin are filtered, searched and ordered by what they show, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Field, ForeignKey, Model
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.models import DataSource
from tests.admin.test_admin import make, signed_in, staff
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model.__module__.startswith("rowkeeper.")]
LOOKUPS = ("", "__exact", "__startswith", "__icontains", "__isnull", "__gt", "__in", "__regex")
# The parameters of the filters that pages show.
SHOWN = {"app__id__exact", "app__isnull", "data_source__id__exact", "data_source__isnull"}


def list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def parameters() -> Iterator[Any]:
    """Every field of every model of ours that is in the admin, with lookups that suit any."""
    for model in OURS:
        for field in model._meta.get_fields(include_hidden=True):
            for name in names_of(field):
                yield pytest.param(model, name, id=f"{model.__name__} {name}")


def names_of(field: Any) -> Iterator[str]:
    yield field.name
    if isinstance(field, ForeignKey):
        yield field.attname
    if isinstance(field, Field) and field.get_internal_type() == "JSONField":
        yield f"{field.name}__memo"
        yield f"{field.name}__0"
    if field.related_model is not None and isinstance(field.related_model, type):
        yield from (f"{field.name}__{f.name}" for f in field.related_model._meta.concrete_fields)


@pytest.fixture
def boss() -> Client:
    return signed_in(User.objects.create_superuser("boss"))


def test_there_are_such_models() -> None:
    assert DataSource in OURS
    assert len(OURS) >= 4


@pytest.mark.parametrize(("model", "name"), list(parameters()))
def test_no_field_filters_a_list(model: type[Model], name: str, boss: Client) -> None:
    for lookup in LOOKUPS:
        if f"{name}{lookup}" not in SHOWN:
            answer = boss.get(list_of(model), {f"{name}{lookup}": "1"})
            assert answer.status_code == 400, f"{name}{lookup}"


def test_the_filters_that_pages_show_work(boss: Client) -> None:
    app = App.objects.create(name="One")
    create_api_token("of the app", app=app)
    create_api_token("of none")
    tokens = list_of(create_api_token("another", app=app)[0].__class__)
    for asked, count in (({"app__id__exact": app.pk}, 2), ({"app__isnull": "True"}, 1)):
        assert boss.get(tokens, asked).context["cl"].result_count == count
    shown = boss.get(tokens).context["cl"].filter_specs
    assert {name for spec in shown for name in spec.expected_parameters()} <= SHOWN


MEMO = {"memo": "attack at dawn"}


@pytest.fixture
def hidden() -> DataSource:
    return make(
        "Vault",
        [{"Email": "a@x.com"}],
        columns=["Email", "Secret column"],
        definition=MEMO,
        type="treasury",
        app=App.objects.create(name="Underground"),
    )


@pytest.mark.parametrize("right", ["view_log", "simulate", "share"])
def test_who_may_see_a_name_finds_nothing_else(right: str, hidden: DataSource) -> None:
    client = staff("delegate", hidden, right)
    url = list_of(DataSource)
    html = client.get(url).content.decode()
    assert "Vault" in html
    assert "Underground" not in html
    assert "treasury" not in html
    for name in ("definition__memo__startswith", "columns__icontains", "type", "app__name"):
        assert client.get(url, {name: "a"}).status_code == 400
    for search, count in (("vau", 1), ("treas", 0), ("underg", 0)):
        assert client.get(url, {"q": search}).context["cl"].result_count == count
    cells = client.get(url).context["cl"].result_list[0]
    model_admin = admin.site._registry[DataSource]
    for column in ("shown_app", "column_count", "signs_in", "rule_count"):
        assert getattr(model_admin, column)(cells) is None, column


def test_who_may_see_more_searches_by_type_and_app(hidden: DataSource, boss: Client) -> None:
    for client in (boss, staff("viewer", hidden, "view")):
        for search in ("vau", "treas", "underg"):
            found = client.get(list_of(DataSource), {"q": search}).context["cl"]
            assert found.result_count == 1, search
        assert "Underground" in client.get(list_of(DataSource)).content.decode()


def test_every_order_that_can_be_asked_for_tells_nothing(hidden: DataSource) -> None:
    """Two data sources that differ in nothing that is shown, whichever column orders them."""
    other = make("Aaa", definition={}, columns=["A"], type="a", app=App.objects.create(name="A"))
    hidden.created_at = other.created_at
    client = staff("delegate", hidden, "view_log")
    user = User.objects.get(username="delegate")
    assign_perm("rowkeeper_datasources.view_log_datasource", user, other)
    shown = admin.site._registry[DataSource].list_display
    hidden_columns = [
        at
        for at, name in enumerate(shown, 1)
        if name in ("shown_app", "column_count", "rule_count", "signs_in")
    ]
    plain = [obj.pk for obj in client.get(list_of(DataSource)).context["cl"].result_list]
    for at in hidden_columns:
        for sign in ("", "-"):
            asked = client.get(list_of(DataSource), {"o": f"{sign}{at}.1"}).context["cl"]
            assert [obj.pk for obj in asked.result_list] == plain, (sign, at)


def test_other_parameters_of_the_admin_name_no_field(boss: Client, hidden: DataSource) -> None:
    for model in OURS:
        for field in model._meta.concrete_fields:
            if not field.primary_key:
                asked = {"_to_field": field.name}
                assert boss.get(list_of(model), asked).status_code == 400, field.name
    page = reverse("admin:rowkeeper_datasources_datasource_change", args=["Vault"])
    assert boss.get(page, {"_to_field": "name"}).status_code == 400


def test_autocompletion_searches_by_what_is_shown(hidden: DataSource) -> None:
    client = staff("delegate", hidden, "view_log")
    asked = {
        "app_label": "rowkeeper_accounts",
        "model_name": "loginsession",
        "field_name": "data_source",
    }
    for term, count in (("vau", 1), ("treas", 0), ("underg", 0), ("attack", 0)):
        answer = client.get(reverse("admin:autocomplete"), {**asked, "term": term})
        assert len(json.loads(answer.content)["results"]) == count, term
    more = {**asked, "term": "", "definition__memo__startswith": "attack at dusk"}
    answer = client.get(reverse("admin:autocomplete"), more)
    assert len(json.loads(answer.content)["results"]) == 1


def test_digests_of_sessions_and_tokens_are_not_found(boss: Client) -> None:
    source = sign_in_source("People", [{"Email": "ann@acme.com"}])
    headers_of(Client(), source, "ann@acme.com")
    for model in (LoginSession, ApiToken):
        for name in ("digest__startswith", "digest__gte"):
            assert boss.get(list_of(model), {name: "0"}).status_code == 400
