"""Secrets: how they are made, what is kept of them, and API tokens from the cradle to the grave.

A secret is a prefix and 32 random bytes. Nobody guesses one, so a plain SHA-256 is all that is
kept: a password hash would cost a quarter of a second on each request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from typing import Any

from django.utils import timezone

from .models import ApiToken, App

API_PREFIX, SESSION_PREFIX = "rk_", "rks_"
_SECRET = re.compile(r"(?:rk_|rks_)[A-Za-z0-9_-]{43}")
_HINT_LENGTH = 4


def new_secret(prefix: str) -> str:
    """A secret that nobody has seen yet."""
    return prefix + secrets.token_urlsafe(32)


def is_secret(text: str) -> bool:
    """Whether a text has the form of a token of either kind."""
    return _SECRET.fullmatch(text) is not None


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def seal(token: ApiToken) -> str:
    """Give a token that is not stored yet its secret, which is returned and kept nowhere."""
    secret = new_secret(API_PREFIX)
    token.digest, token.hint = digest(secret), secret[-_HINT_LENGTH:]
    return secret


def create_api_token(
    name: str, app: App | None = None, user: Any = None, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A new API token and its secret, which cannot be had again.

    `user` is the Django user whose rights the token carries on the management endpoints.
    Raises `ValidationError` for a name that cannot be stored.
    """
    token = ApiToken(name=name, app=app, user=user, expires_at=expires_at)
    secret = seal(token)
    token.full_clean(validate_unique=False)
    token.save(force_insert=True)
    return token, secret


def revoke(token: ApiToken) -> None:
    """End a token for good; one that was revoked before keeps its time."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    token.refresh_from_db(fields=["revoked_at"])
