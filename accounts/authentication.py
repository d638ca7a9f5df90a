"""From a request to an Identity: the only place that decides who sends a request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source, SourceJoin, reference_of
from rowkeeper.datasources.database.connection import connection
from rowkeeper.datasources.errors import Changed, Malformed

from .credentials import extract_secrets
from .django_users import lazy_user, user_behind
from .errors import CredentialInvalid
from .identity import ANONYMOUS, Identity
from .models import ApiToken
from .providers import api_token, credential_query, django_user, login_session
from .providers.credential_query import CachedCredential, peek
from .tokens import API_PREFIX, SESSION_PREFIX

_SOURCE_JOIN = "_rowkeeper_source_join"


def source_join_of(request: HttpRequest) -> SourceJoin | None:
    """The data source that was read together with the credential, or None."""
    return request.__dict__.get(_SOURCE_JOIN)


def identify(request: HttpRequest, source_join: SourceJoin | None = None) -> Identity:
    """The identity of a request; ANONYMOUS without any credential.

    If `source_join` is given, the statement that looks a token up also reads that data source.

    Raises `CredentialInvalid` for a bad credential or for two that stand for different identities,
    and `CsrfMissing` for the site's own session without its CSRF token.
    """
    if is_forced(request):
        return _forced_identity(request)
    secrets = extract_secrets(request)
    if not secrets:
        return django_user.identity_of(request)
    first, *others = [_identity_of(secret, source_join) for secret in secrets]
    if any(other != first for other in others):
        raise CredentialInvalid("the request holds two credentials of different identities")
    return first


def identity_now(request: HttpRequest, source_join: SourceJoin | None = None) -> Identity | None:
    """The identity that the request's credential has now; None if it is no longer valid.

    `source_join` is read in the same statement if there is a token. Nothing read earlier is reused.
    """
    if is_forced(request):
        return _forced_identity(request)
    secrets = extract_secrets(request)
    if not secrets:
        return django_user.identity_now(request)
    first, *others = [_identity_now(secret, source_join) for secret in secrets]
    return first if all(other == first for other in others) else None


def read_again(request: HttpRequest) -> None:
    """Read again who is signed in to the site, if the request has no other credential."""
    if not is_forced(request) and not extract_secrets(request):
        django_user.read_again(request)


def confirm(request: HttpRequest, identity: Identity, source: Source, alone: bool) -> None:
    """Lock a data source for a write, and check that it and the caller have not changed since.

    Both must be as they were when the write was decided. This is the first step of the
    transaction of a write.

    Raises `Changed` if either differs.
    """
    locked = _locked_on_sqlite if connection.vendor == "sqlite" else _locked_on_postgresql
    now, who = locked(request, source.id, alone)
    if now is None or now.key != source.key or who != identity:
        raise Changed


_Locked = tuple[Source | None, Identity | None]


def _locked_on_sqlite(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    registry.lock(source_id)
    source_join = SourceJoin(source_id, "id")
    who = identity_now(request, source_join)
    return source_join.source if source_join.is_read else registry.find(source_id), who


def _locked_on_postgresql(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    """Lock and read in one statement if the request has one token and no other lock is held."""
    secrets = () if is_forced(request) else extract_secrets(request)
    if len(secrets) == 1:
        source_join = SourceJoin(source_id, "id", "NO KEY UPDATE" if alone else "SHARE")
        who = _identity_now(secrets[0], source_join)
        if source_join.is_read:
            return source_join.source, who
    now = registry.locked(source_id, alone)
    # Read after the lock is taken: the credential may end while this request waits for others.
    return now, identity_now(request)


def is_forced(request: HttpRequest) -> bool:
    """Whether a test has set the identity by Django REST framework's `force_authenticate`.

    A client cannot do that: the function sets attributes of the request object.
    """
    return (
        getattr(request, "_force_auth_user", None) is not None
        or getattr(request, "_force_auth_token", None) is not None
    )


def _forced_identity(request: HttpRequest) -> Identity:
    """The identity that a test has set: an API token, an Identity or else a Django user."""
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


def _identity_of(secret: str, source_join: SourceJoin | None) -> Identity:
    if secret.startswith(API_PREFIX):
        return api_token.identity_of(secret, source_join)
    if secret.startswith(SESSION_PREFIX):
        return login_session.identity_of(secret, source_join)
    raise CredentialInvalid("the token is not valid")


def _identity_now(secret: str, source_join: SourceJoin | None) -> Identity | None:
    kind = api_token.KIND if secret.startswith(API_PREFIX) else login_session.KIND
    return credential_query.identity_now(kind, secret, source_join)


def _named_in_url(request: Request) -> SourceJoin | None:
    """The data source that the URL names; None if it is not valid, which is reported later."""
    text = (request.parser_context or {}).get("kwargs", {}).get("reference")
    return None if text is None else _source_join(request._request, text)


def is_by_name(request: HttpRequest) -> bool:
    """Whether the URL names its data source by name, even if that is all digits (`?dsn`)."""
    # Most requests have no query string. Checking that first avoids parsing one.
    return bool(request.META.get("QUERY_STRING")) and "dsn" in request.GET


def _source_join(request: HttpRequest, reference: str) -> SourceJoin | None:
    try:
        return SourceJoin.of(reference_of(reference, is_by_name(request)))
    except Malformed:
        return None


def expected_of(request: HttpRequest, reference: str) -> CachedCredential | None:
    """The cached session of the request's only token for this data source, or None.

    It has not been revalidated yet: the database must confirm that it is still valid.
    """
    if is_forced(request):
        return None
    try:
        secrets = extract_secrets(request)
    except CredentialInvalid:
        return None
    source_join = _source_join(request, reference) if len(secrets) == 1 else None
    return None if source_join is None else peek(secrets[0], source_join)


class RowkeeperAuthentication(BaseAuthentication):
    """Sets `request.auth` to an Identity in every case; it is ANONYMOUS without a credential."""

    def authenticate(self, request: Request) -> tuple[Any, Identity]:
        """(the Django user whose permissions count, the identity). Raises as `identify` does."""
        source_join = _named_in_url(request)
        identity = identify(request._request, source_join)
        request._request.__dict__[_SOURCE_JOIN] = source_join
        return user_behind(identity), identity

    def authenticate_header(self, request: Request) -> str:
        """The scheme that a 401 response names in `WWW-Authenticate`."""
        return "Bearer"
