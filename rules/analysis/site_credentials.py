"""The API tokens and apps that rules name: those not in use, and the rules that name a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable

from ..models import AccessRule

_VIEW = ("rowkeeper_accounts.view_apitoken", "rowkeeper_accounts.change_apitoken")
# The most rules that are listed for a token.
MAX_RULES = 50


def dead_tokens(user: Any, numbers: frozenset[int]) -> Mapping[int, str]:
    """The API tokens among `numbers` that cannot authenticate: `{id: what to say about it}`.

    Its name, and whether a token was revoked, expired or never made, are shown only to users who
    may see API tokens. If `user` is None, everything is shown.
    """
    stored = ApiToken.objects.filter(pk__in=_storable(numbers)).select_related("user")
    found = {token.pk: token for token in stored}
    states = {number: state_of(found.get(number)) for number in numbers}
    can_see = user is None or any(user.has_perm(permission) for permission in _VIEW)
    return {
        number: _said(found.get(number), state) if can_see else "does not exist or is not in use"
        for number, state in states.items()
        if state
    }


def state_of(token: ApiToken | None) -> str:
    """Why a token cannot authenticate; empty if it can."""
    if token is None:
        return "does not exist"
    if token.revoked_at is not None:
        return "is revoked"
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return "has expired"
    if token.user is not None and not token.user.is_active:
        return "belongs to a user who is not active"
    return ""


def _said(token: ApiToken | None, state: str) -> str:
    return state if token is None else f"(“{printable(token.name)}”) {state}"


def unknown_apps(numbers: frozenset[int]) -> frozenset[int]:
    """The numbers that are not ids of apps."""
    known = App.objects.filter(pk__in=_storable(numbers)).values_list("pk", flat=True)
    return numbers - frozenset(known)


def _storable(numbers: frozenset[int]) -> list[int]:
    return [number for number in numbers if 0 < number <= MAX_INTEGER]


# -- which rules name a token


def uses_of_token(token: ApiToken, user: Any) -> tuple[list[str], bool]:
    """The enabled rules that name a token, as lines of text, and whether there may be others.

    The second value is true if there are data sources whose rules `user` may not see. Their rules
    are not looked at.
    """
    sources = DataSource.objects.order_by()
    seen = having(user, ("change_rules",), sources)
    rules = _naming_tokens().filter(data_source__in=seen.values("pk"))
    lines = [
        f"{rule.data_source.name}: rule {rule.position}{_named(rule)}"
        for rule in rules.select_related("data_source").order_by("data_source__name", "position")
        if token.pk in _tokens(rule.allow)
    ]
    hidden = sources.exclude(pk__in=seen.values("pk")).exists()
    more = len(lines) - MAX_RULES
    return [*lines[:MAX_RULES], *([f"… and {more} more"] if more > 0 else [])], hidden


def _naming_tokens() -> QuerySet[Any]:
    written = AccessRule.objects.annotate(written=Cast("allow", TextField()))
    return written.filter(written__contains='"tokens"').exclude(enabled=False)


def _tokens(allow: Any) -> list[Any]:
    tokens = allow.get("tokens") if isinstance(allow, dict) else None
    return tokens if isinstance(tokens, list) else []


def _named(rule: AccessRule) -> str:
    return f" ({printable(rule.name)})" if isinstance(rule.name, str) and rule.name else ""
