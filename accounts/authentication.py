"""From a request to an Identity: the one answer to "who is asking"."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Beside, Source, reference_of
from rowkeeper.datasources.database.connection import connection
from rowkeeper.datasources.errors import Changed, Malformed

from .credentials import extract_secrets
from .django_users import lazy_user, user_behind
from .errors import CredentialInvalid
from .identity import ANONYMOUS, Identity
from .models import ApiToken
from .providers import api_token, credential_query, django_user, login_session
from .providers.credential_query import CachedSession, peek
from .tokens import API_PREFIX, SESSION_PREFIX

_BESIDE = "_rowkeeper_beside"


def source_beside(request: HttpRequest) -> Beside | None:
    """The data source that was read together with the credential, if one was to be."""
    return request.__dict__.get(_BESIDE)


def identify(request: HttpRequest, beside: Beside | None = None) -> Identity:
    """Who is asking; ANONYMOUS without any credential. `beside` is read along, if it can be.

    Raises `CredentialInvalid` for a bad credential, or two that stand for different identities,
    and `CsrfMissing` for the site's own session without its CSRF token.
    """
    if is_forced(request):
        return _forced_identity(request)
    secrets = extract_secrets(request)
    if not secrets:
        return django_user.identity_of(request)
    first, *others = [_identity_of(secret, beside) for secret in secrets]
    if any(other != first for other in others):
        raise CredentialInvalid("the request holds two credentials of different identities")
    return first


def identity_now(request: HttpRequest, beside: Beside | None = None) -> Identity | None:
    """The identity that the request's credential has now; None if it is no longer valid.

    `beside` is read in the same statement if there is a token. What was read before does not count.
    """
    if is_forced(request):
        return _forced_identity(request)
    secrets = extract_secrets(request)
    if not secrets:
        return django_user.identity_now(request)
    first, *others = [_identity_now(secret, beside) for secret in secrets]
    return first if all(other == first for other in others) else None


def read_again(request: HttpRequest) -> None:
    """Forget who was found to be signed in to the site, where that is what the request presents."""
    if not is_forced(request) and not extract_secrets(request):
        django_user.read_again(request)


def confirm(request: HttpRequest, identity: Identity, source: Source, alone: bool) -> None:
    """Lock a data source for a write, and check that it and the caller are as they were when the
    write was decided. This is the first thing in the transaction of a write.

    Raises `Changed` if either differs.
    """
    locked = _locked_on_sqlite if connection.vendor == "sqlite" else _locked_on_postgresql
    now, who = locked(request, source.id, alone)
    if now is None or now.key != source.key or who != identity:
        raise Changed


_Locked = tuple[Source | None, Identity | None]


def _locked_on_sqlite(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    registry.lock(source_id)
    beside = Beside(source_id, "id")
    who = identity_now(request, beside)
    return beside.source if beside.is_read else registry.find(source_id), who


def _locked_on_postgresql(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    """In one statement, if the request has one token, and nobody has to be waited for."""
    secrets = () if is_forced(request) else extract_secrets(request)
    if len(secrets) == 1:
        beside = Beside(source_id, "id", "NO KEY UPDATE" if alone else "SHARE")
        who = _identity_now(secrets[0], beside)
        if beside.is_read:
            return beside.source, who
    now = registry.locked(source_id, alone)
    # After the lock: the credential may end while others are waited for.
    return now, identity_now(request)


def is_forced(request: HttpRequest) -> bool:
    """Whether a test has set who is asking, by Django REST framework's `force_authenticate`.

    No client can: the function sets attributes of the request object.
    """
    return (
        getattr(request, "_force_auth_user", None) is not None
        or getattr(request, "_force_auth_token", None) is not None
    )


def _forced_identity(request: HttpRequest) -> Identity:
    """Who a test says is asking: a token of ours or an Identity, otherwise the Django user."""
    token: Any = getattr(request, "_force_auth_token", None)
    if isinstance(token, Identity):
        return token
    if isinstance(token, ApiToken):
        return Identity(
            token_id=token.pk,
            app_id=token.app_id,
            django_user_id=token.user_id,
            django_user=lazy_user(token.user_id),
        )
    user: Any = getattr(request, "_force_auth_user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return ANONYMOUS
    return django_user.identity_for(user)


def _identity_of(secret: str, beside: Beside | None) -> Identity:
    if secret.startswith(API_PREFIX):
        return api_token.identity_of(secret, beside)
    if secret.startswith(SESSION_PREFIX):
        return login_session.identity_of(secret, beside)
    raise CredentialInvalid("the token is not valid")


def _identity_now(secret: str, beside: Beside | None) -> Identity | None:
    kind = api_token.KIND if secret.startswith(API_PREFIX) else login_session.KIND
    return credential_query.identity_now(kind, secret, beside)


def _named_in_url(request: Request) -> Beside | None:
    """The data source that the address names; what may be wrong with that is said later."""
    text = (request.parser_context or {}).get("kwargs", {}).get("reference")
    return None if text is None else _beside(request._request, text)


def is_by_name(request: HttpRequest) -> bool:
    """Whether the address names its data source, digits and all: `?dsn`."""
    # Most have no query, and to read none takes as long.
    return bool(request.META.get("QUERY_STRING")) and "dsn" in request.GET


def _beside(request: HttpRequest, reference: str) -> Beside | None:
    try:
        return Beside.of(reference_of(reference, is_by_name(request)))
    except Malformed:
        return None


def expected_of(request: HttpRequest, reference: str) -> CachedSession | None:
    """Who the request's one token stood for when it last came for this data source, before the
    database is asked whether it still does. None: nothing is to be expected.
    """
    if is_forced(request):
        return None
    try:
        secrets = extract_secrets(request)
    except CredentialInvalid:
        return None
    beside = _beside(request, reference) if len(secrets) == 1 else None
    return None if beside is None else peek(secrets[0], beside)


class RowkeeperAuthentication(BaseAuthentication):
    """For Django REST framework: `request.auth` is always an Identity, that of nobody included."""

    def authenticate(self, request: Request) -> tuple[Any, Identity]:
        """(the Django user whose rights count, the identity). Raises as `identify` does."""
        beside = _named_in_url(request)
        identity = identify(request._request, beside)
        request._request.__dict__[_BESIDE] = beside
        return user_behind(identity), identity

    def authenticate_header(self, request: Request) -> str:
        """What a 401 names as the way to authenticate."""
        return "Bearer"
