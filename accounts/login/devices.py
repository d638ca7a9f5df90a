"""Devices on which a user has signed in before.

A sign-in gives the client a signed cookie with a random id. The cookie is not a credential: it
selects the counter of failed attempts, and only for the account that signed in, until that
account's password or address changes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE = "rowkeeper_device"
_SALT = "rowkeeper.device"
_MAX_AGE = 365 * 24 * 3600
# The longest value that is verified. Values made here are shorter.
_MAX_LENGTH = 500


def device_in(cookie: str, account: str, fingerprint: Callable[[], str | None]) -> str | None:
    """The id of the device in a cookie's value, if it is known for this account.

    `fingerprint` returns the fingerprint of the account's current address and password, or None if
    there is no such account. It is called only if the cookie's signature is valid.
    """
    if not cookie or len(cookie) > _MAX_LENGTH:
        return None
    try:
        value: Any = signing.loads(cookie, salt=_SALT, max_age=_MAX_AGE)
    except signing.BadSignature:
        return None
    known, device = value
    now = fingerprint()
    return str(device) if now is not None and known == _mark(account, now) else None


def cookie_for(account: str, fingerprint: str, device: str | None = None) -> str:
    """The cookie's value for a device on which this account has signed in.

    `fingerprint`: of the account's address and password, as in `device_in`.
    """
    mark = _mark(account, fingerprint)
    return signing.dumps([mark, device or secrets.token_urlsafe(16)], salt=_SALT)


def device_cookie(request: HttpRequest) -> str:
    """The value of the cookie in a request, unverified; `""` if there is none."""
    return str(request.COOKIES.get(COOKIE, ""))


def set_cookie(response: HttpResponse, value: str) -> None:
    """Set the device cookie on the response."""
    response.set_cookie(
        COOKIE,
        value,
        max_age=_MAX_AGE,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _mark(account: str, fingerprint: str) -> str:
    """A digest of an account and its password, so that the cookie does not show who signed in."""
    text = f"{account}\0{fingerprint}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
