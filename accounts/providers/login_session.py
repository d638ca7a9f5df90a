"""Sessions of users who signed in against a data source.

The session stores nothing about the user. Their entry is read on every request, so that a user who
loses a role, or whose entry is deleted, loses access at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.catalog.registry import SourceJoin, fields_sql
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.connection import connection
from rowkeeper.datasources.definition import Login, login_of, secret_columns
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.store import normal_address
from rowkeeper.datasources.values.codec import restore_large_doubles

from ..identity import Identity
from ..models import LoginSession
from . import credential_query
from .credential_query import Caller


def caller_of(secret: str, source_join: SourceJoin | None = None) -> Caller:
    """The caller with a session token; `source_join` is read in the same statement.

    Raises `CredentialInvalid` if the session has ended or been idle for too long, its data source
    is no longer a sign-in data source, or its entry is gone or has another email or password than
    at sign-in.
    """
    return credential_query.caller_of(KIND, secret, source_join)


def _oldest(now: datetime) -> datetime:
    return now - timedelta(days=setting("SESSION_IDLE_DAYS"))


def _identity_in(row: tuple[Any, ...]) -> Identity | None:
    return _identity(*row[2:10])


def _identity(
    fingerprint_then: str,
    entry_id: int,
    data: str,
    source_id: int,
    name: str,
    app_id: int | None,
    definition: str,
    secrets: str,
) -> Identity | None:
    """The identity of a row; None if the session is no longer valid for its entry."""
    login, hidden = _login(definition, secrets)
    if login is None:
        return None
    row = json.loads(restore_large_doubles(data))
    fingerprint_now = fingerprint(login, row)
    if fingerprint_now is None or not hmac.compare_digest(fingerprint_then, fingerprint_now):
        return None
    return Identity(
        user=user_of(row, hidden, entry_id, name),
        app_id=app_id,
        source_id=source_id,
        entry_id=entry_id,
    )


@memoize(1_000)
def _login(definition: str, secrets: str) -> tuple[Login | None, frozenset[str]]:
    """The login settings and the secret columns, parsed from the two JSON texts."""
    parsed = json.loads(definition)
    return login_of(parsed), frozenset(secret_columns(json.loads(secrets), parsed))


def user_of(
    row: Mapping[str, Any], hidden: Collection[str], entry_id: int, source_name: str
) -> dict[str, Any]:
    """What rules see of the user: the entry without secret columns, and `ID` and `Source`.

    The server sets these two, whatever the entry has under their names.
    """
    seen = {column: value for column, value in row.items() if column not in hidden}
    return {**seen, "ID": entry_id, "Source": source_name}


def fingerprint(login: Login, row: Mapping[str, Any]) -> str | None:
    """A digest of an entry's email and password hash; None if it has no email or no password."""
    address, password = normal_address(row.get(login.email_column)), row.get(login.password_column)
    if address is None or not isinstance(password, str) or not password:
        return None
    # No text of an entry contains NUL, so that different pairs never result in the same text.
    return hashlib.sha256(f"{address}\0{password}".encode("utf-8", "surrogatepass")).hexdigest()


@memoize(256)
def _sql(vendor: str, join: str, also: str, lock: str) -> str:
    """The statement, cached. The casts return JSON as text, where PostgreSQL would parse it."""
    quote = connection.ops.quote_name
    session, entry, source = (
        quote(model._meta.db_table) for model in (LoginSession, Entry, DataSource)
    )
    # Fixed text: the names come from the models.
    return (
        "SELECT s.id, s.last_seen_at NOT BETWEEN %s AND %s, "  # noqa: S608
        "s.fingerprint, e.id, CAST(e.data AS text), o.id, "
        "o.name, o.app_id, CAST(o.definition AS text), CAST(o.secret_columns AS text) "
        f"{',' + fields_sql() if join else ''}{also} FROM {session} s "
        f"JOIN {entry} e ON e.id = s.entry_id AND e.data_source_id = s.data_source_id "
        f"JOIN {source} o ON o.id = s.data_source_id "
        f"{join}WHERE s.digest = %s AND s.last_seen_at > %s{lock}"
    )


KIND = credential_query.CredentialType(
    LoginSession,
    "last_seen_at",
    10,
    _sql,
    _oldest,
    _identity_in,
    "the session is not valid; sign in again",
)
