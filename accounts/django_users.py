"""The Django user behind an identity, read at most once a request, and only when needed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.utils.functional import SimpleLazyObject

from .identity import Identity


def lazy_user(user_id: Any) -> Any:
    """The active Django user with this id, read on first access; None without an id."""
    return None if user_id is None else SimpleLazyObject(lambda: _active_user(user_id))


def user_behind(identity: Identity) -> Any:
    """The Django user whose permissions count; AnonymousUser, who has none, without one."""
    if identity.django_user is not None:
        return identity.django_user
    return (
        AnonymousUser()
        if identity.django_user_id is None
        else _active_user(identity.django_user_id)
    )


def _active_user(user_id: Any) -> Any:
    user = get_user_model()._default_manager.filter(pk=user_id).first()
    return user if user is not None and user.is_active else AnonymousUser()
