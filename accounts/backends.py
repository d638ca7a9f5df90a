"""The limits of sign-ins for Django's own users: the admin's sign-in, and every other page that
calls `django.contrib.auth.authenticate`.

`SignInLimits` comes first in `AUTHENTICATION_BACKENDS`. It lets nobody in; it stops an attempt that
is over a limit before another backend compares the password. Where django-axes is installed, it
leaves that to django-axes.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from datasources.errors import Busy

from .client import client_address
from .failures import TooMany
from .limits import Attempt, begin_attempt

PATH = "accounts.backends.SignInLimits"
AXES = "axes"
_ATTEMPT = "_rowkeeper_attempt"


class SignInLimits:
    """An authentication backend that refuses attempts over the limits of sign-ins.

    It has neither users nor permissions, and so no `get_user`: Django's test client and `login`
    must not take it for a backend that users come from.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count an attempt with a password. Raises `PermissionDenied` over a limit, and where the
        attempt cannot be counted: Django then asks no other backend.
        """
        if request is None or "password" not in credentials or apps.is_installed(AXES):
            # Without a request, it is code of the project that asks, and no visitor.
            return
        account = f"django {_name_in(credentials)}"
        try:
            attempt = begin_attempt(account, client_address(request))
        except TooMany as error:
            _tell(request, f"Too many failed attempts. Try again {_in(error.retry_after)}.")
            raise PermissionDenied from error
        except Busy as error:
            _tell(request, "Signing in is not possible at the moment. Try again later.")
            raise PermissionDenied from error
        request.__dict__[_ATTEMPT] = attempt

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """As `authenticate`, for asynchronous views."""
        await sync_to_async(self.authenticate)(request, **credentials)


def take_back(request: HttpRequest | None, **kwargs: Any) -> None:
    """Receives `user_logged_in`: the attempt of this request was no failure."""
    attempt: Attempt | None = None if request is None else request.__dict__.pop(_ATTEMPT, None)
    if attempt is not None:
        attempt.succeeded()


def _name_in(credentials: dict[str, Any]) -> str:
    """The name that an attempt is for: spellings that differ by case count together."""
    for field in ("username", get_user_model().USERNAME_FIELD, "email", "login"):
        name = credentials.get(field)
        if name:
            return str(name).strip().casefold()
    return ""


def _tell(request: HttpRequest, text: str) -> None:
    """Say it on the page, which otherwise calls the password wrong."""
    messages.error(request, text, fail_silently=True)


def _in(seconds: int) -> str:
    minutes = ceil(seconds / 60)
    return "in a minute" if minutes == 1 else f"in {minutes} minutes"
