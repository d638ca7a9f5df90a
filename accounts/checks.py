"""System checks of who can sign in, and how."""

from __future__ import annotations

import os
from collections.abc import Iterable

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from rowkeeper.datasources.conf import setting

from .backends import AXES, PATH
from .verified_email import ALLAUTH, hook

# Apps that let visitors create a Django user, or that create users with an address that an external
# server states.
SELF_REGISTRATION = frozenset(
    {
        "dj_rest_auth.registration",
        "django_registration",
        "djoser",
        "registration",
        "rest_registration",
        "social_django",
        "userena",
    }
)


@register()
def check_verified_email(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that the project can say whether the address of a Django user is verified."""
    path = setting("EMAIL_VERIFIED")
    if path is not None:
        return _problems_with_hook(path)
    names = {config.name for config in apps.get_app_configs()}
    return [] if ALLAUTH in names else _unverified_sign_up(names & SELF_REGISTRATION)


def _problems_with_hook(path: object) -> list[CheckMessage]:
    try:
        hook(str(path))
    except ImproperlyConfigured as error:
        return [
            Error(
                f"{error}.",
                hint="Give the dotted path of a callable that takes a Django user and returns "
                "True if the user's email address is verified.",
                id="rowkeeper.E030",
            )
        ]
    return []


def _unverified_sign_up(names: Iterable[str]) -> list[CheckMessage]:
    return [
        Warning(
            f"The app `{name}` lets people sign up, and Rowkeeper cannot determine whether "
            "their email addresses are verified. A rule that compares `{{user.[Email]}}` "
            "treats a user as the owner of the address.",
            hint='Set ROWKEEPER["EMAIL_VERIFIED"] to the dotted path of a callable that takes a '
            "Django user and returns True if the user's email address is verified.",
            id="rowkeeper.W030",
        )
        for name in sorted(names)
    ]


@register()
def check_sign_in_of_django_users(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that failed sign-ins of Django users are limited."""
    backends = list(settings.AUTHENTICATION_BACKENDS)
    if apps.is_installed(AXES) or backends[:1] == [PATH]:
        return []
    return [
        Warning(
            "Failed sign-ins of Django users are not limited: an attacker can guess passwords "
            "of the admin without a limit.",
            hint=f'Put "{PATH}" first in AUTHENTICATION_BACKENDS, or install django-axes.',
            id="rowkeeper.W031",
        )
    ]


@register(deploy=True)
def check_proxy(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that a proxy that is declared to Django is also declared to the sign-in limits."""
    declared = [
        name
        for name in ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
        if getattr(settings, name, None)
    ]
    if not declared or setting("TRUSTED_PROXIES"):
        return []
    return [
        Warning(
            f"{declared[0]} indicates a proxy in front of the site, but "
            'ROWKEEPER["TRUSTED_PROXIES"] is 0: all clients of the proxy share one limit of '
            "failed sign-ins.",
            hint="Set it to the number of proxies that append to X-Forwarded-For.",
            id="rowkeeper.W032",
        )
    ]


@register()
def check_cache_counts(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that the cache of the sign-in limits stores anything."""
    if _cache_class() is None or not issubclass(_cache_class() or BaseCache, DummyCache):
        return []
    return [
        Warning(
            f"The cache {setting('CACHE')!r} stores nothing: failed sign-ins are not limited.",
            hint=_ANOTHER_CACHE,
            id="rowkeeper.W033",
        )
    ]


@register(deploy=True)
def check_cache_is_shared(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that the cache of the sign-in limits counts the attempts of all processes."""
    found = _cache_class()
    if found is None or issubclass(found, DummyCache):
        return []
    if issubclass(found, LocMemCache):
        return [_in_each_process()]
    if found.incr is not BaseCache.incr:
        return []
    return [
        Warning(
            f"The cache {setting('CACHE')!r} does not count atomically: some of the failed "
            "sign-ins that arrive at the same time are not counted.",
            hint=_ANOTHER_CACHE,
            id="rowkeeper.W034",
        )
    ]


_ANOTHER_CACHE = (
    'Name a cache in ROWKEEPER["CACHE"] that all processes share, such as Redis or Memcached.'
)


def _in_each_process() -> CheckMessage:
    """A warning if several processes are configured; otherwise an info, as it is not known here."""
    workers = os.environ.get("WEB_CONCURRENCY", "").strip()
    kind = Warning if workers.isdigit() and int(workers) > 1 else Info
    return kind(
        f"The cache {setting('CACHE')!r} is local to each process: with several processes, each "
        "process allows the full number of failed sign-ins.",
        hint=_ANOTHER_CACHE,
        id="rowkeeper.W035" if kind is Warning else "rowkeeper.I035",
    )


def _cache_class() -> type[BaseCache] | None:
    """The class of the cache that the limits use; None if Django cannot import it."""
    config = settings.CACHES.get(setting("CACHE"), {})
    try:
        found = import_string(config.get("BACKEND", ""))
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseCache) else None
