"""API tokens, looked up by one SQL statement. Through the ORM, it would dominate a request."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist

from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.catalog.registry import SourceJoin, fields_sql
from rowkeeper.datasources.database.connection import connection

from ..django_users import lazy_user
from ..identity import Identity
from ..models import ApiToken
from . import credential_query
from .credential_query import Caller


def caller_of(secret: str, source_join: SourceJoin | None = None) -> Caller:
    """The caller with an API token. Nobody is signed in by it: `identity.user` is None.

    Raises `CredentialInvalid` for a token that is unknown, revoked or expired, or whose Django user
    is not active.
    """
    return credential_query.caller_of(KIND, secret, source_join)


def _identity(row: tuple[Any, ...]) -> Identity:
    key, _, app_id, user_id = row[:4]
    return Identity(
        token_id=key, app_id=app_id, django_user_id=user_id, django_user=lazy_user(user_id)
    )


@memoize(256)
def _sql(vendor: str, join: str, also: str, lock: str) -> str:
    """The statement, cached; `vendor` is part of the key, as databases quote names differently."""
    quote = connection.ops.quote_name
    people = get_user_model()._meta
    key: Any = people.pk
    # Fixed text: the names come from the models.
    return (
        "SELECT t.id, (t.last_used_at IS NULL OR t.last_used_at NOT BETWEEN %s AND %s), "  # noqa: S608
        "t.app_id, t.user_id"
        f"{',' + fields_sql() if join else ''}{also} FROM {quote(ApiToken._meta.db_table)} t "
        f"LEFT JOIN {quote(people.db_table)} u ON u.{quote(key.column)} = t.user_id "
        f"{join}WHERE t.digest = %s AND t.revoked_at IS NULL "
        "AND (t.expires_at IS NULL OR t.expires_at > %s) "
        f"AND (t.user_id IS NULL OR {_is_active()}){lock}"
    )


def _is_active() -> str:
    """The condition that the user is active. A custom user model need not have that column."""
    try:
        field: Any = get_user_model()._meta.get_field("is_active")
    except FieldDoesNotExist:
        return "1 = 1"
    return f"u.{connection.ops.quote_name(field.column)}"


KIND = credential_query.CredentialType(
    ApiToken, "last_used_at", 4, _sql, lambda now: now, _identity, "the token is not valid"
)
