"""Make the identity to simulate, like the credential providers do, for a user of the admin.

The user must be allowed to know of it: entries of a sign-in data source need permission to see its
entries, and the site's users need permission to see users.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.accounts.models import ApiToken
from rowkeeper.accounts.providers import django_user, login_session
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having
from rowkeeper.datasources.values.validation import printable, whole_number

from ..decision_log.query import SEEING_PEOPLE, may_see_users
from .request import Who, object_of


def identity_for(user: Any, who: Who, source: Source) -> Identity:
    """The identity that sends the simulated request.

    Raises `Malformed` if it does not exist or the user may not know of it, which looks the same.
    """
    if who.kind == "row":
        return _row(user, who)
    if who.kind == "data":
        return _session_data(who, source)
    if who.kind == "token":
        return _token(user, who)
    return _django(user, who) if who.kind == "django" else ANONYMOUS


def _row(user: Any, who: Who) -> Identity:
    """A user who signed in against a data source, with the current data of their entry."""
    wanted = DataSource.objects.filter(pk=who.source_id or 0)
    model = having(user, SEEING_PEOPLE, wanted).first()
    source = None if model is None else registry.source_of(model)
    if source is None or source.login is None:
        raise Malformed("there is no such sign-in data source")
    if not who.name:
        raise Malformed(
            f"name the user of `{source.name}`: by email address, or by the ID of the row"
        )
    found = _rows(source, who.name)
    if len(found) != 1:
        many = "several rows have" if found else "no row has"
        raise Malformed(
            f"{many} the email address or ID `{printable(who.name)}` in `{source.name}`"
        )
    [(entry_id, row)] = found
    if login_session.fingerprint(source.login, row) is None:
        raise Malformed(f"row {entry_id} of `{source.name}` cannot sign in: it has no password")
    hidden = {*source.secret, source.login.password_column}
    return Identity(
        user=login_session.user_of(row, hidden, entry_id, source.name),
        app_id=source.app_id,
        source_id=source.id,
        entry_id=entry_id,
    )


def _rows(source: Source, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The entries with an id or an email, as (entry id, data)."""
    number = whole_number(name)
    if number is not None:
        return [(key, entry.data) for key, entry in store.fetch(source, [number]).items()]
    assert source.login is not None
    return store.login_rows(source.id, source.login, name)


def _session_data(who: Who, source: Source) -> Identity:
    """Data as a session would hold it."""
    return session_identity(object_of(who.data, "the session data"), who.app_id, source)


def session_identity(data: dict[str, Any], app_id: int | None, source: Source) -> Identity:
    """The identity of a session with this data. If `Source` is the name of the data source and `ID`
    the number of an entry, the session is that of this entry.
    """
    own = data.get("Source") == source.name and data.get("ID").__class__ is int
    return Identity(
        user=data,
        app_id=app_id,
        source_id=source.id if own else None,
        entry_id=data["ID"] if own else None,
    )


def _token(user: Any, who: Who) -> Identity:
    if who.token_id is None:
        raise Malformed("`token` is missing: enter the ID of an API token")
    app_id = who.app_id
    if app_id is None and user.has_perm("rowkeeper_accounts.view_apitoken"):
        found = ApiToken.objects.filter(pk=who.token_id).values_list("app_id", flat=True)
        app_id = found.first()
    return Identity(token_id=who.token_id, app_id=app_id)


def _django(user: Any, who: Who) -> Identity:
    people = get_user_model()._default_manager.filter(is_active=True)
    if not may_see_users(user):
        people = people.filter(pk=user.pk)
    found = people.filter(**{get_user_model().USERNAME_FIELD: who.name}).first()
    if found is None:
        raise Malformed(f"there is no active user with the name `{printable(who.name)}`")
    return django_user.identity_for(found)
