"""The rights of somebody who is not there: whoever wrote a script that looks things up.

Asked on requests of other people, and so by one statement where Django's and guardian's own
backends are all there is; they take one for each kind of right, and one for each place. Django
takes several milliseconds to write that statement, which says the same each time but for two
numbers: it is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, PermissionsMixin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, Manager, OuterRef, Q
from django.utils.module_loading import import_string

from ..caching import memoize
from ..database.connection import alias, connection
from ..models import DataSource
from .rights import given, may

_SITE_WIDE = "django.contrib.auth.backends.ModelBackend"
_PER_OBJECT = "guardian.backends.ObjectPermissionBackend"


def has_any(user_id: int, rights: Sequence[str], source_id: int) -> bool:
    """Whether this Django user, who may be gone, has one of the rights on the data source."""
    users = get_user_model()._default_manager
    if not _is_standard():
        user = users.filter(pk=user_id).first()
        source = DataSource(pk=source_id)
        return user is not None and any(may(user, right, source) for right in rights)
    if not isinstance(user_id, int) or not _is_plain(users):
        return users.filter(_holds(rights, source_id), pk=user_id, is_active=True).exists()
    kind = ContentType.objects.get_for_model(DataSource).pk
    backends = tuple(settings.AUTHENTICATION_BACKENDS)
    text, params = _statement(alias(), users.model, tuple(rights), kind, backends)
    places: dict[Any, Any] = {_USER: user_id, str(_SOURCE): str(source_id)}
    with connection.cursor() as cursor:
        cursor.execute(text, [places.get(param, param) for param in params])
        return cursor.fetchone() is not None


# What stands for the numbers of the user and of the data source; no other parameter is like these.
_USER, _SOURCE = 2_147_480_001, 2_147_480_002


@memoize(20)
def _statement(
    using: str, user: type[Any], rights: tuple[str, ...], kind: int, backends: tuple[str, ...]
) -> tuple[str, tuple[Any, ...]]:
    """The statement and its parameters, for each of what it depends on: `kind` is the number of
    the content type, `backends` and `user` are Django's settings.
    """
    found = user._default_manager.using(using).filter(pk=_USER)
    found = found.filter(_holds(rights, _SOURCE), is_active=True).values_list("pk")[:1]
    text, params = found.query.get_compiler(using=using).as_sql()
    return text, tuple(params)


def _is_plain(manager: Manager[Any]) -> bool:
    """Whether what a manager gives depends on nothing, such as whose request it is."""
    return type(manager).get_queryset is Manager.get_queryset


def _is_standard() -> bool:
    backends = {path for path in settings.AUTHENTICATION_BACKENDS if _gives_rights(path)}
    return (
        _SITE_WIDE in backends
        and backends <= {_SITE_WIDE, _PER_OBJECT}
        and issubclass(get_user_model(), PermissionsMixin)
    )


@memoize(20)
def _gives_rights(path: str) -> bool:
    """Whether Django asks the backend for permissions: some only take part in signing in."""
    return hasattr(import_string(path), "has_perm")


def _holds(rights: Sequence[str], source_id: int) -> Q:
    """A superuser, or holds one of these site-wide or on this one, alone or by a group."""
    wanted = Permission.objects.filter(
        content_type__app_label=DataSource._meta.app_label,
        content_type__model=DataSource._meta.model_name,
        codename__in=[f"{right}_datasource" for right in rights],
    )
    who: Any = OuterRef("pk")
    held = Q(is_superuser=True)
    held |= Q(Exists(wanted.filter(user=who))) | Q(Exists(wanted.filter(group__user=who)))
    if _PER_OBJECT in settings.AUTHENTICATION_BACKENDS:
        for kind, person in (("user", "user"), ("group", "group__user")):
            own = given(kind, source_id).filter(permission__in=wanted)
            held |= Q(Exists(own.filter(**{person: who})))
    return held
