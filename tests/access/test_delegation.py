"""Rights on one data source are none on another: every address of the site is asked.

The addresses come out of the URL resolver, so that a new one is asked by itself; where it takes a
parameter that this module does not know, it says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.permissions.rights import OBJECT_RIGHTS
from rowkeeper.rules.models import LoggedDecision
from tests.admin.test_admin import make

pytestmark = pytest.mark.django_db

# What may be found in no answer to somebody without rights on that data source.
SECRETS = ["Zebra source", "ZebraColumn", "zebra-value", "zebra rule", "zebra-request"]
METHODS = ["get", "post", "put", "patch", "delete"]

# Addresses that answer otherwise than by 302, 403 or 404, as they are about no data source or only
# about those that one may see. They have to keep what is secret all the same.
ALLOWED = {
    "admin/": "the start page",
    "admin/login/": "Django's own",
    "admin/logout/": "Django's own",
    "admin/password_change/": "Django's own",
    "admin/password_change/done/": "Django's own",
    "admin/jsi18n/": "Django's own",
    "admin/autocomplete/": "Django's own, for forms",
    "admin/rowkeeper_datasources/datasource/": "the list, of one's own",
    "admin/rowkeeper_datasources/datasource/check-rules/": "answers 400 to what it cannot read",
    "admin/rowkeeper_datasources/datasource/access/": "who can do what, of one's own",
    "v1/": "no address",
    "v1/user": "about oneself",
    "v1/session": "about oneself",
    "v1/session/authorize": "refuses what is no sign-in",
    "v1/session/logout": "about oneself",
    "v1/data-sources": "the list, of one's own",
    "v1/schema": "the same for everybody",
}


@dataclass(frozen=True)
class Address:
    """A pattern of the site, with what stands for its parameters."""

    pattern: str
    name: str
    parameters: tuple[str, ...]

    def of(self, values: dict[str, Any]) -> str:
        path = self.pattern
        for parameter in self.parameters:
            assert parameter in values, f"what is to stand for `{parameter}` in {self.pattern}?"
            path = re.sub(rf"<[^<>]*\b{parameter}>", str(values[parameter]), path)
        return f"/{path}"

    @property
    def is_about_one(self) -> bool:
        return any(name in ("source_id", "object_id", "reference") for name in self.parameters)


def addresses(resolver: Any = None, before: str = "") -> Iterator[Address]:
    for item in (resolver or get_resolver()).url_patterns:
        part = str(item.pattern).removeprefix("^").removesuffix("$")
        if isinstance(item, URLResolver):
            yield from addresses(item, before + part)
        elif isinstance(item, URLPattern) and "(" not in part and "[" not in part:
            text = before + part
            found = tuple(re.findall(r"<(?:\w+:)?(\w+)>", text))
            yield Address(text, item.name or "", found)


EVERY = list(addresses())
# Of the admin, the pages on data sources; and the API.
OURS = [
    one
    for one in EVERY
    if one.pattern.startswith(("admin/rowkeeper_datasources/datasource/", "v1/"))
]
ELSEWHERE = [one for one in EVERY if one not in OURS]


@pytest.fixture
def mine() -> DataSource:
    rules = [{"type": ["select"], "allow": "all"}]
    return make("Apple source", [{"Email": "a"}], rules)


@pytest.fixture
def theirs() -> DataSource:
    rules = [{"name": "zebra rule", "type": ["select"], "allow": {"tokens": [999_999]}}]
    columns = ["Email", "ZebraColumn"]
    source = make(
        "Zebra source", [{"Email": "z", "ZebraColumn": "zebra-value"}], rules, columns=columns
    )
    LoggedDecision.objects.create(
        data_source=source,
        at=timezone.now(),
        request_id="zebra-request",
        status=400,
        operation="select",
        columns=["ZebraColumn"],
        kind="anonymous",
        took=1,
        trace=[[1, "zebra rule", "allow", "applies to other API tokens"]],
    )
    return source


def values_for(source: DataSource, entry: Entry) -> dict[str, Any]:
    return {
        "source_id": source.pk,
        "object_id": source.pk,
        "reference": source.pk,
        "entry_id": entry.pk,
        "id": User.objects.order_by("pk")[0].pk,
        "names": "ZebraColumn",
        "content_type_id": ContentType.objects.get_for_model(DataSource).pk,
        "app_label": "rowkeeper_datasources",
        "url": "nowhere",
        "uidb64": "x",
        "token": "x",
        "revision": 1,
        "number": 1,
        "revision_id": 1,
        "token_id": 1,
        "log_id": LoggedDecision.objects.first().pk,  # type: ignore[union-attr]
    }


def bodies(source: DataSource, entry: Entry) -> list[dict[str, Any]]:
    """What is sent: all that some address could take, so that each gets far."""
    rules = json.dumps([{"type": ["select"], "allow": "all"}])
    simulated = {"as": {"kind": "row", "source": source.pk, "name": "z"}, "operation": "select"}
    api = {
        "dataSource": source.pk,
        "dataSourceId": source.pk,
        "rules": rules,
        "columns": ["ZebraColumn"],
        "name": "Zebra source",
        "where": {"ZebraColumn": "zebra-value"},
        "entries": [{"id": entry.pk, "data": {"ZebraColumn": 1}}],
        "delete": [entry.pk],
        "accessRules": [],
        "body": "",
        "entry": entry.pk,
        **simulated,
    }
    return [api, {**api, "rules": [], "type": "select"}]


def form(source: DataSource, entry: Entry) -> dict[str, Any]:
    return {
        "post": "yes",
        "entry": entry.pk,
        "row": "{}",
        "action": "delete_selected",
        "_selected_action": source.pk,
        "rights": ["view"],
        "rules": "[]",
        "dataSource": source.pk,
        "source": source.pk,
        "format": "csv",
        "revision": 1,
        "q": "zebra",
    }


def ways(
    one: Address, source: DataSource, entry: Entry
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, the rest of a request) for all that is asked at an address."""
    path = one.of(values_for(source, entry))
    yield "get", path, {}
    yield "get", f"{path}?q=zebra&user=ann&decision=1&dataSource={source.pk}", {}
    for method in METHODS[1:]:
        for body in bodies(source, entry):
            yield method, path, {"data": json.dumps(body), "content_type": "application/json"}
    yield "post", path, {"data": form(source, entry)}


def text_of(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return str(content.decode("utf-8", "replace"))


def told(response: Any, sent: str) -> list[str]:
    """What is secret in an answer, and was not in the request."""
    text = text_of(response) + str(response.headers)
    return [secret for secret in SECRETS if secret in text and secret not in sent]


@pytest.fixture
def ann(mine: DataSource) -> User:
    """Every right on one data source."""
    user = User.objects.create_user("ann", password="pw", is_staff=True)
    for right in OBJECT_RIGHTS:
        assign_perm(f"rowkeeper_datasources.{right}_datasource", user, mine)
    return user


def clients(user: User) -> dict[str, Client]:
    on_site = Client(raise_request_exception=False)
    on_site.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    secret = create_api_token("ann's", user=user)[1]
    return {
        "on the site": on_site,
        "with a token": Client(raise_request_exception=False, headers={"Auth-token": secret}),
    }


def test_all_that_is_not_known_is_asked() -> None:
    names = {one.name for one in OURS}
    for page in ("change", "delete", "history", "entries", "entry", "rights", "export", "import"):
        assert f"rowkeeper_datasources_datasource_{page}" in names
    for page in ("simulator", "simulate", "decisions"):
        assert f"rowkeeper_datasources_datasource_{page}" in names
    assert sum(one.pattern.startswith("v1/data-sources/") for one in OURS) >= 6


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.pattern)
def test_rights_on_one_data_source_open_nothing_of_another(
    one: Address, mine: DataSource, theirs: DataSource, ann: User
) -> None:
    entry = Entry.objects.get(data_source=theirs)
    before = (theirs.revision, theirs.name, dict(entry.data))
    absent = DataSource(pk=theirs.pk + 1_000)
    for who, client in clients(ann).items():
        if who == "with a token" and not one.pattern.startswith("v1/"):
            continue  # the admin reads no tokens
        for method, path, rest in ways(one, theirs, entry):
            response = getattr(client, method)(path, **rest)
            case = (who, method, path, response.status_code, text_of(response)[:500])
            assert told(response, path + str(rest)) == [], case
            if one.pattern in ALLOWED:
                assert response.status_code < 500, case
                continue
            if one.is_about_one:
                assert response.status_code in (302, 400, 401, 403, 404, 405, 415), case
                other = getattr(client, method)(*_of(absent, theirs, one, entry, path), **rest)
                assert other.status_code == response.status_code, case
                if response.status_code == 400 and "datasource.access" not in text_of(response):
                    # About the request alone.
                    assert text_of(other) == text_of(response), case
            elif response.status_code not in (302, 403, 404, 405):
                raise AssertionError(case)
    theirs.refresh_from_db()
    entry.refresh_from_db()
    assert (theirs.revision, theirs.name, entry.data) == before


def _of(
    absent: DataSource, theirs: DataSource, one: Address, entry: Entry, path: str
) -> tuple[str]:
    there, gone = one.of(values_for(theirs, entry)), one.of(values_for(absent, entry))
    return (path.replace(there, gone, 1),)


def test_elsewhere_nothing_is_told(mine: DataSource, theirs: DataSource, ann: User) -> None:
    entry = Entry.objects.get(data_source=theirs)
    client = clients(ann)["on the site"]
    for one in ELSEWHERE:
        if one.name in ("logout", "password_change") or one.parameters == ("uidb64", "token"):
            continue
        for path in (one.of(values_for(theirs, entry)),):
            assert told(client.get(path), path) == [], path
    assert told(client.get("/admin/rowkeeper_datasources/datasource/?q=Zebra"), "Zebra") == []


# -- each right alone, on one data source

PREFIX = "rowkeeper_datasources_datasource_"
SEEN = {"change", "history"}
OPENS = {
    "view": SEEN | {"entries", "entry", "export"},
    "change": SEEN | {"entries", "entry", "entry_add", "import", "import_progress"},
    "delete": {"change", "delete"},
    "change_rules": SEEN | {"rules_history", "rules_revision", "rules_scripts"},
    "write_scripts": {"change"},
    "simulate": {"change", "simulator", "simulate"},
    "view_log": {"change", "decisions"},
    "share": {"change", "rights"},
}


def test_every_right_is_walked() -> None:
    assert set(OPENS) == set(OBJECT_RIGHTS)


@pytest.mark.parametrize("right", OBJECT_RIGHTS)
def test_each_right_alone_opens_what_it_says(right: str, theirs: DataSource) -> None:
    user = User.objects.create_user("ben", is_staff=True)
    assign_perm(f"rowkeeper_datasources.{right}_datasource", user, theirs)
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    entry = Entry.objects.get(data_source=theirs)
    opened = set()
    for one in OURS:
        if not one.name.startswith(PREFIX) or not one.is_about_one:
            continue
        response = client.get(one.of(values_for(theirs, entry)))
        if response.status_code == 200:
            opened.add(one.name.removeprefix(PREFIX))
    assert opened == OPENS[right]
