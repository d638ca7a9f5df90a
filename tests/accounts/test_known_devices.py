"""What known devices and right passwords allow: no more guesses, and no more of the processor."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import make_password
from django.test import Client

from rowkeeper.accounts.errors import TooMany
from rowkeeper.accounts.login import sign_in as sign_in_module
from rowkeeper.accounts.login import throttle
from rowkeeper.accounts.login.devices import COOKIE
from rowkeeper.datasources.models import DataSource, Entry
from tests.support.calls import Api
from tests.support.people import PASSWORD, sign_in_source

pytestmark = pytest.mark.django_db
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def people(settings: LazySettings) -> DataSource:
    settings.ROWKEEPER = {
        **settings.ROWKEEPER,
        "SIGN_IN_ATTEMPTS_PER_ACCOUNT": 2,
        "SIGN_IN_ATTEMPTS_PER_ADDRESS": 4,
    }
    rows = [{"Email": f"{n}@acme.com"} for n in range(6)]
    return sign_in_source("People", rows)


def attempt(
    people: DataSource,
    password: str = PASSWORD,
    cookie: str = "",
    email: str = "0@acme.com",
    address: str = HOME,
) -> tuple[int, str]:
    """The status, and the cookie of the device."""
    api = Api(client=Client(raise_request_exception=False))
    if cookie:
        api.client.cookies[COOKIE] = cookie
    where = {"Email": email, "Password": password}
    body = {"passport": "dataSource", "dataSourceId": people.pk, "where": where}
    answer = api("POST", "session/authorize", body, REMOTE_ADDR=address)
    return answer.status, api.client.cookies[COOKIE].value if COOKIE in api.client.cookies else ""


def cookies(people: DataSource, count: int, email: str = "0@acme.com") -> list[str]:
    return [attempt(people, email=email)[1] for _ in range(count)]


def guess(people: DataSource, cookies: list[str], **more: Any) -> Counter[int]:
    """Two wrong passwords with each cookie."""
    return Counter(
        attempt(people, "wrong", cookie, **more)[0] for cookie in cookies for _ in range(2)
    )


def test_many_devices_of_one_account_share_a_limit(people: DataSource) -> None:
    assert guess(people, cookies(people, 15)) == {401: 10, 429: 20}
    # Others are not locked by that.
    assert attempt(people, email="1@acme.com")[0] == 200


def test_many_devices_of_one_network_share_a_limit(people: DataSource) -> None:
    found = Counter[int]()
    for n in range(4):
        email = f"{n}@acme.com"
        found += guess(people, cookies(people, 5, email), email=email)
    assert found == {401: 20, 429: 20}
    known = cookies(people, 1, "5@acme.com")[0]
    assert attempt(people, cookie=known, email="5@acme.com")[0] == 429
    assert attempt(people, cookie=known, email="5@acme.com", address=ELSEWHERE)[0] == 200


def test_a_success_takes_an_attempt_back_from_all_of_them(people: DataSource) -> None:
    known = cookies(people, 1)[0]
    for _ in range(30):
        assert attempt(people, cookie=known)[0] == 200


def test_devices_are_forgotten_when_the_password_is_changed(people: DataSource) -> None:
    known = cookies(people, 1)[0]
    entry = Entry.objects.get(data__Email="0@acme.com")
    entry.data["Password"] = make_password("another")
    entry.save()
    assert guess(people, [known]) == {401: 2}
    # They count as those of a device that is not known.
    assert attempt(people, "another")[0] == 429
    assert attempt(people, "another", address=ELSEWHERE)[0] == 200


def test_right_passwords_are_bounded_as_well(
    people: DataSource, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "SIGN_IN_PASSWORDS_PER_ADDRESS": 7}
    hashes = []
    compare = sign_in_module.check_password

    def counted(*args: Any) -> bool:
        hashes.append(args)
        return bool(compare(*args))

    monkeypatch.setattr(sign_in_module, "check_password", counted)
    statuses = Counter(attempt(people)[0] for _ in range(20))
    assert statuses == {200: 7, 429: 13}
    assert len(hashes) == 7
    assert attempt(people, address=ELSEWHERE)[0] == 200


def test_each_spelling_of_a_password_counts(people: DataSource, settings: LazySettings) -> None:
    settings.ROWKEEPER = {
        **settings.ROWKEEPER,
        "SIGN_IN_PASSWORDS_PER_ADDRESS": 3,
        "SIGN_IN_ATTEMPTS_PER_ADDRESS": 60,
    }
    assert attempt(people, "e\u0301")[0] == 401
    assert attempt(people, "e\u0301")[0] == 429


def test_attempts_over_another_limit_do_not_use_up_the_passwords_of_a_network(
    people: DataSource, settings: LazySettings
) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "SIGN_IN_PASSWORDS_PER_ADDRESS": 5}
    for _ in range(20):
        attempt(people, "wrong")
    assert attempt(people, email="1@acme.com")[0] == 200


def test_passwords_at_the_same_time_all_count(settings: LazySettings) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "SIGN_IN_PASSWORDS_PER_ADDRESS": 9}
    let_in, barrier = [], threading.Barrier(16)

    def one(n: int) -> None:
        if n < 16:
            barrier.wait()
        try:
            throttle.begin_attempt(f"somebody {n}", HOME).succeeded()
        except TooMany:
            return
        let_in.append(n)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(64)))
    assert len(let_in) == 9


def test_the_networks_of_one_ipv6_site_share_a_limit_of_passwords(settings: LazySettings) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "SIGN_IN_PASSWORDS_PER_ADDRESS": 2}
    for n in range(20):
        throttle.begin_attempt(f"{n}", f"2001:db8:1:{n:x}::1").succeeded()
    with pytest.raises(TooMany):
        throttle.begin_attempt("another", "2001:db8:1:ffff::1")
