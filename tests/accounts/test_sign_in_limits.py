"""Limits of failed sign-ins: what counts, for whom, and what happens if it cannot be counted."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client, RequestFactory

from rowkeeper.accounts import checks, client
from rowkeeper.accounts.backends import PATH
from rowkeeper.accounts.client import client_address
from rowkeeper.accounts.errors import TooMany
from rowkeeper.accounts.login import throttle
from rowkeeper.accounts.login.devices import COOKIE
from rowkeeper.accounts.models import LoginSession
from rowkeeper.datasources.models import DataSource
from tests.support.calls import Answer, Api, anonymous
from tests.support.people import PASSWORD, sign_in_source

pytestmark = pytest.mark.django_db
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def people() -> DataSource:
    return sign_in_source("People", [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}])


def attempt(
    people: DataSource,
    password: str = PASSWORD,
    email: str = "ann@acme.com",
    address: str = HOME,
    api: Api | None = None,
) -> Answer:
    return (api or anonymous())(
        "POST",
        "session/authorize",
        {
            "passport": "dataSource",
            "dataSourceId": people.pk,
            "where": {"Email": email, "Password": password},
        },
        REMOTE_ADDR=address,
    )


def fail(people: DataSource, times: int, **kwargs: Any) -> list[int]:
    return [attempt(people, "wrong", **kwargs).status for _ in range(times)]


# -- whom failures lock out


def test_failures_elsewhere_do_not_lock_an_account(people: DataSource) -> None:
    for n in range(12):
        assert set(fail(people, 10, address=f"203.0.113.{n}")) == {401}
    assert attempt(people).status == 200


def test_failures_lock_the_account_for_their_network(people: DataSource) -> None:
    assert fail(people, 12) == [401] * 10 + [429] * 2
    assert attempt(people).failure == (429, "request.limited")
    assert attempt(people, email="bob@acme.com").status == 200


def test_successes_do_not_count(people: DataSource) -> None:
    """Behind a proxy that nobody has declared, the whole site has one address."""
    for _ in range(70):
        assert attempt(people).status == 200
    assert LoginSession.objects.count() == 70


def test_a_network_is_locked_after_sixty_failures(people: DataSource) -> None:
    for n in range(60):
        assert fail(people, 1, email=f"{n}@acme.com") == [401]
    assert attempt(people).status == 429
    assert attempt(people, address=ELSEWHERE).status == 200


def test_many_networks_of_one_ipv6_site_share_a_limit(
    people: DataSource, settings: LazySettings
) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "SIGN_IN_ATTEMPTS_PER_ADDRESS": 2}
    for n in range(20):
        assert fail(people, 1, address=f"2001:db8:1:{n:x}::1") == [401]
    assert attempt(people, address="2001:db8:1:ffff::1").status == 429
    assert attempt(people, address="2001:db8:2::1").status == 200


def test_an_attempt_that_fails_for_another_reason_does_not_count(
    people: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("rowkeeper.accounts.login.sign_in._row", fault)
        for _ in range(12):
            assert attempt(people).status == 500
    assert attempt(people).status == 200


# -- a device that is known


def known_device(people: DataSource, email: str = "ann@acme.com") -> Api:
    api = Api(client=Client(raise_request_exception=False))
    assert attempt(people, email=email, api=api).status == 200
    return api


def test_a_known_device_is_not_locked_by_others_of_its_network(people: DataSource) -> None:
    api = known_device(people)
    fail(people, 11)
    for n in range(60):
        fail(people, 1, email=f"{n}@acme.com")
    assert attempt(people).status == 429
    assert attempt(people, api=api).status == 200


def test_a_known_device_has_a_limit_of_its_own_wherever_it_is(people: DataSource) -> None:
    api = known_device(people)
    statuses = [fail(people, 1, address=f"203.0.113.{n}", api=api)[0] for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert attempt(people, api=api).status == 429
    # Its failures do not lock others of the same network.
    assert attempt(people).status == 200


def test_a_device_is_known_for_one_account_only(people: DataSource) -> None:
    """Whoever has an account of their own guesses no faster at that of somebody else."""
    api = known_device(people, "bob@acme.com")
    assert fail(people, 11, api=api) == [401] * 10 + [429]


def test_a_cookie_that_was_made_up_is_none(people: DataSource) -> None:
    api = known_device(people)
    for value in ("", "x", "x" * 5_000, api.client.cookies[COOKIE].value[:-1] + "A", "\0"):
        other = Api(client=Client(raise_request_exception=False))
        other.client.cookies[COOKIE] = value
        fail(people, 3, api=other)
    assert attempt(people).status == 429


def test_the_cookie_is_not_for_scripts_and_no_credential(people: DataSource) -> None:
    api = known_device(people)
    cookie = api.client.cookies[COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert "ann" not in cookie.value
    assert api("GET", "user").status == 401
    assert COOKIE not in attempt(people, "wrong").headers.get("Set-Cookie", "")


# -- at the same time


def test_failures_at_the_same_time_all_count() -> None:
    let_in, barrier = [], threading.Barrier(16)

    def one(n: int) -> None:
        if n < 16:
            barrier.wait()
        try:
            throttle.begin_attempt("somebody", HOME)
        except TooMany:
            return
        let_in.append(n)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(64)))
    assert len(let_in) == 10


def test_refused_and_successful_attempts_leave_nothing() -> None:
    for _ in range(10):
        throttle.begin_attempt("somebody", HOME)
    for _ in range(100):
        with pytest.raises(TooMany):
            throttle.begin_attempt("somebody", HOME)
    for n in range(200):
        throttle.begin_attempt(f"{n}", HOME).succeeded()
    for n in range(50):
        throttle.begin_attempt(f"{n}", HOME)
    with pytest.raises(TooMany):
        throttle.begin_attempt("another", HOME)


# -- the admin


def admin(username: str, password: str, address: str = HOME) -> Any:
    return Client(REMOTE_ADDR=address).post(
        "/admin/login/", {"username": username, "password": password}
    )


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def test_the_admin_has_the_limits_too(root: User) -> None:
    for n in range(10):
        assert admin("root" if n % 2 else " Root ", "wrong").status_code == 200
    response = admin("root", PASSWORD)
    assert response.status_code == 200 and "_auth_user_id" not in response.client.session
    assert "Too many failed attempts. Try again in" in response.text
    assert admin("root", PASSWORD, ELSEWHERE).status_code == 302


def test_a_network_has_one_limit_for_the_admin_and_the_api(root: User, people: DataSource) -> None:
    for n in range(30):
        fail(people, 1, email=f"{n}@acme.com")
        admin(f"user{n}", "wrong")
    assert attempt(people).status == 429
    assert admin("root", PASSWORD).status_code == 200


def test_successes_in_the_admin_do_not_count(root: User) -> None:
    for _ in range(8):
        for _ in range(8):
            admin("root", "wrong")
        assert admin("root", PASSWORD).status_code == 302
        # Otherwise its network is full.
        throttle.reset(throttle.key_of("sign-in:network", HOME, 900))


def test_django_axes_is_left_to_its_work(root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "rowkeeper.accounts.backends.apps.is_installed", lambda name: name == "axes"
    )
    for _ in range(11):
        admin("root", "wrong")
    assert admin("root", PASSWORD).status_code == 302


def test_who_signs_in_without_a_password_is_not_counted(root: User) -> None:
    site = Client()
    for _ in range(12):
        assert not site.login(username="root", password="wrong")
    assert site.login(username="root", password=PASSWORD)
    site.force_login(root)
    assert site.get("/admin/").status_code == 200


# -- a cache that fails


class Down(LocMemCache):
    """A server that does not answer, as seen by a client that raises."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("Connection refused")

    incr = delete = decr = get = add


class Silent(LocMemCache):
    """The same, as seen by one that hides errors, such as django-redis with IGNORE_EXCEPTIONS."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return None

    incr = delete = decr = get = add


class Full(LocMemCache):
    """One that takes nothing."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return False


@pytest.fixture(params=[Down, Silent, Full])
def broken(request: Any, settings: LazySettings) -> type[BaseCache]:
    path = f"{__name__}.{request.param.__name__}"
    settings.CACHES = {**settings.CACHES, "broken": {"BACKEND": path}}
    settings.ROWKEEPER = {**settings.ROWKEEPER, "CACHE": "broken"}
    found: type[BaseCache] = request.param
    return found


def test_without_the_cache_a_sign_in_is_busy(
    broken: type[BaseCache], people: DataSource, caplog: pytest.LogCaptureFixture
) -> None:
    for password in (PASSWORD, "wrong"):
        answer = attempt(people, password)
        assert answer.failure == (503, "server.busy")
        assert int(answer.headers["Retry-After"]) > 0
    assert [record.levelname for record in caplog.records if "cache" in record.message] != []


def test_without_the_cache_nobody_gets_into_the_admin(
    broken: type[BaseCache], root: User, caplog: pytest.LogCaptureFixture
) -> None:
    response = admin("root", PASSWORD)
    assert response.status_code == 200 and "_auth_user_id" not in response.client.session
    assert "not possible at the moment" in response.text
    assert "cache" in caplog.text


def test_a_redis_that_is_down_is_busy(people: DataSource, settings: LazySettings) -> None:
    pytest.importorskip("redis")
    settings.CACHES = {
        **settings.CACHES,
        # Nothing listens there.
        "redis": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        },
    }
    settings.ROWKEEPER = {**settings.ROWKEEPER, "CACHE": "redis"}
    assert attempt(people).failure == (503, "server.busy")


def test_a_redis_that_does_not_answer_is_busy_soon(
    people: DataSource, settings: LazySettings
) -> None:
    """With the options that the site in `project/` gives it."""
    pytest.importorskip("redis")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Connections are taken, and nothing is ever read.
        location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.CACHES = {**settings.CACHES, "silent": site_cache(location)}
        settings.ROWKEEPER = {**settings.ROWKEEPER, "CACHE": "silent"}
        began = time.monotonic()
        assert attempt(people).failure == (503, "server.busy")
        assert time.monotonic() - began < 15


def site_cache(location: str) -> dict[str, Any]:
    """The cache of the site if `REDIS_URL` is set."""
    code = "import json; from project.settings import CACHES; print(json.dumps(CACHES['default']))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "REDIS_URL": location},
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["LOCATION"] == location
    return found


# -- a proxy that is not declared


def test_an_undeclared_proxy_is_logged_once(
    caplog: pytest.LogCaptureFixture, settings: LazySettings
) -> None:
    client._warn_of_undeclared_proxy.cache_clear()
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "192.0.2.1"})
    with caplog.at_level(logging.WARNING, "rowkeeper.accounts"):
        assert {client_address(request) for _ in range(3)} == {"127.0.0.1"}
    [record] = caplog.records
    assert "TRUSTED_PROXIES" in record.message
    client._warn_of_undeclared_proxy.cache_clear()
    settings.ROWKEEPER = {"TRUSTED_PROXIES": 1}
    caplog.clear()
    assert client_address(request) == "192.0.2.1"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_X_FORWARDED_PROTO", "https")),
        ("USE_X_FORWARDED_HOST", True),
        ("USE_X_FORWARDED_PORT", True),
    ],
)
def test_check_of_an_undeclared_proxy(settings: LazySettings, name: str, value: Any) -> None:
    assert checks.check_proxy(None) == []
    setattr(settings, name, value)
    [warning] = checks.check_proxy(None)
    assert warning.id == "rowkeeper.W032" and name in warning.msg
    settings.ROWKEEPER = {"TRUSTED_PROXIES": 1}
    assert checks.check_proxy(None) == []


# -- system checks


def test_check_of_the_admin_s_sign_in(settings: LazySettings) -> None:
    assert checks.check_sign_in_of_django_users(None) == []
    for backends in (
        [name for name in settings.AUTHENTICATION_BACKENDS if name != PATH],
        [*(name for name in settings.AUTHENTICATION_BACKENDS if name != PATH), PATH],
    ):
        settings.AUTHENTICATION_BACKENDS = backends
        [warning] = checks.check_sign_in_of_django_users(None)
        assert warning.id == "rowkeeper.W031" and PATH in str(warning.hint)


DJANGO = "django.core.cache.backends"


@pytest.mark.parametrize(
    ("backend", "workers", "expected"),
    [
        ("dummy.DummyCache", "", ["rowkeeper.W033"]),
        ("locmem.LocMemCache", "", ["rowkeeper.I035"]),
        ("locmem.LocMemCache", "1", ["rowkeeper.I035"]),
        ("locmem.LocMemCache", "4", ["rowkeeper.W035"]),
        ("filebased.FileBasedCache", "", ["rowkeeper.W034"]),
        ("db.DatabaseCache", "", ["rowkeeper.W034"]),
        ("redis.RedisCache", "4", []),
        ("memcached.PyMemcacheCache", "4", []),
        ("nothing.SuchCache", "", []),
    ],
)
def test_check_of_caches(
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    workers: str,
    expected: list[str],
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    settings.CACHES = {"default": {"BACKEND": f"{DJANGO}.{backend}"}}
    found = [*checks.check_cache_counts(None), *checks.check_cache_is_shared(None)]
    assert [message.id for message in found] == expected
