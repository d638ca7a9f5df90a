"""The decision log as it is shown: filtered, and with names for users who may see them.

Names are looked up when the page is opened; none is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources import store
from rowkeeper.datasources.admin.markup import code_spans
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having, may
from rowkeeper.datasources.values.validation import MAX_INTEGER, whole_number

from ..engine.rule import OPERATIONS
from ..models import LoggedDecision, LoggedRefusal
from .records import without_message

PER_PAGE = 50
# The most sign-in data sources that are searched for an email.
_MANY_SOURCES = 20
KINDS = {
    "anonymous": "nobody signed in",
    "session": "users of a data source",
    "token": "API tokens",
    "django": "users of this site",
}
OUTCOMES = {"denied": "denied", "login": "login missing", "granted": "granted"}
REFUSALS = ("auth.invalid", "auth.required", "auth.forbidden", "auth.csrf", "datasource.access")
SEEING_PEOPLE = ("view", "change")


class LogFilter(forms.Form):
    """Filters the decision log. If a value is not valid, an error and no decisions are shown."""

    q = forms.CharField(
        required=False,
        max_length=254,
        label="Who",
        help_text="An email address, a user name, or the name or ID of an API token",
    )
    kind = forms.ChoiceField(
        required=False, label="Kind", choices=[("", "anybody"), *KINDS.items()]
    )
    operation = forms.ChoiceField(
        required=False, choices=[("", "any"), *((name, name) for name in OPERATIONS)]
    )
    outcome = forms.ChoiceField(required=False, choices=[("", "any"), *OUTCOMES.items()])
    rule = forms.IntegerField(required=False, min_value=1, max_value=1_000, label="Decided by rule")
    request = forms.CharField(required=False, max_length=64, label="Request ID")
    since = forms.DateTimeField(
        required=False, label="From", widget=forms.DateTimeInput({"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        required=False, label="To", widget=forms.DateTimeInput({"type": "datetime-local"})
    )
    before = forms.IntegerField(
        required=False, min_value=1, max_value=MAX_INTEGER, widget=forms.HiddenInput
    )

    def found(self, user: Any, rows: QuerySet[LoggedDecision]) -> QuerySet[LoggedDecision]:
        """The rows that match the filter."""
        wanted = self.cleaned_data
        for field, key in (
            ("kind", "kind"),
            ("operation", "operation"),
            ("rule", "rule"),
            ("at__gte", "since"),
            ("at__lte", "until"),
            ("pk__lt", "before"),
        ):
            if wanted[key]:
                rows = rows.filter(**{field: wanted[key]})
        if wanted["request"]:
            rows = rows.filter(request_id=wanted["request"])
        if wanted["outcome"]:
            rows = rows.filter(_OUTCOMES[wanted["outcome"]])
        return rows.filter(_is(user, wanted["q"])) if wanted["q"] else rows


class RefusalFilter(forms.Form):
    """Filters the refusals of the site."""

    request = forms.CharField(required=False, max_length=64, label="Request ID")
    code = forms.ChoiceField(
        required=False,
        label="Answer",
        choices=[("", "any"), *((code, code) for code in REFUSALS)],
    )
    network = forms.CharField(required=False, max_length=16, label="Network")
    before = forms.IntegerField(
        required=False, min_value=1, max_value=MAX_INTEGER, widget=forms.HiddenInput
    )

    def found(self) -> QuerySet[LoggedRefusal]:
        """The refusals that match the filter, newest first."""
        wanted = self.cleaned_data
        fields = {"request_id": "request", "code": "code", "network": "network"}
        filters = {field: wanted[key] for field, key in fields.items() if wanted[key]}
        rows = LoggedRefusal.objects.filter(**filters).order_by("-pk")
        return rows.filter(pk__lt=wanted["before"]) if wanted["before"] else rows

    def decision(self) -> LoggedDecision | None:
        """The decision of a data source's rules with the request id, if there is one."""
        request = self.cleaned_data["request"]
        if not request:
            return None
        return LoggedDecision.objects.filter(request_id=request).order_by("-pk").first()


_OUTCOMES = {
    "denied": Q(status=400),
    "login": Q(status=401),
    "granted": Q(status__lt=400),
}


# -- who


def may_see_users(user: Any) -> bool:
    """Whether the user may see the site's own users."""
    meta = get_user_model()._meta
    return bool(user.has_perm(f"{meta.app_label}.view_{meta.model_name}"))


def _is(user: Any, text: str) -> Q:
    """The condition for callers that a text names, as far as this user may see them."""
    found = Q(pk__in=[])
    number = whole_number(text)
    if number is not None:
        found |= Q(kind="token", token_id=number)
    if user.has_perm("rowkeeper_accounts.view_apitoken"):
        tokens = ApiToken.objects.filter(name=text).values("pk")
        found |= Q(kind="token", token_id__in=tokens)
    found |= Q(kind="django", person__in=_users_named(user, text))
    return found | Q(kind="session", person__in=_rows_with(user, text))


def _users_named(user: Any, text: str) -> list[str]:
    people = get_user_model()._default_manager.filter(**{get_user_model().USERNAME_FIELD: text})
    if not may_see_users(user):
        people = people.filter(pk=user.pk)
    return [str(key) for key in people.values_list("pk", flat=True)]


def _rows_with(user: Any, address: str) -> list[str]:
    """The entries with this email, as `source:entry`, in the data sources that the user may see."""
    found = []
    there = having(user, SEEING_PEOPLE, DataSource.objects.exclude(definition={}).order_by("pk"))
    logins = [(one.pk, login_of(one.definition)) for one in there]
    for key, login in [item for item in logins if item[1] is not None][:_MANY_SOURCES]:
        assert login is not None
        found += [f"{key}:{entry}" for entry, _ in store.login_rows(key, login, address)]
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """A decision as the page shows it."""

    logged: LoggedDecision
    who: str
    app: str
    outcome: str
    # (position, name, code, text, whether this rule decided).
    rules: tuple[tuple[int, str, str, SafeString, bool], ...]

    @property
    def is_listed(self) -> bool:
        """Whether the line is a single decision, and not several that were counted."""
        return bool(self.logged.request_id) and self.logged.count == 1

    @property
    def how(self) -> str:
        """How the request named its entries: by query or id, or as new ones."""
        if self.logged.address == "query":
            return "by query"
        if self.logged.entry_id is not None:
            return f"of entry {self.logged.entry_id}"
        return {"id": "by id", "new": "of new entries"}.get(self.logged.address, "")


def lines(user: Any, rows: Iterable[LoggedDecision]) -> list[Line]:
    """The rows as this user sees them. Names are read by a few queries for all rows."""
    rows = list(rows)
    names = _names(user, rows)
    apps = dict(App.objects.in_bulk([row.app_id for row in rows if row.app_id is not None]))
    sees_apps = user.has_perm("rowkeeper_accounts.view_app")
    sees_scripts = {
        key: may(user, "change_rules", DataSource(pk=key))
        for key in {row.data_source_id for row in rows}
    }
    return [
        Line(
            row,
            _who(row, names),
            _app(row, apps if sees_apps else {}),
            "granted" if row.granted else "login missing" if row.status == 401 else "denied",
            _rules(row, sees_scripts[row.data_source_id]),
        )
        for row in rows
    ]


def _rules(
    row: LoggedDecision, sees_scripts: bool
) -> tuple[tuple[int, str, str, SafeString, bool], ...]:
    """The outcome of each rule. A failed script's message is only shown to users who may see it."""
    found = []
    for position, name, code, text in row.trace:
        text = text if sees_scripts else without_message(code, text)
        found.append((position, name, code, code_spans(text), position == row.rule))
    return tuple(found)


def _app(row: LoggedDecision, apps: dict[int, App]) -> str:
    if row.app_id is None:
        return ""
    return apps[row.app_id].name if row.app_id in apps else f"app {row.app_id}"


def _who(row: LoggedDecision, names: dict[tuple[str, str], str]) -> str:
    key = str(row.token_id) if row.kind == "token" else row.person
    name = names.get((row.kind, key), "")
    if row.kind == "anonymous":
        return "nobody signed in"
    if row.token_id is None and not row.person:
        return KINDS[row.kind]
    if row.kind == "token":
        return f"API token {key}{f' ({name})' if name else ''}"
    if row.kind == "django":
        return name or f"user {key} of this site"
    source, _, entry = key.partition(":")
    return name or f"row {entry} of data source {source}"


def _names(user: Any, rows: list[LoggedDecision]) -> dict[tuple[str, str], str]:
    """The names that the user may see, as `{(kind, key): name}`."""
    found: dict[tuple[str, str], str] = {}
    tokens = {row.token_id for row in rows if row.token_id is not None}
    if tokens and user.has_perm("rowkeeper_accounts.view_apitoken"):
        named = ApiToken.objects.filter(pk__in=tokens).values_list("pk", "name")
        found |= {("token", str(key)): name for key, name in named}
    people = {int(row.person) for row in rows if row.kind == "django" and row.person.isdigit()}
    if people:
        users = get_user_model()._default_manager.filter(pk__in=people)
        users = users if may_see_users(user) else users.filter(pk=user.pk)
        found |= {("django", str(one.pk)): one.get_username() for one in users}
    return found | _addresses(user, {row.person for row in rows if row.kind == "session"})


def _addresses(user: Any, people: set[str]) -> dict[tuple[str, str], str]:
    """The emails of entries in the data sources whose entries the user may see."""
    by_source: dict[int, set[int]] = {}
    for person in people:
        source_id, _, entry_id = person.partition(":")
        if source_id.isdigit() and entry_id.isdigit():
            by_source.setdefault(int(source_id), set()).add(int(entry_id))
    if not by_source:
        return {}
    found = {}
    there = having(user, SEEING_PEOPLE, DataSource.objects.filter(pk__in=by_source))
    for one in there:
        source = registry.source_of(one)
        if source.login is None or source.login.email_column in source.secret:
            continue
        for key, entry in store.fetch(source, by_source[one.pk]).items():
            address = entry.data.get(source.login.email_column)
            name = address if isinstance(address, str) and address else f"row {key}"
            found["session", f"{one.pk}:{key}"] = f"{name} of {one.name}"
    return found
