"""Permission checks by user id, for the author of a script that makes look-ups.

The check runs in requests of other users, so it uses a single statement if only Django's and
guardian's own backends are installed; they would need one for each kind and source of permission.
To compile that statement takes Django several milliseconds, and it always differs in two numbers
only, so it is compiled once.
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
    """Whether this Django user, if it exists, has one of the permissions on the data source."""
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


# Placeholders for the ids of the user and of the data source; no other parameter has these values.
_USER, _SOURCE = 2_147_480_001, 2_147_480_002


@memoize(20)
def _statement(
    using: str, user: type[Any], rights: tuple[str, ...], kind: int, backends: tuple[str, ...]
) -> tuple[str, tuple[Any, ...]]:
    """Return the compiled statement and its parameters.

    `kind` is the id of the content type. `backends` and `user` are from Django's settings, and are
    arguments because the statement depends on them.
    """
    found = user._default_manager.using(using).filter(pk=_USER)
    found = found.filter(_holds(rights, _SOURCE), is_active=True).values_list("pk")[:1]
    text, params = found.query.get_compiler(using=using).as_sql()
    return text, tuple(params)


def _is_plain(manager: Manager[Any]) -> bool:
    """Whether a manager has the default queryset, which does not depend on the request."""
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
    """Whether Django asks the backend for permissions; some are only for signing in."""
    return hasattr(import_string(path), "has_perm")


def _holds(rights: Sequence[str], source_id: int) -> Q:
    """Match superusers, and users with a permission site-wide or on this source, or by a group."""
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
