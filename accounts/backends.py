"""The sign-in limits of Django users, for all callers of `django.contrib.auth.authenticate`.

They cover the admin's sign-in page and every other page that authenticates with a password.

`SignInLimits` comes first in `AUTHENTICATION_BACKENDS`. It authenticates nobody: it stops an
attempt that is over a limit before another backend compares the password. If django-axes is
installed, it leaves that to django-axes.

An attempt counts as failed from its start, so that concurrent attempts are limited as if they
came one after the other. Django sends `user_login_failed` for a failure, and the attempt stays
counted. It sends nothing for a success unless the caller signs the user in: HTTP Basic
authentication and token endpoints only call `authenticate`. An attempt without that signal is
therefore undone as soon as the same thread or task calls `authenticate` again, or the request ends.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from contextvars import ContextVar
from math import ceil
from typing import Any, TypeGuard

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import auth, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception, request_finished
from django.http import HttpRequest

from rowkeeper.datasources.errors import Busy

from .client import client_address
from .errors import TooMany
from .login.throttle import Attempt, begin_attempt

PATH = "rowkeeper.accounts.backends.SignInLimits"
AXES = "axes"
# The attempt of this thread or task whose outcome is not known yet. It is not stored in the
# request, since several tasks can authenticate for one request at the same time. It is in a list so
# that tasks that Django starts to send a signal can take it out; each attempt has its own list.
_open: ContextVar[list[Attempt] | None] = ContextVar("rowkeeper_attempt", default=None)


class SignInLimits:
    """An authentication backend that refuses attempts over the limits of sign-ins.

    It has neither users nor permissions, and therefore no `get_user`: Django's test client and
    `login` must not take it for a backend that provides users.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count an attempt with a password.

        Raises `PermissionDenied` over a limit, and if the attempt cannot be counted. Django then
        asks no other backend.
        """
        if _is_counted(request, credentials):
            put_back()
            _open.set([_begin(request, credentials)])

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """The asynchronous version of `authenticate`."""
        if _is_counted(request, credentials):
            await sync_to_async(put_back)()
            # Set by this task, because the signal of the outcome is sent to it.
            attempt = await sync_to_async(_begin)(request, credentials)
            _open.set([attempt])


def signed_in(**kwargs: Any) -> None:
    """Receive `user_logged_in`: undo the attempt and reset the earlier failures."""
    attempt = _taken()
    if attempt is not None:
        attempt.succeeded()


def failed(**kwargs: Any) -> None:
    """Receive `user_login_failed`: the attempt stays counted."""
    _taken()


def put_back(**kwargs: Any) -> None:
    """Receive `request_finished`: undo an attempt that has not failed by now."""
    # Nearly every request ends without an open attempt.
    attempt = _taken() if _open.get() else None
    if attempt is not None:
        attempt.undo()


def keep_if_unknown(**kwargs: Any) -> None:
    """Receive `got_request_exception`: keep an attempt counted if `authenticate` raised an error.

    After such an error, for example in another backend, it is not known whether the password was
    right.
    """
    trace = sys.exc_info()[2]
    if trace is None:
        _taken()
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__") == auth.__name__ and "authenticate" in str(
            frame.f_code.co_name
        ):
            _taken()
            return
        trace = trace.tb_next


def connect() -> None:
    """Connect the signals. Called once, when the app is ready."""
    for signal, receiver in (
        (user_logged_in, signed_in),
        (user_login_failed, failed),
        (request_finished, put_back),
        (got_request_exception, keep_if_unknown),
    ):
        signal.connect(receiver, dispatch_uid=f"rowkeeper-sign-in-limits-{receiver.__name__}")


def _taken() -> Attempt | None:
    """Remove and return the attempt whose outcome is not known yet; only one caller gets it."""
    try:
        return (_open.get() or []).pop()
    except IndexError:
        return None


def _is_counted(request: HttpRequest | None, credentials: dict[str, Any]) -> TypeGuard[HttpRequest]:
    """Attempts without a request come from the project's code, not from a visitor."""
    return request is not None and "password" in credentials and not apps.is_installed(AXES)


def _begin(request: HttpRequest, credentials: dict[str, Any]) -> Attempt:
    try:
        return begin_attempt(f"django {_name_in(credentials)}", client_address(request))
    except TooMany as error:
        _report(request, f"Too many failed attempts. Try again {_in(error.retry_after)}.")
        raise PermissionDenied from error
    except Busy as error:
        _report(request, "Signing in is not possible at the moment. Try again later.")
        raise PermissionDenied from error


def _name_in(credentials: dict[str, Any]) -> str:
    """The name that an attempt is for, case-folded so that its spellings count together."""
    for field in ("username", get_user_model().USERNAME_FIELD, "email", "login"):
        name = credentials.get(field)
        if name:
            return str(name).strip().casefold()
    return ""


def _report(request: HttpRequest, text: str) -> None:
    """Show a message on the page, which otherwise says that the password is wrong."""
    # A request of Django REST framework is not an HttpRequest, and has no page.
    with suppress(TypeError):
        messages.error(request, text, fail_silently=True)


def _in(seconds: int) -> str:
    minutes = ceil(seconds / 60)
    return "in a minute" if minutes == 1 else f"in {minutes} minutes"
