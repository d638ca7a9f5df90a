"""Who may do what with data sources in the admin: Django's permissions, site-wide or per object.

Permissions on single data sources are django-guardian's. Results are cached on the user object,
which exists for one request.
"""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Cast
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from ..models import DataSource

# The permissions that can be given on a single data source, with descriptions.
OBJECT_RIGHTS = {
    "view": "see the data source and its entries",
    "change": "change the data source and its entries",
    "delete": "delete the data source",
    "change_rules": "see and change the access rules and the definition",
    "write_scripts": "add scripts to the access rules, and enable them",
    "simulate": "try the access rules, and see why they grant or deny",
    "view_log": "see the decision log: who was denied, what and why",
    "share": "give others the permissions that you have yourself",
}

# As in Django's admin, change includes view. The other permissions only show the name.
SEEING = ("view", "change", "change_rules")


def permission(right: str) -> str:
    """Return Django's name: `change` is `rowkeeper_datasources.change_datasource`."""
    return f"{DataSource._meta.app_label}.{right}_datasource"


def may(user: Any, right: str, source: DataSource | None = None) -> bool:
    """Whether the user has a permission on all data sources, or on this one."""
    if user.has_perm(permission(right)):
        return True
    if source is None or source.pk is None or right not in OBJECT_RIGHTS or not user.is_active:
        return False
    kept = _kept(user)
    if (right, source.pk) not in kept:
        kept[right, source.pk] = user.has_perm(permission(right), source)
    return kept[right, source.pk]


def rights_on(user: Any, source: DataSource) -> list[str]:
    """Return the permissions that the user has on this data source, including site-wide ones."""
    return [right for right in OBJECT_RIGHTS if may(user, right, source)]


def may_see(user: Any, source: DataSource) -> bool:
    """Whether the user may see more of a data source than its name."""
    return any(may(user, right, source) for right in SEEING)


def may_somewhere(user: Any, *rights: str) -> bool:
    """Whether the user has one of the permissions on any data source."""
    kept = _kept(user)
    if (rights, None) not in kept:
        kept[rights, None] = (
            any(may(user, right) for right in rights)
            or _given(user, rights, DataSource.objects.all()).exists()
        )
    return kept[rights, None]


def visible(user: Any, sources: QuerySet[DataSource]) -> QuerySet[DataSource]:
    """Return those of the data sources on which the user has any permission."""
    return having(user, tuple(OBJECT_RIGHTS), sources)


def having(
    user: Any, rights: tuple[str, ...], sources: QuerySet[DataSource]
) -> QuerySet[DataSource]:
    """Return those of the data sources on which the user has one of these permissions."""
    if any(may(user, right) for right in rights):
        return sources
    return _given(user, rights, sources)


def look_again(user: Any) -> None:
    """Clear the cached results, because the user has just been given permissions."""
    _kept(user).clear()


def given(kind: str, source_id: int) -> QuerySet[Any]:
    """Return guardian's rows of permissions on one data source, of kind `user` or `group`."""
    find = get_user_obj_perms_model if kind == "user" else get_group_obj_perms_model
    found: QuerySet[Any] = find(DataSource())._default_manager.filter(
        content_type=ContentType.objects.get_for_model(DataSource), object_pk=str(source_id)
    )
    return found


def forget(source_id: int) -> None:
    """Remove the permissions on a deleted data source, because its id could be used again."""
    given("user", source_id).delete()
    given("group", source_id).delete()


def forget_deleted(sender: object, instance: DataSource, **kwargs: object) -> None:
    """Receive `post_delete`: remove the permissions on a deleted data source."""
    forget(instance.pk)


def _given(
    user: Any, rights: tuple[str, ...], sources: QuerySet[DataSource]
) -> QuerySet[DataSource]:
    """Return the data sources on which the user, or a group of the user, has an object permission.

    This does not use guardian's `get_objects_for_user`, whose statement compares each row of
    permissions with each data source while PostgreSQL has no statistics yet.
    """
    if not user.is_active:  # nor is anybody who has not signed in
        return sources.none()
    kind = ContentType.objects.get_for_model(DataSource)
    wanted = {
        "content_type": kind,
        "permission__content_type": kind,
        "permission__codename__in": [f"{right}_datasource" for right in rights],
    }
    own = get_user_obj_perms_model(DataSource())._default_manager.filter(user=user, **wanted)
    shared = get_group_obj_perms_model(DataSource())._default_manager.filter(
        group__in=user.groups.all(), **wanted
    )
    # Guardian stores ids as text; those of other models need not be numbers.
    this = Cast(OuterRef("pk"), CharField())
    return sources.filter(
        Q(Exists(own.filter(object_pk=this))) | Q(Exists(shared.filter(object_pk=this)))
    )


def _kept(user: Any) -> dict[Any, bool]:
    kept: dict[Any, bool] | None = getattr(user, "_rowkeeper_rights", None)
    if kept is None:
        kept = user._rowkeeper_rights = {}
    return kept
