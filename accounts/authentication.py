"""From a request to a Caller: the only place that decides who sends a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source, SourceJoin, reference_of
from rowkeeper.datasources.database.connection import features
from rowkeeper.datasources.errors import Changed, Malformed

from .credentials import extract_secrets
from .django_users import lazy_user, user_behind
from .errors import CredentialInvalid
from .identity import ANONYMOUS, Identity
from .models import ApiToken
from .providers import api_token, credential_query, django_user, login_session
from .providers.credential_query import CachedCredential, Caller, peek
from .tokens import API_PREFIX, SESSION_PREFIX


def authenticate(request: HttpRequest, source_join: SourceJoin | None = None) -> Caller:
    """Who sends a request; its identity is ANONYMOUS without any credential.

    If `source_join` is given, the statement that looks a token up also reads that data source.

    Raises `CredentialInvalid` for a bad credential or for two that stand for different identities,
    and `CsrfMissing` for the site's own session without its CSRF token.
    """
    if is_forced(request):
        return Caller(_forced_identity(request))
    secrets = extract_secrets(request)
    if not secrets:
        return Caller(django_user.identity_of(request))
    first, *others = [_caller_of(secret, source_join) for secret in secrets]
    if any(other.identity != first.identity for other in others):
        raise CredentialInvalid("the request holds two credentials of different identities")
    # The rows of two credentials are no key of what is derived from one of them.
    return replace(first, cached_ref=None) if others else first


def identify(request: HttpRequest) -> Identity:
    """The identity of a request. Raises as `authenticate` does."""
    return authenticate(request).identity


def caller_now(request: HttpRequest, source_join: SourceJoin | None = None) -> Caller | None:
    """The caller that the request's credential stands for now; None if it is no longer valid.

    `source_join` is read in the same statement if there is a token. Nothing read earlier is reused.
    """
    if is_forced(request):
        return Caller(_forced_identity(request))
    secrets = extract_secrets(request)
    if not secrets:
        return Caller(django_user.identity_now(request))
    first, *others = [_caller_now(secret, source_join) for secret in secrets]
    if first is None or any(other is None or other.identity != first.identity for other in others):
        return None
    return first


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
    locked = _locked_on_postgresql if features().has_row_locks else _locked_on_sqlite
    now, who = locked(request, source.id, alone)
    if now is None or now.key != source.key or who != identity:
        raise Changed


_Locked = tuple[Source | None, Identity | None]


def _locked_on_sqlite(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    registry.lock(source_id)
    now = caller_now(request, SourceJoin(source_id, "id"))
    if now is None or now.source_join is None:
        return registry.find(source_id), None if now is None else now.identity
    return now.source, now.identity


def _locked_on_postgresql(request: HttpRequest, source_id: int, alone: bool) -> _Locked:
    """Lock and read in one statement if the request has one token and no other lock is held."""
    secrets = () if is_forced(request) else extract_secrets(request)
    if len(secrets) == 1:
        source_join = SourceJoin(source_id, "id", "NO KEY UPDATE" if alone else "SHARE")
        caller = _caller_now(secrets[0], source_join)
        if caller is not None:
            return caller.source, caller.identity
    locked = registry.locked(source_id, alone)
    # Read after the lock is taken: the credential may end while this request waits for others.
    now = caller_now(request)
    return locked, None if now is None else now.identity


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


def _caller_of(secret: str, source_join: SourceJoin | None) -> Caller:
    if secret.startswith(API_PREFIX):
        return api_token.caller_of(secret, source_join)
    if secret.startswith(SESSION_PREFIX):
        return login_session.caller_of(secret, source_join)
    raise CredentialInvalid("the token is not valid")


def _caller_now(secret: str, source_join: SourceJoin | None) -> Caller | None:
    kind = api_token.KIND if secret.startswith(API_PREFIX) else login_session.KIND
    return credential_query.caller_now(kind, secret, source_join)


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


def cached_credential(request: HttpRequest, reference: str) -> CachedCredential | None:
    """What is cached of the request's only token and this data source, or None.

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

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """(the Django user whose permissions count, the identity). Raises as `identify` does."""
        identity = identify(request._request)
        return user_behind(identity), identity

    def authenticate_header(self, request: Request) -> str:
        """The scheme that a 401 response names in `WWW-Authenticate`."""
        return "Bearer"


class CallerAuthentication(RowkeeperAuthentication):
    """Sets `request.auth` to a Caller, whose data source is the `reference` in the URL."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """(the Django user whose permissions count, the caller). Raises as `authenticate` does."""
        caller = authenticate(request._request, _named_in_url(request))
        return user_behind(caller.identity), caller
