"""The ids of denials: they say nothing about a data source that the caller may not know of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from rowkeeper.rules.decision_log import events
from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.models import LoggedDecision, LoggedRefusal
from tests.support import calls
from tests.support.calls import Api, Place, place

pytestmark = pytest.mark.django_db

LIMIT = 3
CALLERS: dict[str, Callable[[], Api]] = {
    "anonymous": calls.anonymous,
    "token": lambda: calls.bare_token()[1],
}


@pytest.fixture(autouse=True)
def _one_minute(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty journal with a low limit, and a clock that stands still."""
    settings.ROWKEEPER = {
        **settings.ROWKEEPER,
        "DECISION_LOG_GRANTS": 0,
        "DECISION_LOG_PER_MINUTE": LIMIT,
    }
    now = timezone.now()
    monkeypatch.setattr(events, "timezone", SimpleNamespace(now=lambda: now))
    journal.reset()
    yield
    journal.reset()


@pytest.fixture
def hidden() -> Place:
    return place([], [{"A": 1}], name="Hidden")


@pytest.fixture
def shown() -> Place:
    return place([{"type": ["select"], "allow": "all"}], [{"A": 1}], name="Shown")


def direct(api: Api, name: str) -> str:
    """The id of the denial of a read."""
    answer = api("GET", f"data-sources/{name}/data")
    assert answer.status in (400, 401)
    return answer.request_id


def joined(api: Api, shown: Place, name: str) -> str:
    """The id of the denial of a read that joins the data source."""
    on = {"dataSourceName": name, "on": {"A": "A"}}
    answer = api("POST", f"{shown.data}/query", {"join": {"j": on}})
    assert answer.status in (400, 401)
    return answer.request_id


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("flooded", ["Nope", "Hidden"])
def test_a_flood_gives_hidden_and_absent_sources_one_id(
    caller: str, flooded: str, hidden: Place
) -> None:
    api = CALLERS[caller]()
    single = {direct(api, flooded) for _ in range(LIMIT)}
    assert len(single) == LIMIT
    counted = {direct(api, name) for name in ("Absent", "Hidden", "Nope", "Hidden", "Absent")}
    assert len(counted) == 1 and not counted & single


@pytest.mark.parametrize("caller", CALLERS)
def test_a_join_of_a_hidden_source_has_the_ids_of_an_absent_one(
    caller: str, hidden: Place, shown: Place
) -> None:
    api = CALLERS[caller]()
    assert len({joined(api, shown, "Absent") for _ in range(LIMIT)}) == LIMIT
    counted = {joined(api, shown, name) for name in ("Absent", "Hidden", "Absent", "Hidden")}
    assert len(counted) == 1


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", ["Absent", "Hidden"])
def test_a_join_uses_up_no_limit_that_direct_denials_show(
    caller: str, name: str, hidden: Place, shown: Place
) -> None:
    api = CALLERS[caller]()
    for _ in range(LIMIT + 2):
        joined(api, shown, name)
    # None of these is counted with an earlier one.
    assert len({direct(api, each) for each in ("Absent", "Hidden", "Nope")}) == LIMIT


def test_the_log_still_names_the_hidden_source(hidden: Place) -> None:
    api = CALLERS["token"]()
    ids = [direct(api, "Hidden") for _ in range(LIMIT + 2)]
    journal.flush()
    listed = LoggedDecision.objects.filter(data_source=hidden.model).order_by("id")
    assert [line.request_id for line in listed] == ids[:LIMIT]
    [counted] = LoggedRefusal.objects.all()
    assert (counted.request_id, counted.count, counted.status) == (ids[-1], 2, 400)
