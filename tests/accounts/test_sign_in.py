"""Signing in against a data source: right, wrong, too often; and how a session ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from rowkeeper.accounts.authentication import identify
from rowkeeper.accounts.client import client_address
from rowkeeper.accounts.errors import CredentialInvalid, TooMany
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.login import counters
from rowkeeper.accounts.login.sign_in import SignedIn, authorize, sign_out
from rowkeeper.accounts.login.throttle import begin_attempt
from rowkeeper.accounts.models import App, LoginSession
from rowkeeper.accounts.profile import user_body, visible_columns
from rowkeeper.accounts.providers.last_use import last_uses
from rowkeeper.accounts.tokens import create_api_token, digest
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource, Entry

pytestmark = pytest.mark.django_db
LOGIN = {"emailColumn": "Email", "passwordColumn": "Password"}


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def source() -> DataSource:
    return DataSource.objects.create(
        name="Users",
        app=App.objects.create(name="Directory"),
        columns=["Email", "Password", "Role"],
        definition={"login": LOGIN},
        secret_columns=["Password"],
    )


@pytest.fixture
def ann(source: DataSource) -> Entry:
    return add(source, Email="Ann@Acme.com", Password=make_password("s3cret"), Role="Admin")


def add(source: DataSource, **data: Any) -> Entry:
    return Entry.objects.create(data_source=source, data=data)


def body(
    email: Any = "ann@acme.com", password: Any = "s3cret", name: Any = "Users", **more: Any
) -> dict[str, Any]:
    where = {"Email": email, "Password": password}
    return {"passport": "dataSource", "dataSourceName": name, "where": where, **more}


def sign_in(*args: Any, address: str = "1.2.3.4", **kwargs: Any) -> SignedIn:
    return authorize(body(*args, **kwargs), address)


def request_of(signed_in: SignedIn) -> HttpRequest:
    return RequestFactory().get("/v1/user", headers={"Auth-token": signed_in.secret})


def who(signed_in: SignedIn) -> Identity:
    return identify(request_of(signed_in))


# -- right


def test_the_identity_of_a_session(source: DataSource, ann: Entry) -> None:
    signed_in = sign_in()
    assert signed_in.secret.startswith("rks_")
    assert (signed_in.entry_id, signed_in.source.id) == (ann.pk, source.pk)
    assert (
        who(signed_in)
        == signed_in.identity
        == Identity(
            user={"Email": "Ann@Acme.com", "Role": "Admin", "ID": ann.pk, "Source": "Users"},
            app_id=source.app_id,
            source_id=source.pk,
            entry_id=ann.pk,
        )
    )
    stored = LoginSession.objects.values().get()
    assert stored["digest"] == digest(signed_in.secret)
    assert signed_in.secret not in str(stored) and ann.data["Password"] not in str(stored)


def test_by_number_or_by_name(source: DataSource, ann: Entry) -> None:
    where = {"Password": "s3cret", "Email": "ann@acme.com"}
    found = authorize(
        {"passport": "dataSource", "dataSourceId": source.pk, "where": where, "extra": 1}, ""
    )
    assert found.entry_id == ann.pk


@pytest.mark.parametrize("email", ["ANN@ACME.COM", "  ann@acme.com\t", "Ann@acme.Com"])
def test_case_and_outer_blanks_of_an_address_do_not_count(ann: Entry, email: str) -> None:
    assert sign_in(email).entry_id == ann.pk


def test_blanks_and_case_of_a_password_count(ann: Entry) -> None:
    for password in ("s3cret ", " s3cret", "S3cret"):
        with pytest.raises(CredentialInvalid):
            sign_in("ann@acme.com", password)


def test_the_server_says_who_it_is(source: DataSource) -> None:
    entry = add(source, Email="a@b", Password=make_password("x"), ID="1", Source="django", Staff=1)
    user = sign_in("a@b", "x").identity.user
    assert user == {"Email": "a@b", "Staff": 1, "ID": entry.pk, "Source": "Users"}


def test_a_session_look_up_is_one_statement(ann: Entry, django_assert_num_queries: Any) -> None:
    signed_in = sign_in()
    with django_assert_num_queries(1):
        who(signed_in)


def test_every_secret_column_is_left_out(source: DataSource, ann: Entry) -> None:
    signed_in = sign_in()
    DataSource.objects.update(secret_columns=["Password", "Role"])
    assert who(signed_in).user == {"Email": "Ann@Acme.com", "ID": ann.pk, "Source": "Users"}
    DataSource.objects.update(secret_columns=[])
    user = who(signed_in).user
    assert user is not None and "Password" not in user


def test_what_a_client_is_told(source: DataSource) -> None:
    add(
        source,
        **{"Email": "a@b", "Password": make_password("x"), "First Name": "Ann", "Clearance": 9},
    )
    login = {**LOGIN, "sessionColumns": ["First Name", "Password", "None"]}
    DataSource.objects.update(definition={"login": login})
    signed_in = sign_in("a@b", "x")
    told = visible_columns(signed_in.identity, signed_in.login, {"Office": "Oslo"})
    assert told == {"Email": "a@b", "First Name": "Ann", "Office": "Oslo"}
    assert user_body(signed_in.identity, signed_in.login) == {
        "id": signed_in.entry_id,
        "email": "a@b",
        "fullName": "Ann",
        "firstName": "Ann",
        "lastName": "",
        "type": "dataSource",
    }


# -- the shape comes first


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        {**body(), "passport": "saml"},
        {**body(), "where": None},
        {**body(), "where": {"Email": "a"}},
        {**body(), "where": {"Email": "a", "Password": "b", "Role": "Admin"}},
        body(email=None),
        body(password=1),
        body(email={"$ne": ""}),
        body(password={"$like": "%"}),
        body(email=["ann@acme.com"]),
        body(email="a\0"),
        body(email="\ud800"),
        body(password="x" * 5_000),
        body(name=5),
        body(name=None),
        {**body(), "dataSourceId": 1},
        {**body(name=None), "dataSourceId": "1"},
        {**body(name=None), "dataSourceId": True},
    ],
)
def test_a_malformed_body_names_the_place_and_counts_as_no_attempt(ann: Entry, bad: Any) -> None:
    for _ in range(70):
        with pytest.raises(Malformed, match=r"`|body"):
            authorize(bad, "1.2.3.4")
    assert sign_in()


# -- wrong


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that is hashed; a hash is what takes the time."""
    seen: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        seen.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    return seen


def twice(source: DataSource) -> None:
    add(source, Email=" ANN@acme.com", Password=make_password("other"))


def no_login(source: DataSource) -> None:
    DataSource.objects.update(definition={})


def no_hash(source: DataSource) -> None:
    Entry.objects.update(data={"Email": "ann@acme.com", "Password": "s3cret"})


def broken_hash(source: DataSource) -> None:
    Entry.objects.update(data={"Email": "ann@acme.com", "Password": "md5$"})


def unusable(source: DataSource) -> None:
    Entry.objects.update(data={"Email": "ann@acme.com", "Password": make_password(None)})


def number(source: DataSource) -> None:
    Entry.objects.update(data={"Email": "ann@acme.com", "Password": 1})


def missing(source: DataSource) -> None:
    Entry.objects.update(data={"Email": "ann@acme.com"})


def other_columns(source: DataSource) -> None:
    DataSource.objects.update(definition={"login": {**LOGIN, "emailColumn": "Role"}})


def elsewhere(source: DataSource) -> None:
    Entry.objects.update(data_source=DataSource.objects.create(name="Other"))


def nothing(source: DataSource) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (nothing, body(password="wrong")),
        (nothing, body(password="")),
        (nothing, body(email="bob@acme.com")),
        (nothing, body(email="")),
        (nothing, body(email="%")),
        (nothing, body(email="%acme%")),
        (nothing, body(email="nn@acme.co")),
        (nothing, body(name="None")),
        (nothing, body(name="users")),
        (nothing, {**body(name=None), "dataSourceId": 0}),
        (nothing, {**body(name=None), "dataSourceId": 2**70}),
        (nothing, {**body(), "where": {"Email": "ann@acme.com", "password": "s3cret"}}),
        (nothing, {**body(), "where": {"Role": "Admin", "Password": "s3cret"}}),
        (twice, body()),
        (no_login, body()),
        (no_hash, body()),
        (broken_hash, body()),
        (broken_hash, body(password="")),
        (unusable, body()),
        (number, body(password="1")),
        (missing, body()),
        (missing, body(password="")),
        (other_columns, body()),
        (elsewhere, body()),
    ],
)
def test_whatever_is_wrong_answers_alike_in_the_same_time(
    source: DataSource,
    ann: Entry,
    hashes: list[str],
    change: Callable[[DataSource], None],
    sent: dict[str, Any],
) -> None:
    change(source)
    hashes.clear()
    with pytest.raises(CredentialInvalid) as failure:
        authorize(sent, "1.2.3.4")
    assert failure.value.message == "the email address or the password is incorrect"
    assert len(hashes) == 1
    assert not LoginSession.objects.exists()


def test_the_right_password_takes_one_hash_too(ann: Entry, hashes: list[str]) -> None:
    sign_in()
    assert len(hashes) == 1


# -- too often


def fail(times: int = 1, **kwargs: Any) -> None:
    for _ in range(times):
        with pytest.raises(CredentialInvalid):
            sign_in(password="wrong", **kwargs)


def test_an_account_is_closed_after_ten_failures_from_one_network(ann: Entry) -> None:
    for n in range(10):
        fail(email=" ANN@acme.com " if n % 2 else "ann@acme.com", address=f"2001:db8::{n}")
    with pytest.raises(TooMany) as failure:
        sign_in(address="2001:db8::99")
    assert 1 <= failure.value.retry_after <= 901


def test_by_number_and_by_name_is_one_account(source: DataSource, ann: Entry) -> None:
    fail(5)
    by_number = {**body(password="wrong", name=None), "dataSourceId": source.pk}
    for _ in range(5):
        with pytest.raises(CredentialInvalid):
            authorize(by_number, "1.2.3.4")
    with pytest.raises(TooMany):
        sign_in()


@pytest.mark.parametrize("wrong", [{"email": "bob@acme.com"}, {"name": "None"}])
def test_what_does_not_exist_is_limited_alike(ann: Entry, wrong: dict[str, str]) -> None:
    fail(10, **wrong)
    with pytest.raises(TooMany):
        sign_in(password="wrong", **wrong)


def test_an_address_is_closed_after_sixty_attempts_on_many_accounts(ann: Entry) -> None:
    for n in range(60):
        fail(email=f"{n}@acme.com")
    with pytest.raises(TooMany):
        sign_in()
    assert sign_in(address="4.3.2.1")


def test_who_is_over_the_limit_does_not_close_accounts(ann: Entry) -> None:
    for n in range(60):
        fail(email=f"{n}@acme.com")
    for _ in range(20):
        with pytest.raises(TooMany):
            sign_in()
    assert sign_in(address="4.3.2.1")


def test_signing_in_clears_the_account_and_not_the_failures_of_the_network(ann: Entry) -> None:
    for _ in range(6):
        fail(9)
        sign_in()
    for n in range(6):
        fail(email=f"{n}@acme.com")
    with pytest.raises(TooMany):
        sign_in()
    assert sign_in(address="4.3.2.1")


def test_the_limit_ends_when_it_says(ann: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000_000.5
    monkeypatch.setattr(counters, "now", lambda: now)
    fail(10)
    with pytest.raises(TooMany) as failure:
        sign_in()
    now += failure.value.retry_after
    assert sign_in()


def test_no_password_is_looked_at_beyond_the_limit(ann: Entry, hashes: list[str]) -> None:
    fail(10)
    hashes.clear()
    with pytest.raises(TooMany):
        sign_in()
    assert hashes == []


def test_attempts_at_the_same_time_all_count() -> None:
    let_in, barrier = [], threading.Barrier(16)

    def attempt(n: int) -> None:
        if n < 16:
            barrier.wait()
        try:
            begin_attempt("somebody", f"2001:db8::{n % 8}")
        except TooMany:
            return
        let_in.append(n)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(64)))
    assert len(let_in) == 10


# -- the client's address


def address_of(forwarded: str | None, remote: str = "10.0.0.1") -> str:
    request = RequestFactory().get("/", REMOTE_ADDR=remote)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return client_address(request)


def test_a_forged_header_is_not_read_without_a_proxy() -> None:
    assert address_of("6.6.6.6") == address_of(None) == "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (1, "1.2.3.4", "1.2.3.4"),
        (1, "6.6.6.6,7.7.7.7 , 1.2.3.4:5678", "1.2.3.4"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (2, "1.2.3.4", "10.0.0.1"),
        (1, "6.6.6.6, unknown", "10.0.0.1"),
        (1, "6.6.6.6,", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, None, "10.0.0.1"),
    ],
)
def test_only_what_trusted_proxies_appended_is_believed(
    settings: Any, proxies: int, forwarded: str | None, expected: str
) -> None:
    settings.ROWKEEPER = {"TRUSTED_PROXIES": proxies}
    assert address_of(forwarded) == expected


def test_a_network_of_one_subscriber_is_one_client() -> None:
    for n in range(60):
        begin_attempt(f"account {n}", f"2001:db8:1:2::{n:x}")
    with pytest.raises(TooMany):
        begin_attempt("another", "2001:db8:1:2:ffff::1")
    begin_attempt("another", "2001:db8:1:3::1")


def test_an_ipv4_address_in_ipv6_is_itself() -> None:
    for n in range(60):
        begin_attempt(f"account {n}", "::ffff:1.2.3.4" if n % 2 else "1.2.3.4")
    with pytest.raises(TooMany):
        begin_attempt("another", "1.2.3.4")
    begin_attempt("another", "::ffff:1.2.3.5")


# -- the end of a session


def change(entry: Entry, **data: Any) -> None:
    entry.data = {**entry.data, **data}
    entry.save()


def assert_ended(signed_in: SignedIn) -> None:
    with pytest.raises(CredentialInvalid):
        who(signed_in)


def test_it_survives_edits_and_sees_them_at_once(ann: Entry) -> None:
    signed_in = sign_in()
    change(ann, Role="Guest", Email=" ANN@acme.com ")
    user = who(signed_in).user
    assert user is not None and user["Role"] == "Guest"
    DataSource.objects.update(name="People", app=None)
    identity = who(signed_in)
    assert identity.user is not None
    assert (identity.user["Source"], identity.app_id) == ("People", None)


@pytest.mark.parametrize(
    "data",
    [
        {"Email": "bob@acme.com"},
        {"Email": None},
        {"Email": ["Ann@Acme.com"]},
        {"Password": "md5$x$y"},
        {"Password": ""},
        {"Password": None},
    ],
)
def test_it_ends_with_the_address_and_the_password(ann: Entry, data: dict[str, Any]) -> None:
    signed_in = sign_in()
    change(ann, **data)
    assert_ended(signed_in)


def test_the_same_password_set_anew_ends_it(ann: Entry) -> None:
    signed_in = sign_in()
    change(ann, Password=make_password("s3cret"))
    assert_ended(signed_in)
    assert sign_in()


def test_it_ends_with_the_row_and_the_data_source(source: DataSource, ann: Entry) -> None:
    first = sign_in()
    Entry.objects.update(data_source=DataSource.objects.create(name="Other"))
    assert_ended(first)
    Entry.objects.update(data_source=source)
    assert who(first)
    ann.delete()
    assert_ended(first)
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize(
    "definition",
    [{}, {"login": None}, {"login": {}}, {"login": {**LOGIN, "passwordColumn": "Role"}}],
)
def test_it_ends_when_its_source_is_no_longer_one(ann: Entry, definition: dict[str, Any]) -> None:
    signed_in = sign_in()
    DataSource.objects.update(definition=definition)
    assert_ended(signed_in)


def test_it_ends_when_idle(ann: Entry) -> None:
    signed_in = sign_in()
    LoginSession.objects.update(last_seen_at=timezone.now() - timedelta(days=29))
    assert who(signed_in)
    last_uses.flush()
    seen = LoginSession.objects.get().last_seen_at
    assert timezone.now() - seen < timedelta(seconds=30)
    who(signed_in)
    last_uses.flush()
    assert LoginSession.objects.get().last_seen_at == seen
    LoginSession.objects.update(last_seen_at=timezone.now() - timedelta(days=30, seconds=1))
    assert_ended(signed_in)
    sign_in()
    assert LoginSession.objects.count() == 1


def test_a_setting_says_how_long(ann: Entry, settings: Any) -> None:
    signed_in = sign_in()
    settings.ROWKEEPER = {"SESSION_IDLE_DAYS": 1}
    LoginSession.objects.update(last_seen_at=timezone.now() - timedelta(days=2))
    assert_ended(signed_in)


def test_signing_out_ends_the_session_presented_alone(ann: Entry) -> None:
    first, second = sign_in(), sign_in()
    sign_out(request_of(first))
    assert_ended(first)
    assert who(second)


def test_signing_out_leaves_an_api_token_as_it_is() -> None:
    secret = create_api_token("CI")[1]
    request = RequestFactory().post("/", headers={"Auth-token": secret})
    sign_out(request)
    assert identify(request).token_id


def test_signing_out_of_the_site(client: Any) -> None:
    request = RequestFactory().post("/")
    client.force_login(User.objects.create_user("ann"))
    request.session, request.user = client.session, User.objects.get()
    sign_out(request)
    assert not request.user.is_authenticated
    assert not request.session.keys()
