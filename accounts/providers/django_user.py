"""Django's own users, signed in to the site, by its session cookie."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck

from ..failures import CsrfMissing
from ..identity import ANONYMOUS, Identity
from ..verified_email import is_verified

SOURCE = "django"
# What rules see of such a user; `ID` and `Source` of every other user as well.
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
    """Who is signed in to the site; ANONYMOUS for nobody, and for a cookie gone stale.

    Raises `CsrfMissing` for an unsafe method without the CSRF token.
    """
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return ANONYMOUS
    _enforce_csrf(request)
    return identity_for(user)


def identity_for(user: Any) -> Identity:
    """The identity of a Django user: the only place that makes one."""
    return Identity(user=user_of(user), django_user_id=user.pk, django_user=user)


def is_still(identity: Identity) -> bool:
    """Whether such a user, or nobody, is who they were, read anew: not the session that they are
    signed in with, but whether they are active, and all that rules see of them.
    """
    if identity.django_user_id is None:
        return True
    user = get_user_model()._default_manager.filter(pk=identity.django_user_id).first()
    return user is not None and user.is_active and user_of(user) == identity.user


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
    """Django's own check, which a view of Django REST framework is exempt from until it asks."""
    check: Any = CSRFCheck(_no_response)
    check.process_request(request)
    if check.process_view(request, None, (), {}):
        raise CsrfMissing(
            "the site's own session needs its CSRF token beside it, as the header `X-CSRFToken`"
        )


def _no_response(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError
