"""Rights on the management of data sources, for an Identity: who has them, and the two failures
of who has not. `datasources.permissions.rights` says what they are.
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

# What may be given for one data source alone, and what is site-wide only: who says where people
# sign in could make any identity there is.
ACTIONS = (*rights.OBJECT_RIGHTS, "add", "set_login")


def may(identity: Identity, action: str, data_source: DataSource | None = None) -> bool:
    """Whether the identity may do this to the data source; without one, to all of them.

    Raises `ValueError` for an action that is none.
    """
    if action not in ACTIONS:
        raise ValueError(f"`{action}` is no action on a data source; there are {ACTIONS}")
    return rights.may(user_behind(identity), action, data_source)


def require(identity: Identity, action: str, data_source: DataSource | None = None) -> None:
    """Nothing, where the identity may do this to the data source.

    Raises `LoginRequired` without any credential, and `PermissionMissing` with one.
    """
    if identity.is_anonymous:
        raise LoginRequired(SIGN_IN)
    if not may(identity, action, data_source):
        raise PermissionMissing(f"the permission `{action}` is needed for this")


def may_see(identity: Identity, data_source: DataSource) -> bool:
    """Whether the identity may view the data source, or change what it would have to see."""
    return rights.may_see(user_behind(identity), data_source)


def visible_sources(identity: Identity) -> QuerySet[DataSource]:
    """The data sources that the identity may see."""
    return rights.having(user_behind(identity), rights.SEEING, DataSource.objects.all())


def grant_all(user_id: int, data_source: DataSource) -> None:
    """Give who made a data source every right on it that can be given for one alone."""
    user = get_user_model()._default_manager.get(pk=user_id)
    for right in rights.OBJECT_RIGHTS:
        assign_perm(rights.permission(right), user, data_source)
