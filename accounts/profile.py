"""What a client learns about its own user: the JSON of `/v1/user` and `/v1/session`.

What rules see of a user stays on the server. The client gets the email, the columns that a select
shows the user of their own entry, and the columns that the data source's definition lists for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rowkeeper.datasources.definition import Login

from .identity import Identity
from .models import ApiToken
from .providers.django_user import SOURCE as DJANGO

NOTHING: Mapping[str, Any] = MappingProxyType({})


def visible_columns(
    identity: Identity, login: Login, visible: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """The columns of their own entry that a signed-in user gets, as `{column: value}`.

    `visible`: the columns that a select by the same identity shows of that entry.
    """
    user = identity.user or NOTHING
    names = (login.email_column, *login.session_columns)
    return {**visible, **{name: user[name] for name in names if name in user}}


def user_body(
    identity: Identity, login: Login | None = None, visible: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """`{"id", "email", "fullName", "firstName", "lastName", "type"}` of an identity.

    `login` and `visible` are needed for users who signed in against a data source, as in
    `visible_columns`. The identity must not be anonymous.
    """
    if identity.user is None:
        return _token_body(identity.token_id)
    key = identity.user["ID"]
    if identity.source_id is None and identity.user["Source"] == DJANGO:
        return _body(key, identity.user.get("Email"), identity.user, "django")
    if login is None:
        return _body(key, None, NOTHING, "dataSource")
    columns = visible_columns(identity, login, visible)
    return _body(key, columns.get(login.email_column), columns, "dataSource")


def _token_body(token_id: Any) -> dict[str, Any]:
    name = ApiToken.objects.filter(pk=token_id).values_list("name", flat=True).first()
    return {
        "id": token_id,
        "email": None,
        "fullName": name,
        "firstName": "",
        "lastName": "",
        "type": "appToken",
    }


def _body(key: Any, email: Any, columns: Mapping[str, Any], kind: str) -> dict[str, Any]:
    first, last = _text(columns, "First Name"), _text(columns, "Last Name")
    full = _text(columns, "Full Name") or f"{first} {last}".strip() or _text(columns, "Name")
    return {
        "id": key,
        "email": email or None,
        "fullName": full,
        "firstName": first,
        "lastName": last,
        "type": kind,
    }


def _text(columns: Mapping[str, Any], column: str) -> str:
    value = columns.get(column)
    return value if isinstance(value, str) else ""
