"""API tokens: made, shown once, used, revoked; by command and in the admin."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from rowkeeper.accounts.authentication import identify
from rowkeeper.accounts.errors import CredentialInvalid
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.accounts.profile import user_body
from rowkeeper.accounts.providers.last_use import last_uses
from rowkeeper.accounts.tokens import create_api_token, digest, is_secret, new_secret, revoke
from rowkeeper.datasources.models import DataSource, Entry
from tests.support.people import LOGIN

urlpatterns = [path("admin/", admin.site.urls)]
pytestmark = pytest.mark.django_db


def who(secret: str) -> Identity:
    return identify(RequestFactory().get("/v1/user", headers={"Auth-token": secret}))


def command(*args: str) -> list[str]:
    out = io.StringIO()
    call_command("createtoken", *args, stdout=out)
    return out.getvalue().splitlines()


# -- secrets


def test_a_secret_is_a_prefix_and_32_random_bytes() -> None:
    secret = new_secret("rk_")
    assert re.fullmatch(r"rk_[A-Za-z0-9_-]{43}", secret)
    assert is_secret(secret) and is_secret(new_secret("rks_"))
    assert secret != new_secret("rk_")


@pytest.mark.parametrize("text", ["", "rk_", "rk_" + "a" * 42, "rk_" + "a" * 44, "xk_" + "a" * 43])
def test_other_texts_are_no_secrets(text: str) -> None:
    assert not is_secret(text)
    assert not is_secret("rk_" + "a" * 43 + "\n")


def test_only_the_digest_is_kept() -> None:
    token, secret = create_api_token("CI")
    stored = ApiToken.objects.filter(pk=token.pk).values().get()
    assert stored["digest"] == digest(secret)
    assert secret not in str(stored)
    assert stored["hint"] == secret[-4:]


# -- use


def test_a_token_stands_for_its_id_and_app_and_is_nobody_s_login() -> None:
    app = App.objects.create(name="Directory")
    token, secret = create_api_token("CI", app=app)
    assert who(secret) == Identity(token_id=token.pk, app_id=app.pk)


def test_a_token_of_a_django_user_is_no_login_either() -> None:
    user = User.objects.create_user("ann", is_superuser=True)
    token, secret = create_api_token("CI", user=user)
    identity = who(secret)
    assert identity.user is None
    assert (identity.token_id, identity.django_user_id) == (token.pk, user.pk)


def test_a_revoked_token_is_refused_at_once() -> None:
    token, secret = create_api_token("CI")
    who(secret)
    revoke(token)
    first = token.revoked_at
    with pytest.raises(CredentialInvalid):
        who(secret)
    revoke(token)
    assert token.revoked_at == first


def test_an_expired_token_is_refused() -> None:
    past, future = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(hours=1)
    with pytest.raises(CredentialInvalid):
        who(create_api_token("old", expires_at=past)[1])
    assert who(create_api_token("new", expires_at=future)[1]).token_id


def test_a_token_goes_when_its_user_is_no_longer_active() -> None:
    user = User.objects.create_user("ann")
    secret = create_api_token("CI", user=user)[1]
    User.objects.update(is_active=False)
    with pytest.raises(CredentialInvalid):
        who(secret)
    User.objects.update(is_active=True)
    assert who(secret).django_user_id == user.pk
    user.delete()
    with pytest.raises(CredentialInvalid):
        who(secret)


@pytest.mark.parametrize(
    "secret", ["rk_" + "a" * 43, "rks_" + "a" * 43, "x", "%", "rk_' OR 1=1 --"]
)
def test_an_unknown_token_is_refused(secret: str) -> None:
    create_api_token("CI")
    with pytest.raises(CredentialInvalid):
        who(secret)


def test_a_look_up_is_one_statement(django_assert_num_queries: Any) -> None:
    user = User.objects.create_user("ann")
    secret = create_api_token("CI", user=user)[1]
    who(secret)
    with django_assert_num_queries(1):
        who(secret)


def test_last_used_is_written_once_a_minute() -> None:
    token, secret = create_api_token("CI")
    assert token.last_used_at is None
    who(secret)
    last_uses.flush()
    token.refresh_from_db()
    first = token.last_used_at
    who(secret)
    last_uses.flush()
    token.refresh_from_db()
    assert token.last_used_at == first is not None
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    who(secret)
    last_uses.flush()
    token.refresh_from_db()
    assert token.last_used_at is not None and token.last_used_at > first


def test_the_body_of_a_bare_token() -> None:
    token, secret = create_api_token("CI")
    assert user_body(who(secret)) == {
        "id": token.pk,
        "email": None,
        "fullName": "CI",
        "firstName": "",
        "lastName": "",
        "type": "appToken",
    }


# -- the command


def test_createtoken_prints_two_lines() -> None:
    first, second = command("CI")
    token = ApiToken.objects.get()
    assert first == f"id: {token.pk}"
    assert who(second.removeprefix("token: ")) == Identity(token_id=token.pk)


def test_createtoken_takes_an_app_by_id_or_name_and_a_user() -> None:
    app = App.objects.create(name="Directory")
    User.objects.create_user("ann")
    command("one", "--app", str(app.pk))
    command("two", "--app", "Directory", "--user", "ann")
    assert [token.app_id for token in ApiToken.objects.all()] == [app.pk, app.pk]
    assert ApiToken.objects.get(name="two").user == User.objects.get()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("CI", "--app", "None"), "there is no app `None`"),
        (("CI", "--app", "9" * 40), "there is no app"),
        (("CI", "--user", "bob"), "there is no user `bob`"),
        (("CI", "--user", "gone"), "is not active"),
        (("",), "`name`"),
        (("x" * 256,), "`name`"),
    ],
)
def test_createtoken_says_what_is_wrong(args: tuple[str, ...], message: str) -> None:
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError, match=message):
        command(*args)
    assert not ApiToken.objects.exists()


def test_createtoken_lists_the_apps_that_there_are() -> None:
    with pytest.raises(CommandError, match="there are no apps yet"):
        command("CI", "--app", "Shop")
    keys = [App.objects.create(name=f"App {number}").pk for number in range(11)]
    with pytest.raises(CommandError) as raised:
        command("CI", "--app", "Shop")
    assert f"there are {keys[0]} `App 0`, {keys[1]} `App 1`," in str(raised.value)
    assert str(raised.value).endswith("`App 9`, …")


# -- the admin


@pytest.fixture
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("rules.")]


def staff(name: str, *codenames: str, **fields: Any) -> Client:
    user = User.objects.create_user(name, is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


TOKENS = "/admin/rowkeeper_accounts/apitoken/"
FORM = {"name": "CI", "app": "", "user": "", "expires_at_0": "", "expires_at_1": ""}


def test_the_admin_shows_a_new_token_once(site: None) -> None:
    client = staff("root", is_superuser=True)
    response = client.post(TOKENS + "add/", FORM)
    found = re.findall(r"rk_[A-Za-z0-9_-]{43}", response.content.decode())
    token = ApiToken.objects.get()
    assert response.status_code == 200 and len(found) == 1
    assert who(found[0]).token_id == token.pk
    assert "no-store" in response["Cache-Control"]
    html = response.content.decode()
    assert "rowkeeper/admin.css" in html and "rowkeeper-secret" in html and "style=" not in html
    for page in (TOKENS, f"{TOKENS}{token.pk}/change/", f"{TOKENS}{token.pk}/history/"):
        text = client.get(page).content.decode()
        assert found[0] not in text and token.digest not in text
    assert found[0] not in str(list(LogEntry.objects.values())) + str(dict(client.session))


def test_a_delegate_makes_tokens_for_oneself_alone(site: None) -> None:
    root = User.objects.create_superuser("root")
    client = staff("ann", "add_apitoken", "view_apitoken", "change_apitoken")
    response = client.post(TOKENS + "add/", {**FORM, "user": str(root.pk)})
    assert "Select a valid choice" in response.content.decode()
    assert not ApiToken.objects.exists()
    ann = User.objects.get(username="ann")
    assert "rk_" in client.post(TOKENS + "add/", {**FORM, "user": str(ann.pk)}).content.decode()
    token = ApiToken.objects.get()
    assert token.user == ann
    client.post(f"{TOKENS}{token.pk}/change/", {**FORM, "user": str(root.pk), "digest": "0" * 64})
    before = token.digest
    token.refresh_from_db()
    assert (token.user, token.digest) == (ann, before)


def test_a_superuser_makes_tokens_for_others(site: None) -> None:
    ann = User.objects.create_user("ann")
    staff("root", is_superuser=True).post(TOKENS + "add/", {**FORM, "user": str(ann.pk)})
    assert ApiToken.objects.get().user == ann


def test_tokens_are_revoked_and_not_deleted(site: None) -> None:
    token, secret = create_api_token("CI")
    client = staff("root", is_superuser=True)
    picked = {"_selected_action": [str(token.pk)]}
    assert client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(TOKENS, {**picked, "action": "delete_selected", "post": "yes"})
    assert ApiToken.objects.filter(pk=token.pk).exists()
    client.post(TOKENS, {**picked, "action": "revoke"})
    with pytest.raises(CredentialInvalid):
        who(secret)
    assert "revoked" in client.get(TOKENS).content.decode()


def test_a_token_is_revoked_on_its_own_page(site: None) -> None:
    token, secret = create_api_token("CI")
    client = staff("root", is_superuser=True)
    page, revoking = f"{TOKENS}{token.pk}/change/", f"{TOKENS}{token.pk}/revoke/"
    assert revoking in client.get(page).content.decode()
    assert "Are you sure" in client.get(revoking).content.decode()
    assert who(secret).token_id == token.pk
    assert client.post(revoking).headers["Location"] == page
    with pytest.raises(CredentialInvalid):
        who(secret)
    text = client.get(page).content.decode()
    assert "revoked" in text and revoking not in text
    assert LogEntry.objects.get().get_change_message() == "Revoked."
    # Again: nothing to ask, nothing to do.
    assert client.get(revoking).status_code == client.post(revoking).status_code == 302
    assert LogEntry.objects.count() == 1
    assert client.post(f"{TOKENS}{10**30}/revoke/").status_code == 404


def test_the_page_that_revokes_is_for_those_who_may_change(site: None) -> None:
    token, secret = create_api_token("CI")
    client = staff("ann", "view_apitoken")
    address = f"{TOKENS}{token.pk}/revoke/"
    assert client.get(address).status_code == client.post(address).status_code == 403
    assert address not in client.get(f"{TOKENS}{token.pk}/change/").content.decode()
    assert who(secret).token_id == token.pk


def test_who_may_only_look_cannot_revoke(site: None) -> None:
    token, secret = create_api_token("CI")
    client = staff("ann", "view_apitoken")
    client.post(TOKENS, {"_selected_action": [str(token.pk)], "action": "revoke"})
    assert who(secret).token_id == token.pk
    assert client.post(TOKENS + "add/", FORM).status_code == 403


def test_a_user_can_be_deleted_with_the_tokens(site: None) -> None:
    user = User.objects.create_user("ann")
    create_api_token("CI", user=user)
    client = staff("root", is_superuser=True)
    client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.exists()


def test_an_app_in_use_is_not_deleted(site: None) -> None:
    app = App.objects.create(name="Directory")
    create_api_token("CI", app=app)
    client = staff("root", is_superuser=True)
    client.post(f"/admin/rowkeeper_accounts/app/{app.pk}/delete/", {"post": "yes"})
    assert App.objects.exists()
    assert client.get("/admin/rowkeeper_accounts/app/").status_code == 200


def test_sessions_are_seen_and_ended_and_nothing_else(site: None) -> None:
    source = DataSource.objects.create(name="Users")
    entry = Entry.objects.create(data_source=source, data={})
    session = LoginSession.objects.create(
        digest="d" * 64, fingerprint="f" * 64, data_source=source, entry=entry
    )
    url = "/admin/rowkeeper_accounts/loginsession/"
    looker = staff("ann", "view_loginsession")
    client = staff("root", is_superuser=True)
    page = client.get(f"{url}{session.pk}/change/").content.decode()
    assert "d" * 64 not in page and "f" * 64 not in page
    assert client.get(url + "add/").status_code == 403
    assert client.post(f"{url}{session.pk}/change/", {}).status_code == 403
    picked = {"_selected_action": [str(session.pk)], "action": "end"}
    looker.post(url, picked)
    assert LoginSession.objects.exists()
    client.post(url, picked)
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize(
    ("row", "definition", "title"),
    [
        ({"Email": "bob@acme.com", "Name": "Bobby"}, LOGIN, "session of bob@acme.com"),
        ({"Email": 7, "Name": "Bobby"}, LOGIN, "session of entry"),
        ({"Email": "bob@acme.com", "Name": "Bobby"}, {}, "session of entry"),
    ],
)
def test_a_session_is_named_after_the_address(
    site: None, row: dict[str, Any], definition: dict[str, Any], title: str
) -> None:
    source = DataSource.objects.create(name="Users", definition=definition)
    entry = Entry.objects.create(data_source=source, data=row)
    LoginSession.objects.create(digest="d", fingerprint="f", data_source=source, entry=entry)
    client = staff("root", is_superuser=True)
    page = client.get("/admin/rowkeeper_accounts/loginsession/").content.decode()
    assert title in page and "Bobby" not in page


def test_groups_of_delegates_count_too(site: None) -> None:
    group = Group.objects.create(name="Keepers")
    group.permissions.set(Permission.objects.filter(codename="view_apitoken"))
    client = staff("ann")
    assert client.get(TOKENS).status_code == 403
    User.objects.get(username="ann").groups.add(group)
    assert client.get(TOKENS).status_code == 200
