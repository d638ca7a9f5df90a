"""Rights on the management of data sources: Django's permissions, site-wide or for one object."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user

from datasources.models import DataSource

from .failures import LoginRequired, PermissionMissing
from .identity import Identity
from .rights import user_behind

_LABEL = DataSource._meta.app_label
# What may be given for one data source alone, which is also what its creator gets ...
OBJECT_ACTIONS = ("view", "change", "delete", "change_rules", "share")
# ... and what is site-wide only: who says where people sign in could make any identity there is.
ACTIONS = (*OBJECT_ACTIONS, "add", "set_login")


def permission(action: str) -> str:
    """Django's name of a permission. Raises `ValueError` for an action that is none."""
    if action not in ACTIONS:
        raise ValueError(f"`{action}` is no action on a data source; there are {ACTIONS}")
    return f"{_LABEL}.{action}_datasource"


def may(identity: Identity, action: str, data_source: DataSource | None = None) -> bool:
    """Whether the identity may do this to the data source; without one, to all of them."""
    return user_may(user_behind(identity), action, data_source)


def user_may(user: Any, action: str, data_source: DataSource | None = None) -> bool:
    """The same of a Django user, as the admin knows them."""
    name = permission(action)
    if user.has_perm(name):
        return True
    return (
        data_source is not None
        and action in OBJECT_ACTIONS
        and bool(user.has_perm(name, data_source))
    )


def require(identity: Identity, action: str, data_source: DataSource | None = None) -> None:
    """Nothing, where the identity may do this to the data source.

    Raises `LoginRequired` without any credential, and `PermissionMissing` with one.
    """
    if identity.is_anonymous:
        raise LoginRequired("a login or a token is needed for this")
    if not may(identity, action, data_source):
        raise PermissionMissing(f"the permission `{action}` is needed for this")


def visible_sources(identity: Identity) -> QuerySet[DataSource]:
    """The data sources that the identity may view."""
    return sources_for(user_behind(identity), "view")


def sources_for(user: Any, action: str) -> QuerySet[DataSource]:
    """The data sources to which a Django user may do something."""
    permission(action)
    if not user.is_authenticated or not user.is_active:
        return DataSource.objects.none()
    found: QuerySet[DataSource] = get_objects_for_user(
        user, f"{action}_datasource", DataSource, accept_global_perms=True
    )
    return found


def grant_all(user_id: int, data_source: DataSource) -> None:
    """Give who made a data source every right on it that can be given for one alone."""
    user = get_user_model()._default_manager.get(pk=user_id)
    for action in OBJECT_ACTIONS:
        assign_perm(permission(action), user, data_source)
