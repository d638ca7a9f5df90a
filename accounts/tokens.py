"""Secrets: how they are generated and stored, and the life cycle of API tokens.

A secret is a prefix and 32 random bytes. It cannot be guessed, so a plain SHA-256 of it is enough:
a password hash would cost a quarter of a second on each request.
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
    """Generate a secret with this prefix."""
    return prefix + secrets.token_urlsafe(32)


def is_secret(text: str) -> bool:
    """Whether a text has the form of an API token or a session token."""
    return _SECRET.fullmatch(text) is not None


def digest(secret: str) -> str:
    """The stored form of a secret: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def seal(token: ApiToken) -> str:
    """Give an unsaved token its secret. Returns the secret, which is not stored anywhere."""
    secret = new_secret(API_PREFIX)
    token.digest, token.hint = digest(secret), secret[-_HINT_LENGTH:]
    return secret


def create_api_token(
    name: str, app: App | None = None, user: Any = None, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Create an API token. Returns it and its secret, which cannot be read again later.

    `user` is the Django user whose permissions the token carries on the management endpoints.
    Raises `ValidationError` for a name that cannot be stored.
    """
    token = ApiToken(name=name, app=app, user=user, expires_at=expires_at)
    secret = seal(token)
    token.full_clean(validate_unique=False)
    token.save(force_insert=True)
    return token, secret


def revoke(token: ApiToken) -> None:
    """Revoke a token. One that was revoked before keeps its time of revocation."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    token.refresh_from_db(fields=["revoked_at"])
