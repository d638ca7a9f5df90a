"""Ids and numbers of revisions are digits on every page, however a site writes numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.rules import save_rules
from tests.admin.test_admin import all_pages, signed_in, url
from tests.support.calls import READ
from tests.support.people import headers_of, sign_in_source

pytestmark = pytest.mark.django_db
ID = 123_457
SEPARATED = re.compile(r"123[.,'\u2019\u00a0\u202f ]457")


@pytest.fixture(autouse=True)
def german() -> Any:
    with override_settings(USE_THOUSAND_SEPARATOR=True, LANGUAGE_CODE="de", USE_I18N=True):
        yield


@pytest.fixture
def boss() -> Client:
    return signed_in(User.objects.create_superuser("boss"))


def check(client: Client, address: str, present: bool = True) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, address
    html = answer.content.decode()
    assert SEPARATED.search(html) is None, address
    assert not present or str(ID) in html, address


def moved(model: Any, pk: int) -> None:
    model.objects.filter(pk=pk).update(id=ID)


def test_pages_of_data_sources(boss: Client) -> None:
    DataSource.objects.create(id=ID, name="Things", columns=["A"])
    Entry.objects.create(id=ID, data_source_id=ID, data={"A": 1})
    DataSource.objects.filter(pk=ID).update(revision=ID - 1)
    save_rules(DataSource.objects.get(pk=ID), [{**READ, "name": "another"}])
    assert Revision.objects.filter(number=ID).exists()
    source = DataSource.objects.get(pk=ID)
    pages = [*all_pages(source), url("rules_history", ID), url("rules_revision", ID, ID)]
    for page in [*pages, url("export", ID), url("import", ID), url("decisions", ID)]:
        check(boss, page)
    check(boss, reverse("admin:index"), present=False)


def test_pages_of_apps_tokens_and_sessions(boss: Client) -> None:
    app = App.objects.create(id=ID, name="One")
    token, _ = create_api_token("a token", app=app)
    moved(ApiToken, token.pk)
    source = sign_in_source("People", [{"Email": "ann@acme.com"}])
    entry = Entry.objects.get(data_source=source)
    row = entry.data
    entry.delete()
    Entry.objects.create(id=ID, data_source=source, data=row)
    headers_of(Client(), source, "ann@acme.com")
    session = LoginSession.objects.get()
    for model, pk in ((App, ID), (ApiToken, ID), (LoginSession, session.pk)):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        check(boss, reverse(f"{name}_changelist"))
        check(boss, reverse(f"{name}_change", args=[pk]))
    check(boss, reverse("admin:rowkeeper_accounts_apitoken_revoke", args=[ID]), present=False)


def test_a_new_token_is_named_by_its_digits(boss: Client) -> None:
    ApiToken.objects.create(id=ID - 1, name="before", digest="0" * 64)
    page = reverse("admin:rowkeeper_accounts_apitoken_add")
    answer = boss.post(page, {"name": "new"})
    html = answer.content.decode()
    pk = ApiToken.objects.get(name="new").pk
    assert str(pk) in html
    assert f"{pk:,}".replace(",", ".") not in html or pk < 1_000


def test_every_list_of_ours_shows_no_number_as_it_is() -> None:
    """Django writes a field that is a number as the site writes numbers."""
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label.startswith("rowkeeper_"):
            shown = {*map(str, model_admin.list_display), *map(str, model_admin.readonly_fields)}
            assert shown.isdisjoint({"id", "pk", "entry_id", "data_source_id", "revision"})
