"""API tokens. One SQL statement a request: through the ORM, this costs more than all the rest."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.utils import timezone

from datasources.sources import TABLE, Beside, fields_sql

from ..django_users import lazy_user
from ..failures import CredentialInvalid
from ..identity import Identity
from ..models import ApiToken
from ..tokens import digest
from .last_use import EVERY, database_time, note_use


def identity_of(secret: str, beside: Beside | None = None) -> Identity:
    """Who an API token stands for. To the rules it is nobody's login: `user` is None.

    Raises `CredentialInvalid` for a token that is unknown, revoked, expired, or whose Django user
    is not active.
    """
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _sql(connection.vendor, beside.column if beside else None),
            [
                database_time(now - EVERY),
                *([beside.reference] if beside else []),
                digest(secret),
                database_time(now),
            ],
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    if row is None:
        raise CredentialInvalid("the token is not valid")
    key, app_id, user_id, unnoted = row[:4]
    if beside:
        beside.take(row[4:])
    if unnoted:
        note_use(ApiToken, "last_used_at", key, now)
    return Identity(
        token_id=key, app_id=app_id, django_user_id=user_id, django_user=lazy_user(user_id)
    )


@cache
def _sql(vendor: str, beside: str | None) -> str:
    """The statement, made once. `vendor`: the quotes round names differ between databases."""
    quote = connection.ops.quote_name
    people = get_user_model()._meta
    key: Any = people.pk
    # Fixed text: the names come out of the models.
    return (
        "SELECT t.id, t.app_id, t.user_id, (t.last_used_at IS NULL OR t.last_used_at < %s) "  # noqa: S608
        f"{',' + fields_sql() if beside else ''} FROM {quote(ApiToken._meta.db_table)} t "
        f"LEFT JOIN {quote(people.db_table)} u ON u.{quote(key.column)} = t.user_id "
        f"{f'LEFT JOIN {TABLE} d ON d.{beside} = %s ' if beside else ''}"
        "WHERE t.digest = %s AND t.revoked_at IS NULL "
        "AND (t.expires_at IS NULL OR t.expires_at > %s) "
        f"AND (t.user_id IS NULL OR {_is_active()})"
    )


def _is_active() -> str:
    """The condition on the user; a user model need not have such a column."""
    try:
        field: Any = get_user_model()._meta.get_field("is_active")
    except FieldDoesNotExist:
        return "1 = 1"
    return f"u.{connection.ops.quote_name(field.column)}"
