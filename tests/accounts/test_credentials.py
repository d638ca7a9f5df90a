"""Who is asking: what a request presents, and the identity that it makes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db import connection
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from rest_framework.request import Request

from rowkeeper.accounts.authentication import RowkeeperAuthentication, identify
from rowkeeper.accounts.errors import (
    CredentialInvalid,
    CsrfMissing,
    LoginRequired,
    PermissionMissing,
)
from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.accounts.permissions import ACTIONS, grant_all, may, require, visible_sources
from rowkeeper.accounts.profile import user_body
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.models import DataSource

pytestmark = pytest.mark.django_db
TOKEN, BEARER = "Auth-token", "Authorization"


def get(path: str = "/v1/user", **headers: str) -> HttpRequest:
    return RequestFactory().get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def who(**headers: str) -> Identity:
    return identify(get(**headers))


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def secret() -> str:
    return create_api_token("CI")[1]


# -- one header


def test_nothing_is_nobody() -> None:
    assert who() is ANONYMOUS


def test_a_token_in_either_header_in_every_spelling(secret: str) -> None:
    expected = who(Auth_token=secret)
    assert expected.token_id
    encoded = base64_of(secret)
    for value in (
        f"Bearer {secret}",
        f"bearer   {secret} ",
        f"BEARER {encoded}",
        f"Bearer {encoded.rstrip('=')}",
        f"Bearer {base64.urlsafe_b64encode(secret.encode()).decode()}",
    ):
        assert who(Authorization=value) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"Auth_token": ""},
        {"Auth_token": "   "},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer   "},
        {"Authorization": "Basic " + base64_of("a:b")},
        {"Authorization": "Token abc"},
        {"Authorization": "Bearerabc"},
    ],
)
def test_an_empty_header_and_another_scheme_are_no_credential(headers: dict[str, str]) -> None:
    assert who(**headers) is ANONYMOUS


@pytest.mark.parametrize(
    "value",
    ["x", "null", "undefined", base64_of("x"), base64_of(base64_of("rk_" + "a" * 43)), "é", "a b"],
)
def test_a_bad_bearer_is_refused(value: str) -> None:
    with pytest.raises(CredentialInvalid):
        who(Authorization=f"Bearer {value}")


def test_base64_of_a_base64_is_no_token(secret: str) -> None:
    with pytest.raises(CredentialInvalid):
        who(Authorization=f"Bearer {base64_of(base64_of(secret))}")
    with pytest.raises(CredentialInvalid):
        who(Auth_token=base64_of(secret))


def test_a_header_that_was_sent_twice_is_refused(secret: str) -> None:
    with pytest.raises(CredentialInvalid):
        who(Auth_token=f"{secret},{secret}")


# -- two headers


def test_two_headers_of_the_same_identity_are_fine(
    secret: str, django_assert_num_queries: Any
) -> None:
    who(Auth_token=secret)
    with django_assert_num_queries(1):
        assert who(Auth_token=secret, Authorization=f"Bearer {base64_of(secret)}").token_id


def test_two_headers_of_different_identities_are_refused(secret: str) -> None:
    other = create_api_token("other")[1]
    with pytest.raises(CredentialInvalid):
        who(Auth_token=secret, Authorization=f"Bearer {other}")


@pytest.mark.parametrize("bad", ["x", "rk_" + "a" * 43, "rks_" + "a" * 43])
def test_one_bad_header_spoils_the_other(secret: str, bad: str) -> None:
    with pytest.raises(CredentialInvalid):
        who(Auth_token=secret, Authorization=f"Bearer {bad}")
    with pytest.raises(CredentialInvalid):
        who(Auth_token=bad, Authorization=f"Bearer {secret}")


def test_beside_another_scheme_a_token_counts(secret: str) -> None:
    assert who(Auth_token=secret, Authorization="Basic YTpi").token_id


# -- query and cookie


def test_query_and_cookie_are_not_read_unless_a_setting_says_so(secret: str) -> None:
    request = get(f"/?auth_token={secret}")
    request.COOKIES["auth_token"] = secret
    assert identify(request) is ANONYMOUS
    request = get("/?auth_token=bad")
    request.COOKIES["auth_token"] = "bad"
    assert identify(request) is ANONYMOUS


def test_query_and_cookie_with_their_settings(secret: str, settings: Any) -> None:
    settings.ROWKEEPER = {"TOKEN_IN_QUERY": True}
    assert identify(get(f"/?auth_token={secret}")).token_id
    assert identify(get("/?auth_token=")) is ANONYMOUS
    with pytest.raises(CredentialInvalid):
        identify(get(f"/?auth_token={secret}&auth_token=x"))
    settings.ROWKEEPER = {"TOKEN_IN_COOKIE": True}
    request = get(f"/?auth_token={secret}x")
    request.COOKIES["auth_token"] = secret
    assert identify(request).token_id
    request.COOKIES["auth_token"] = "x"
    with pytest.raises(CredentialInvalid):
        identify(request)


def test_a_header_wins_over_query_and_cookie(secret: str, settings: Any) -> None:
    settings.ROWKEEPER = {"TOKEN_IN_QUERY": True, "TOKEN_IN_COOKIE": True}
    request = get("/?auth_token=x", Auth_token=secret)
    request.COOKIES["auth_token"] = "x"
    assert identify(request).token_id


# -- the site's own session


@pytest.fixture
def ann() -> User:
    user = User.objects.create_user(
        "ann", "ann@acme.com", first_name="Ann", last_name="Arbor", is_staff=True
    )
    user.groups.add(Group.objects.create(name="Keepers"), Group.objects.create(name="Editors"))
    return user


def from_site(user: Any, method: str = "get", **headers: str) -> HttpRequest:
    request = getattr(RequestFactory(), method)("/v1/user", headers=headers)
    request.user = user
    return request  # type: ignore[no-any-return]


def test_a_django_user_as_rules_see_them(ann: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        identity = identify(from_site(ann))
    assert identity.django_user_id == ann.pk
    assert identity.user is not None
    assert {**identity.user, "Groups": sorted(identity.user["Groups"])} == {
        "ID": f"django:{ann.pk}",
        "Source": "django",
        "Username": "ann",
        "Email": "ann@acme.com",
        "First Name": "Ann",
        "Last Name": "Arbor",
        "Groups": ["Editors", "Keepers"],
        "Staff": True,
    }
    assert identity.token_id is identity.app_id is None
    assert user_body(identity) == {
        "id": f"django:{ann.pk}",
        "email": "ann@acme.com",
        "fullName": "Ann Arbor",
        "firstName": "Ann",
        "lastName": "Arbor",
        "type": "django",
    }


def test_a_stale_cookie_and_an_inactive_user_are_nobody(ann: User) -> None:
    assert identify(from_site(AnonymousUser())) is ANONYMOUS
    ann.is_active = False
    assert identify(from_site(ann)) is ANONYMOUS


def test_with_a_header_the_session_is_not_read(ann: User, secret: str) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    identity = identify(from_site(Untouchable(), "post", **{TOKEN: secret}))
    assert identity.user is None and identity.token_id
    with pytest.raises(CredentialInvalid):
        identify(from_site(ann, **{TOKEN: "bad"}))


def enforced(request: HttpRequest) -> HttpRequest:
    request._dont_enforce_csrf_checks = False  # type: ignore[attr-defined]
    return request


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_an_unsafe_method_needs_the_csrf_token(ann: User, method: str) -> None:
    with pytest.raises(CsrfMissing):
        identify(enforced(from_site(ann, method)))
    wrong = enforced(from_site(ann, method, **{"X-CSRFToken": "a" * 32}))
    wrong.COOKIES["csrftoken"] = "b" * 32
    with pytest.raises(CsrfMissing):
        identify(wrong)
    right = enforced(from_site(ann, method, **{"X-CSRFToken": "a" * 32}))
    right.COOKIES["csrftoken"] = "a" * 32
    assert identify(right).django_user_id == ann.pk


def test_a_safe_method_and_nobody_need_none(ann: User) -> None:
    assert identify(enforced(from_site(ann, "get"))).django_user_id == ann.pk
    assert identify(enforced(from_site(AnonymousUser(), "post"))) is ANONYMOUS


def test_a_header_needs_no_csrf_token(ann: User, secret: str) -> None:
    assert identify(enforced(from_site(ann, "post", **{TOKEN: secret}))).token_id


# -- for Django REST framework


def test_request_auth_is_always_an_identity(ann: User) -> None:
    secret = create_api_token("CI", user=ann)[1]
    authentication = RowkeeperAuthentication()
    user, identity = authentication.authenticate(Request(get()))
    assert (user, identity) == (AnonymousUser(), ANONYMOUS)
    user, identity = authentication.authenticate(Request(get(Auth_token=secret)))
    assert (user.pk, identity.django_user_id) == (ann.pk, ann.pk)
    user, _ = authentication.authenticate(Request(from_site(ann)))
    assert user == ann


# -- rights on the elevated endpoints


@pytest.fixture
def source() -> DataSource:
    return DataSource.objects.create(name="Employees")


@pytest.mark.parametrize("action", ACTIONS)
def test_no_login_and_no_permission_are_two_failures(
    action: str, source: DataSource, ann: User
) -> None:
    with pytest.raises(LoginRequired):
        require(ANONYMOUS, action, source)
    for identity in (
        Identity(token_id=1),
        Identity(user={"ID": 1, "Source": "Users"}, source_id=1, entry_id=1),
        identify(from_site(ann)),
        Identity(django_user_id=ann.pk, token_id=1),
    ):
        with pytest.raises(PermissionMissing):
            require(identity, action, source)
    User.objects.update(is_superuser=True)
    require(Identity(django_user_id=ann.pk, token_id=1), action, source)
    User.objects.update(is_active=False)
    assert not may(Identity(django_user_id=ann.pk, token_id=1), action, source)


def test_what_a_creator_gets(source: DataSource, ann: User) -> None:
    other = DataSource.objects.create(name="Staff")
    grant_all(ann.pk, source)
    identity = Identity(django_user_id=ann.pk, token_id=1)
    assert [action for action in ACTIONS if may(identity, action, source)] == [
        "view",
        "change",
        "delete",
        "change_rules",
        "write_scripts",
        "simulate",
        "view_log",
        "share",
    ]
    assert not any(may(identity, action, other) for action in ACTIONS)
    assert not any(may(identity, action) for action in ACTIONS)
    assert list(visible_sources(identity)) == [source]


def test_what_may_be_seen(source: DataSource, ann: User) -> None:
    other = DataSource.objects.create(name="Staff")
    secret = create_api_token("CI", user=ann)[1]
    assert not visible_sources(ANONYMOUS).exists()
    assert not visible_sources(Identity(token_id=1)).exists()
    assert not visible_sources(who(Auth_token=secret)).exists()
    group = Group.objects.get(name="Keepers")
    assign_perm("view_datasource", group, other)
    assert list(visible_sources(who(Auth_token=secret))) == [other]
    group.permissions.add(Permission.objects.get(codename="view_datasource"))
    assert set(visible_sources(who(Auth_token=secret))) == {source, other}


def test_set_login_for_one_data_source_is_not_a_thing(source: DataSource, ann: User) -> None:
    assign_perm("set_login_datasource", ann, source)
    assert not may(Identity(django_user_id=ann.pk), "set_login", source)


def test_the_user_is_read_once(source: DataSource, ann: User) -> None:
    identity = who(Auth_token=create_api_token("CI", user=ann)[1])
    with CaptureQueriesContext(connection) as queries:
        may(identity, "view", source)
        may(identity, "change", source)
    reads = [q for q in queries if 'FROM "auth_user" WHERE' in q["sql"]]
    assert len(reads) == 1


def test_an_unknown_action_is_a_mistake_of_ours(source: DataSource) -> None:
    with pytest.raises(ValueError, match="not an action"):
        may(ANONYMOUS, "see", source)
