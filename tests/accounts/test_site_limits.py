"""Limits for the /48 of IPv6 addresses, of which one subscriber has 65,536 networks."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client, override_settings

from rowkeeper.accounts.errors import TooMany
from rowkeeper.accounts.login.throttle import SITE_FACTOR, count_passwords
from rowkeeper.datasources.database import waiting
from rowkeeper.datasources.store import PAGE
from tests.support.calls import OPEN, data_source


@pytest.mark.django_db
def test_passwords_are_counted_for_a_site(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_PASSWORDS_PER_ADDRESS": 30}
    for network in range(SITE_FACTOR):
        count_passwords(30, f"2001:db8:7:{network:x}::1")
    with pytest.raises(TooMany):
        count_passwords(1, "2001:db8:7:ffff::1")
    # Another site, and IPv4.
    count_passwords(30, "2001:db8:8::1")
    count_passwords(30, "203.0.113.77")


@pytest.mark.django_db(transaction=True)
def test_long_answers_to_the_networks_of_a_site_leave_some_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LONGEST", 0.01)
    models = [data_source(f"S{n}", ["A"], [{"A": 1}] * (PAGE + 1), [OPEN]) for n in range(4)]
    unread: list[Any] = []

    def ask(number: int, address: str) -> int:
        url = f"/v1/data-sources/{models[number].pk}/data"
        response: Any = Client(REMOTE_ADDR=address).get(url)
        unread.append(response)
        return int(response.status_code)

    with override_settings(ROWKEEPER={**django_settings.ROWKEEPER, "HELD_THREADS": 4}):
        statuses = [ask(n, f"2001:db8:7:{n}::1") for n in range(4)]
        assert statuses == [200, 200, 200, 503]
        assert ask(3, "203.0.113.2") == 200
        for response in unread:
            response.close()
    assert not waiting._taken
