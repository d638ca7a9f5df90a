"""The secrets that a request presents as credentials, before they are looked up."""

from __future__ import annotations

import base64
import binascii

from django.http import HttpRequest

from rowkeeper.datasources.conf import setting

from .errors import CredentialInvalid
from .tokens import is_secret


def extract_secrets(request: HttpRequest) -> tuple[str, ...]:
    """The distinct secrets that the request presents; empty without any credential.

    If a header has one, the query and the cookie are not read; and those count only if the
    settings say so. Raises `CredentialInvalid` for a `Bearer` credential that is not a token.
    """
    # Not `request.headers`, which would copy all headers to read two.
    own = request.META.get("HTTP_AUTH_TOKEN", "").strip()
    header = request.META.get("HTTP_AUTHORIZATION")
    bearer = _bearer(header) if header else ""
    if own or bearer:
        return (own, bearer) if own and bearer and own != bearer else (own or bearer,)
    found: list[str] = []
    if setting("TOKEN_IN_QUERY"):
        found = [value.strip() for value in request.GET.getlist("auth_token")]
    if not any(found) and setting("TOKEN_IN_COOKIE"):
        found = [request.COOKIES.get("auth_token", "").strip()]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _bearer(header: str) -> str:
    """The secret of an `Authorization` header; `""` for another scheme, or without a value."""
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() != "bearer" or not value:
        return ""
    return value if is_secret(value) else _out_of_base64(value)


def _out_of_base64(value: str) -> str:
    """Decode a secret from base64, in the standard or the URL-safe alphabet, padded or not."""
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        secret = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        secret = ""
    if not is_secret(secret):
        raise CredentialInvalid("the token is not valid")
    return secret
