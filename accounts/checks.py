"""System checks of who can sign in and how."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from datasources.conf import setting

from .verified_email import ALLAUTH, hook

# Apps that let visitors create a Django user, or bring in users with an address that somebody
# else's server states.
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
    """Can the project say whether the address of a Django user is verified?"""
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
            f"The app `{name}` lets people sign up, and Rowkeeper cannot tell whether their email "
            "addresses are verified. A rule that compares `{{user.[Email]}}` takes a user for "
            "whoever owns the address.",
            hint='Set ROWKEEPER["EMAIL_VERIFIED"] to the dotted path of a callable that takes a '
            "Django user and returns True if the user's email address is verified.",
            id="rowkeeper.W030",
        )
        for name in sorted(names)
    ]
