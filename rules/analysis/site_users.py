"""The kinds of users that can sign in to this site."""

from __future__ import annotations

from django.contrib.auth import get_user_model


def has_site_users() -> bool:
    """Whether Django's own users count as a kind of users.

    Superusers do not count, since they can change the rules anyway.
    """
    users = get_user_model()._default_manager.all()
    fields = {field.name for field in get_user_model()._meta.get_fields()}
    if "is_superuser" in fields:
        users = users.filter(is_superuser=False)
    if "is_active" in fields:
        users = users.filter(is_active=True)
    return users.exists()
