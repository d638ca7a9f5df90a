"""Whether the email address of a Django user counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from rowkeeper.accounts.checks import check_verified_email
from rowkeeper.accounts.providers.django_user import identity_for
from rowkeeper.rules.simulator.identity import identity_for as simulated
from rowkeeper.rules.simulator.request import Who
from tests.support.calls import READ, anonymous, on_site, place

pytestmark = pytest.mark.django_db

OWN: dict[str, Any] = {
    "type": ["select"],
    "allow": "loggedIn",
    "require": [{"Email": {"equals": "{{user.[Email]}}"}}],
}
ROWS = [{"Email": "ann@acme.com", "Note": "hers"}]


def never(user: Any) -> bool:
    return False


def always(user: Any) -> bool:
    return True


def by_mistake(user: Any) -> None:
    return None


not_callable = 5


@pytest.fixture
def allauth(transactional_db: None) -> Iterator[Any]:
    """django-allauth's own table, in a site that has the app installed."""
    middleware = [*django_settings.MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
    installed = [*django_settings.INSTALLED_APPS, "allauth", "allauth.account"]
    # Django loads the admin of apps once, when the process starts, or while this one is installed.
    registered = dict(admin.site._registry)
    # The app looks for its middleware while it is installed.
    with (
        override_settings(MIDDLEWARE=middleware),
        override_settings(INSTALLED_APPS=installed),
    ):
        model = apps.get_model("account", "EmailAddress")
        with connection.schema_editor() as editor:
            editor.create_model(model)
        try:
            yield model
        finally:
            admin.site._registry = registered
            with connection.schema_editor() as editor:
                editor.delete_model(model)


def ann(**fields: Any) -> User:
    return User.objects.create_user("ann", "Ann@acme.com", **fields)


def hook(name: str) -> Any:
    path = f"tests.accounts.test_verified_email.{name}"
    return override_settings(ROWKEEPER={**django_settings.ROWKEEPER, "EMAIL_VERIFIED": path})


def told(user: User) -> dict[str, Any]:
    found = identity_for(user).user
    assert found is not None
    return {key: found[key] for key in ("Email", "Email Verified") if key in found}


# -- what rules see


def test_an_unverified_address_of_allauth_is_not_seen(allauth: Any) -> None:
    user = ann()
    there = place([OWN], ROWS)
    row = allauth.objects.create(user=user, email="ann@acme.com", primary=True, verified=False)
    query = {"where": {"Email": "Ann@acme.com"}}
    assert told(user) == {"Email Verified": False}
    assert on_site(user)("POST", f"{there.data}/query", query).status == 400

    row.verified = True
    row.save()
    assert told(user) == {"Email": "Ann@acme.com", "Email Verified": True}
    assert on_site(user)("POST", f"{there.data}/query", query).status == 200


def test_an_unverified_address_does_not_pass_for_its_owner(allauth: Any) -> None:
    """Anyone signs up with the address of somebody else."""
    there = place([OWN], ROWS)
    attacker = User.objects.create_user("eve", "ann@acme.com")
    allauth.objects.create(user=attacker, email="ann@acme.com", primary=True, verified=False)
    answer = on_site(attacker)("POST", f"{there.data}/query", {"where": {"Email": "ann@acme.com"}})
    assert answer.failure == (400, "datasource.access")


def test_an_address_that_allauth_does_not_know_is_unverified(allauth: Any) -> None:
    user = ann()
    assert told(user) == {"Email Verified": False}
    # Another address of theirs, or the same one of another user, verifies nothing.
    allauth.objects.create(user=user, email="other@acme.com", verified=True)
    other = User.objects.create_user("bob", "bob@acme.com")
    allauth.objects.create(user=other, email="ann@acme.com", verified=True)
    assert told(user) == {"Email Verified": False}
    assert told(User.objects.create_user("nobody", "")) == {"Email Verified": False}


@pytest.mark.parametrize(
    ("email", "verified"),
    [
        ("admin@acme.com", "adm\u0131n@acme.com"),
        ("kate@acme.com", "\u212aate@acme.com"),
        ("ann@acme.com", "a%@acme.com"),
    ],
    ids=ascii,
)
def test_a_look_alike_that_is_verified_does_not_verify_another(
    allauth: Any, email: str, verified: str
) -> None:
    """In upper case, some databases hold these for the same."""
    user = User.objects.create_user("eve", email)
    allauth.objects.create(user=user, email=verified, verified=True)
    assert told(user) == {"Email Verified": False}
    user.email = verified
    assert told(user)["Email Verified"] is True


@pytest.mark.parametrize("name", ["never", "by_mistake"])
def test_a_hook_decides(name: str) -> None:
    with hook(name):
        assert told(ann()) == {"Email Verified": False}
    with hook("always"):
        assert told(User.objects.get()) == {"Email": "Ann@acme.com", "Email Verified": True}


def test_a_hook_comes_before_allauth(allauth: Any) -> None:
    with hook("always"):
        assert told(ann()) == {"Email": "Ann@acme.com", "Email Verified": True}


def test_without_either_the_address_counts_as_before() -> None:
    assert told(ann()) == {"Email": "Ann@acme.com"}


def test_a_hook_that_cannot_be_imported_is_a_fault_and_verifies_nothing() -> None:
    for name in ("missing", "not_callable"):
        with hook(name), pytest.raises(ImproperlyConfigured):
            identity_for(User.objects.create_user(name))


def test_rules_can_ask_for_a_verified_address() -> None:
    rule = {"type": ["select"], "allow": {"user": {"Email Verified": {"equals": True}}}}
    there = place([rule], ROWS)
    user = ann()
    assert on_site(user)("GET", there.data).status == 400
    with hook("always"):
        assert on_site(user)("GET", there.data).status == 200
    with hook("never"):
        assert on_site(user)("GET", there.data).status == 400


# -- every place that makes the identity of a Django user


def test_the_simulator_sees_the_same() -> None:
    user = ann(is_superuser=True)
    source = place([READ], ROWS).model
    who = Who(kind="django", name="ann")
    with hook("never"):
        identity = simulated(user, who, _source(source))
        assert identity == identity_for(user)
        assert identity.user is not None and "Email" not in identity.user


def test_the_user_is_told_no_address_that_rules_do_not_see() -> None:
    with hook("never"):
        assert on_site(ann())("GET", "user").json["user"]["email"] is None
    assert anonymous()("GET", "user").status == 401


# -- the system check


def test_check_warns_where_people_sign_up_and_nobody_can_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check_verified_email(None) == []
    installed = [*django_settings.INSTALLED_APPS, "django_registration"]
    monkeypatch.setitem(sys.modules, "django_registration", module := ModuleType("registration"))
    module.__file__ = __file__
    with override_settings(INSTALLED_APPS=installed):
        [warning] = check_verified_email(None)
        assert warning.id == "rowkeeper.W030"
        assert "django_registration" in warning.msg and "EMAIL_VERIFIED" in str(warning.hint)
        with hook("always"):
            assert check_verified_email(None) == []


def test_check_refuses_a_hook_that_cannot_be_imported() -> None:
    with hook("missing"):
        [error] = check_verified_email(None)
        assert error.id == "rowkeeper.E030" and "test_verified_email.missing" in error.msg


def test_check_has_nothing_to_say_with_allauth(allauth: Any) -> None:
    assert check_verified_email(None) == []


def _source(model: Any) -> Any:
    from rowkeeper.datasources.catalog import registry

    return registry.source_of(model)
