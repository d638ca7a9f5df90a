"""Django's own users, signed in to the site by its session cookie."""

from __future__ import annotations

from typing import Any

from django.contrib import auth
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject, empty
from rest_framework.authentication import CSRFCheck

from ..errors import CsrfMissing
from ..identity import ANONYMOUS, Identity
from ..verified_email import is_verified

SOURCE = "django"
# What rules see of such a user. Other users have `ID` and `Source` too.
VERIFIED = "Email Verified"
FIELDS = (
    "Username",
    "Email",
    VERIFIED,
    "First Name",
    "Last Name",
    "Groups",
    "Staff",
    "ID",
    "Source",
)


def identity_of(request: HttpRequest) -> Identity:
    """The identity of the user signed in to the site; ANONYMOUS without one.

    A stale session cookie counts as none. Raises `CsrfMissing` for an unsafe method without the
    CSRF token.
    """
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return ANONYMOUS
    _enforce_csrf(request)
    return identity_for(user)


def identity_for(user: Any) -> Identity:
    """The identity of a Django user. No other function makes one."""
    return Identity(user=user_of(user), django_user_id=user.pk, django_user=user)


def identity_now(request: HttpRequest) -> Identity:
    """The identity of the user signed in to the site now, whatever was read before.

    The session and the user are read from the database again. The CSRF token is not checked.
    """
    read_again(request)
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return ANONYMOUS
    return identity_for(user)


def is_read(request: HttpRequest) -> bool:
    """Whether `request.user` has been evaluated already, for example by a middleware."""
    user = request.__dict__.get("user")
    if type(user) is SimpleLazyObject:
        return user.__dict__["_wrapped"] is not empty
    return user is not None


def read_again(request: HttpRequest) -> None:
    """Set `request.user` to the user signed in now: nobody, if the session has ended.

    A user whom a middleware has set in place of the session's own user is read again as well.
    """
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return
    session: Any = getattr(request, "session", None)
    if session is not None and SESSION_KEY in session:
        # The session object of the request itself keeps what it has read.
        stand_in: Any = HttpRequest()
        stand_in.session = session.__class__(session.session_key)
        owner = auth.get_user(stand_in)
        if not owner.is_authenticated or owner.pk == user.pk:
            request.user = owner
            return
    found = get_user_model()._default_manager.filter(pk=user.pk).first()
    request.user = AnonymousUser() if found is None else found


def user_of(user: Any) -> dict[str, Any]:
    """What rules see of a Django user, as `{column: value}`; see `FIELDS`.

    `Email` is missing while the address is known to be unverified, so that no rule takes one user
    for another. `Email Verified` is missing if the project cannot say.
    """
    groups = getattr(user, "groups", None)
    return {
        "Username": user.get_username(),
        **_email_of(user),
        "First Name": getattr(user, "first_name", ""),
        "Last Name": getattr(user, "last_name", ""),
        "Groups": [] if groups is None else list(groups.values_list("name", flat=True)),
        "Staff": bool(getattr(user, "is_staff", False)),
        "ID": f"{SOURCE}:{user.pk}",
        "Source": SOURCE,
    }


def _email_of(user: Any) -> dict[str, Any]:
    email = getattr(user, user.get_email_field_name(), "")
    verified = is_verified(user)
    if verified is None:
        return {"Email": email}
    return {"Email": email, VERIFIED: True} if verified else {VERIFIED: False}


def _enforce_csrf(request: HttpRequest) -> None:
    """Run Django's CSRF check, from which views of Django REST framework are exempt by default."""
    check: Any = CSRFCheck(_no_response)
    check.process_request(request)
    if check.process_view(request, None, (), {}):
        raise CsrfMissing(
            "a request with the site's session cookie must also have its CSRF token, in the "
            "header `X-CSRFToken`"
        )


def _no_response(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError
