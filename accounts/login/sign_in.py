"""Signing in against a data source, and signing out.

Whatever is wrong, the answer is identical and costs one password hash, so that nobody can find
out which data sources, addresses or passwords exist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.contrib import auth
from django.contrib.auth.hashers import check_password, make_password
from django.db import IntegrityError
from django.http import HttpRequest
from django.utils import timezone

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.passwords import MAX_LENGTH, is_hash, spellings, takes_too_long
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.definition import Login
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.validation import printable, problem_with_text

from ..client import client_address
from ..credentials import extract_secrets
from ..errors import CredentialInvalid
from ..identity import Identity
from ..models import LoginSession
from ..providers.login_session import fingerprint, user_of
from ..tokens import SESSION_PREFIX, digest, new_secret
from .devices import cookie_for, device_in
from .throttle import begin_attempt

__all__ = ["SignedIn", "authorize", "client_address", "sign_out"]

PASSPORT = "dataSource"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A successful sign-in. `secret` is the session's token, which is not stored anywhere.

    `device_cookie`: the value of the cookie that marks the client's device as known (`devices`).
    """

    secret: str
    identity: Identity
    source: Source
    login: Login
    entry_id: int
    device_cookie: str = ""
    # The fingerprint of the address and the password (`fingerprint`).
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The body of a sign-in after its shape has been checked: a reference and two texts."""

    reference: int | str
    where: dict[str, str]

    def source(self) -> tuple[Source, Login] | None:
        """The data source, if it is a sign-in data source with exactly the columns of `where`."""
        source = registry.find(self.reference)
        if source is None or source.login is None:
            return None
        columns = {source.login.email_column, source.login.password_column}
        return (source, source.login) if set(self.where) == columns else None


def authorize(body: Any, address: str, device_cookie: str = "") -> SignedIn:
    """Sign in with a request's body from a client address (see `client_address`).

    `device_cookie` is the value of the cookie that the client presents, or `""`.

    Raises `Malformed` for a body of another shape, `TooMany` after too many failed attempts, `Busy`
    if attempts cannot be counted, and `CredentialInvalid` in all other cases.
    """
    sent = read_body(body)
    found = sent.source()
    if found is None:
        email, password = sent.where.values()
        account = f"{sent.reference!r} {store.normal_address(email)}"
    else:
        email = sent.where[found[1].email_column]
        password = sent.where[found[1].password_column]
        account = f"source {found[0].id} {store.normal_address(email)}"
    device = device_in(device_cookie, account, lambda: _fingerprint(found, email))
    attempt = begin_attempt(account, address, device, len(spellings(password)))
    try:
        signed_in = _signed_in(found, email, password)
    except CredentialInvalid:
        raise
    except BaseException:
        # An error, such as a busy database, does not mean that the password was wrong.
        attempt.undo()
        raise
    attempt.succeeded()
    cookie = cookie_for(account, signed_in.fingerprint, device)
    return replace(signed_in, device_cookie=cookie)


def _signed_in(found: tuple[Source, Login] | None, email: str, password: str) -> SignedIn:
    """Create a session. Raises `CredentialInvalid` if the address or the password is wrong."""
    row = None if found is None else _row(*found, email)
    right = _is_right(password, None if found is None or row is None else _hash_in(found[1], row))
    if found is None:
        raise _wrong("sign-in: there is no such data source, or it signs in with other columns")
    if row is None:
        raise _wrong("sign-in: no row, or several rows, with that address")
    if not right:
        raise _wrong("sign-in: wrong password")
    return _begin(*found, *row)


def sign_out(request: HttpRequest) -> None:
    """End the session that the request presents: that of a data source, or the site's own.

    The caller has been identified before, and the CSRF token checked there. An API token is not
    changed.
    """
    secrets = extract_secrets(request)
    if secrets:
        LoginSession.objects.filter(digest__in=[digest(secret) for secret in secrets]).delete()
    elif getattr(request, "user", None) is not None and request.user.is_authenticated:
        auth.logout(request)


# -- the shape of the body


def read_body(body: Any) -> _Attempt:
    """The attempt that a body describes. Raises `Malformed`, which names the property."""
    if not isinstance(body, dict):
        raise Malformed("the body must be an object")
    if body.get("passport") != PASSPORT:
        raise Malformed(f"`passport` must be `{PASSPORT}`")
    return _Attempt(_reference(body), _where(body.get("where")))


def _reference(body: dict[str, Any]) -> int | str:
    number, name = body.get("dataSourceId"), body.get("dataSourceName")
    if (number is None) == (name is None):
        raise Malformed("send either `dataSourceId` or `dataSourceName`")
    if number is not None:
        if number.__class__ is not int:
            raise Malformed("`dataSourceId` must be a whole number")
        return int(number)
    return _text(name, "dataSourceName")


def _where(where: Any) -> dict[str, str]:
    # The names of the two columns are not disclosed until somebody has signed in.
    if not isinstance(where, dict) or len(where) != 2:
        raise Malformed(
            "`where` must be an object of two columns: the one with the email "
            "address and the one with the password"
        )
    return {column: _text(value, f"where.{column}") for column, value in where.items()}


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"`{printable(place)}` is text")
    problem = problem_with_text(value)
    if problem:
        raise Malformed(f"`{printable(place)}` {problem}")
    if len(value) > MAX_LENGTH:
        raise Malformed(f"`{printable(place)}` has more than {MAX_LENGTH} characters")
    return value


# -- the row and its password


def _row(source: Source, login: Login, email: str) -> tuple[int, dict[str, Any]] | None:
    """(entry id, data) of the entry with that address; None if there is none, or several."""
    rows = store.login_rows(source.id, login, email)
    return rows[0] if len(rows) == 1 else None


def _fingerprint(found: tuple[Source, Login] | None, email: str) -> str | None:
    """The fingerprint of the entry with an address; None if there is no such entry."""
    row = None if found is None else _row(*found, email)
    return None if found is None or row is None else fingerprint(found[1], row[1])


def _hash_in(login: Login, row: tuple[int, dict[str, Any]]) -> Any:
    return row[1].get(login.password_column)


def _is_right(password: str, encoded: Any) -> bool:
    """Whether the password is the one that was hashed.

    Every failure costs one hash for each spelling of the password, for any account.
    """
    return any(_matches(spelling, encoded) for spelling in spellings(password))


def _matches(password: str, encoded: Any) -> bool:
    """Whether this text was hashed. Always costs exactly one hash."""
    if is_hash(encoded) and not takes_too_long(encoded):
        try:
            return check_password(password, encoded)
        except (ValueError, AssertionError, TypeError):
            # It begins like a hash, but is not one.
            pass
    make_password(password)
    return False


def _wrong(step: str) -> CredentialInvalid:
    """The only failure for everything that can be wrong. `step` is for the log, not the client."""
    failure = CredentialInvalid("the email address or the password is incorrect")
    failure.step = step
    return failure


def _begin(source: Source, login: Login, entry_id: int, row: dict[str, Any]) -> SignedIn:
    """Create a session for an entry whose password has been checked."""
    secret, mark = new_secret(SESSION_PREFIX), fingerprint(login, row)
    if mark is None:
        raise _wrong("sign-in: the row has no password")
    oldest = timezone.now() - timedelta(days=setting("SESSION_IDLE_DAYS"))
    try:
        with atomic():
            LoginSession.objects.filter(entry_id=entry_id, last_seen_at__lte=oldest).delete()
            LoginSession.objects.create(
                digest=digest(secret),
                data_source_id=source.id,
                entry_id=entry_id,
                fingerprint=mark,
            )
    except IntegrityError:
        # The entry was deleted while its password was being checked.
        raise _wrong("sign-in: the row was removed in the meantime") from None
    identity = Identity(
        user=user_of(row, {*source.secret, login.password_column}, entry_id, source.name),
        app_id=source.app_id,
        source_id=source.id,
        entry_id=entry_id,
    )
    return SignedIn(secret, identity, source, login, entry_id, fingerprint=mark)
