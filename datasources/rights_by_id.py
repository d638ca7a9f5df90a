"""The rights of somebody who is not there: whoever wrote a script that looks things up.

Asked on requests of other people, and so by one statement where Django's and guardian's own
backends are all there is; they take one for each kind of right, and one for each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, PermissionsMixin
from django.db.models import Exists, OuterRef, Q

from .models import DataSource
from .rights import given, may

_SITE_WIDE = "django.contrib.auth.backends.ModelBackend"
_PER_OBJECT = "guardian.backends.ObjectPermissionBackend"


def has_one_of(user_id: int, rights: Sequence[str], source_id: int) -> bool:
    """Whether this Django user, who may be gone, has one of the rights on the data source."""
    found = get_user_model()._default_manager.filter(pk=user_id)
    if not _is_standard():
        user = found.first()
        source = DataSource(pk=source_id)
        return user is not None and any(may(user, right, source) for right in rights)
    return found.filter(_holds(rights, source_id), is_active=True).exists()


def _is_standard() -> bool:
    backends = set(settings.AUTHENTICATION_BACKENDS)
    return (
        _SITE_WIDE in backends
        and backends <= {_SITE_WIDE, _PER_OBJECT}
        and issubclass(get_user_model(), PermissionsMixin)
    )


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
