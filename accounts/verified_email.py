"""Whether the email address of a Django user is known to belong to that user.

Anyone can sign up with somebody else's address. If a project allows that, an address only counts
once its owner has confirmed it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.conf import setting

ALLAUTH = "allauth.account"


def is_verified(user: Any) -> bool | None:
    """Whether the user's current email address is verified; None if the project cannot say.

    `ROWKEEPER["EMAIL_VERIFIED"]` decides if it is set; otherwise the table of django-allauth, if
    that app is installed. Raises `ImproperlyConfigured` if the setting does not name a callable.
    """
    path = setting("EMAIL_VERIFIED")
    if path is not None:
        # A hook that returns something else by mistake must not verify an address.
        return hook(path)(user) is True
    if apps.is_installed(ALLAUTH):
        return _is_verified_by_allauth(user)
    return None


@memoize(8)
def hook(path: str) -> Callable[[Any], Any]:
    """The callable at a dotted path. Raises `ImproperlyConfigured` if there is none."""
    try:
        found = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(
            f'`ROWKEEPER["EMAIL_VERIFIED"]` is {path!r}, which cannot be imported: {error}'
        ) from error
    if not callable(found):
        raise ImproperlyConfigured(
            f'`ROWKEEPER["EMAIL_VERIFIED"]` is {path!r}, which is not callable'
        )
    call: Callable[[Any], Any] = found
    return call


def _is_verified_by_allauth(user: Any) -> bool:
    """Whether allauth has this user's current address as verified.

    An address without a row has never been confirmed, as users can also get one through a form of
    the project.
    """
    email = getattr(user, user.get_email_field_name(), "")
    addresses = apps.get_app_config("account").get_model("EmailAddress")._default_manager
    verified = addresses.filter(user_id=user.pk, verified=True).values_list("email", flat=True)
    return bool(email) and any(_is_same(email, address) for address in verified)


def _is_same(first: str, second: str) -> bool:
    """Whether two addresses are equal, ignoring the case of ASCII letters.

    Not compared in the database, where the upper case of `\u0131` is that of `i`.
    """
    ascii_only = first.isascii() and second.isascii()
    return first.lower() == second.lower() if ascii_only else first == second
