"""Suggestions of the rule editor: columns, fields of the user, API tokens and apps by name.

Contains only what the editor's user may see anyway: other data sources, their columns, API tokens
and apps are left out without the permissions on them. They can still be typed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.templatetags.static import static
from django.urls import reverse

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.accounts.providers.django_user import FIELDS
from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions import rights

# The most suggestions of each kind, to keep the page small.
MOST = 500
_SERVER_FIELDS = {"ID": "every user", "Source": "every user"}
_SITE_FIELDS = tuple(field for field in FIELDS if field not in _SERVER_FIELDS)


def suggestions_for(user: Any, source: DataSource | None) -> dict[str, Any]:
    """The suggestions as JSON for the page, with a fixed number of queries."""
    seen = rights.having(user, rights.SEEING, DataSource.objects.all())
    people = [
        (name, login, columns, secret)
        for name, definition, columns, secret in seen.filter(definition__has_key="login")
        .order_by("name")
        .values_list("name", "definition", "columns", "secret_columns")[:MOST]
        if (login := login_of(definition)) is not None
    ]
    return {
        "check": reverse("admin:rowkeeper_rules_check"),
        "scriptEditor": static("rowkeeper/script-editor.js"),
        "dataSource": None if source is None else source.pk,
        "columns": [] if source is None else source.nameable_columns,
        "session": _session_fields(
            (name, [c for c in columns if c not in {*secret, login.password_column}])
            for name, login, columns, secret in people
        ),
        "sources": [*(name for name, *_ in people), "django"],
        "dataSources": list(seen.order_by("name").values_list("name", flat=True)[:MOST]),
        "tokens": _named(user, ApiToken, revoked_at=None),
        "apps": _named(user, App),
    }


def _session_fields(people: Iterable[tuple[str, list[str]]]) -> list[dict[str, str]]:
    """Each field of the user once, with the kinds of users who have it."""
    found: dict[str, list[str]] = {}
    for name, columns in people:
        for column in columns:
            found.setdefault(column, []).append(name)
    for field in _SITE_FIELDS:
        found.setdefault(field, []).append("users of the site")
    sources = {field: ", ".join(names) for field, names in found.items()} | _SERVER_FIELDS
    return [{"name": field, "of": names} for field, names in sources.items()]


def _named(user: Any, model: type[ApiToken] | type[App], **fits: Any) -> list[dict[str, Any]]:
    """Ids and names of API tokens or apps; empty for users who may not see them."""
    permissions = [
        f"{model._meta.app_label}.{act}_{model._meta.model_name}" for act in ("view", "change")
    ]
    if not any(user.has_perm(permission) for permission in permissions):
        return []
    rows = model._default_manager.filter(**fits).order_by("name", "pk").values_list("pk", "name")
    return [{"id": key, "name": name} for key, name in rows[:MOST]]
