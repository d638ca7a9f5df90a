"""The current user, signing in, and signing out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.accounts.errors import SIGN_IN, LoginRequired
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.login.devices import device_cookie, set_cookie
from rowkeeper.accounts.login.sign_in import authorize, client_address, sign_out
from rowkeeper.accounts.profile import user_body, visible_columns
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source, find
from rowkeeper.datasources.definition import Login

from ..access.guard import guard_of
from .base import Endpoint, json_answer
from .bodies import json_body


class SessionViewSet(Endpoint):
    """Endpoints about the caller."""

    def user(self, request: Request) -> HttpResponse:
        """`GET user`."""
        identity = _somebody(self.identity(request))
        login, visible = _own_row(identity)
        return json_answer({"user": user_body(identity, login, visible)})

    def session(self, request: Request) -> HttpResponse:
        """`GET session`."""
        return json_answer({"session": _session(_somebody(self.identity(request)))})

    def authorize(self, request: Request) -> HttpResponse:
        """`POST session/authorize`."""
        body = json_body(request._request)
        signed_in = authorize(
            body, client_address(request._request), device_cookie(request._request)
        )
        response = json_answer(
            {"session": {"auth_token": signed_in.secret, **_session(signed_in.identity)}}
        )
        set_cookie(response, signed_in.device_cookie)
        return response

    def logout(self, request: Request) -> HttpResponse:
        """`POST session/logout`: end the session of the credential."""
        _somebody(self.identity(request))
        sign_out(request._request)
        return json_answer({})


def _somebody(identity: Identity) -> Identity:
    if identity.is_anonymous:
        raise LoginRequired(SIGN_IN)
    return identity


def _own_row(identity: Identity) -> tuple[Login | None, Mapping[str, Any]]:
    """How the sign-in data source is configured, and what a select shows the user of their own
    entry.
    """
    source = _source(identity)
    if source is None or identity.entry_id is None:
        return None, {}
    entry = store.fetch(source, [identity.entry_id]).get(identity.entry_id)
    if entry is None:
        return source.login, {}
    return source.login, guard_of(source.id, source, identity).shown(entry.data).of(entry.data)


def _source(identity: Identity) -> Source | None:
    return None if identity.source_id is None else find(identity.source_id)


def _session(identity: Identity) -> dict[str, Any]:
    """The session without its token. Rules can use columns that the client does not see."""
    login, visible = _own_row(identity)
    body: dict[str, Any] = {"user": user_body(identity, login, visible)}
    if login is not None:
        body["entries"] = {
            "dataSource": {
                "id": identity.entry_id,
                "dataSourceId": identity.source_id,
                "data": visible_columns(identity, login, visible),
            }
        }
    return body
