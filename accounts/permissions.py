"""Permissions of an Identity to manage data sources, and the two failures without them.

`datasources.permissions.rights` defines the permissions.
"""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from guardian.shortcuts import assign_perm

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions import rights

from .django_users import user_behind
from .errors import SIGN_IN, LoginRequired, PermissionMissing
from .identity import Identity

# OBJECT_RIGHTS can be given for one data source; "add" and "set_login" are site-wide only. A user
# who decides where people sign in could create any identity.
ACTIONS = (*rights.OBJECT_RIGHTS, "add", "set_login")


def may(identity: Identity, action: str, data_source: DataSource | None = None) -> bool:
    """Whether the identity may perform the action on the data source; without one, on all of them.

    Raises `ValueError` for an unknown action.
    """
    if action not in ACTIONS:
        raise ValueError(f"`{action}` is not an action on a data source; the actions are {ACTIONS}")
    return rights.may(user_behind(identity), action, data_source)


def require(identity: Identity, action: str, data_source: DataSource | None = None) -> None:
    """Return if the identity may perform the action on the data source, and raise otherwise.

    Raises `LoginRequired` without any credential, and `PermissionMissing` with one.
    """
    if identity.is_anonymous:
        raise LoginRequired(SIGN_IN)
    if not may(identity, action, data_source):
        raise PermissionMissing(f"the permission `{action}` is required for this request")


def may_see(identity: Identity, data_source: DataSource) -> bool:
    """Whether the identity may view the data source, or change what it would have to see."""
    return rights.may_see(user_behind(identity), data_source)


def visible_sources(identity: Identity) -> QuerySet[DataSource]:
    """The data sources that the identity may see."""
    return rights.having(user_behind(identity), rights.SEEING, DataSource.objects.all())


def grant_all(user_id: int, data_source: DataSource) -> None:
    """Give the user who created a data source every permission that is given per data source."""
    user = get_user_model()._default_manager.get(pk=user_id)
    for right in rights.OBJECT_RIGHTS:
        assign_perm(rights.permission(right), user, data_source)
