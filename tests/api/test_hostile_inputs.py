"""What nobody sends by accident: a clear answer to each, nothing stored, and the next request is
answered as ever. `benchmarks.hostile` asks the same of a real server, with a clock.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from rowkeeper.datasources.models import DataSource
from tests.reference.hostile_inputs import Case, at_place, cases, places, rows
from tests.support import calls
from tests.support.calls import OPEN, Answer, Api, Place, place
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    """So that no attempt to sign in is one too many."""
    cache.clear()


@pytest.fixture
def things() -> Place:
    sign_in_source("People", [{"Email": "ann@acme.com"}])
    return place([OPEN], rows(3))


@pytest.fixture
def api() -> Api:
    return calls.superuser()


def ask(api: Api, there: Place, case: Case) -> Answer:
    path = case.path_in({"source": there.model.pk, "entry": there.ids[0]})
    return api(case.method, path, raw=case.body)


def state(there: Place) -> Any:
    """All that a request could have changed."""
    return there.stored, list(
        DataSource.objects.order_by("id").values_list("name", "columns", "definition", "updated_at")
    )


def check(api: Api, there: Place, case: Case) -> None:
    before = state(there)
    answer = ask(api, there, case)
    assert answer.status in case.status, (case.says, answer.text[:300])
    if answer.status >= 400:
        message = answer.json["message"]
        assert case.told in message, (case.says, message)
        # Short, and fit to be shown: what was sent is quoted no longer than it has to be.
        assert len(message) < 400 or answer.json["type"] == "datasource.access", case.says
        assert "\0" not in message and message.isprintable(), (case.says, message)
    if case.finds is not None:
        assert [row["A"] for row in answer.rows] == case.finds, case.says
    assert state(there) == before, case.says
    honest = api("POST", f"{there.data}/query", {"where": {"A": "a1"}, "attributes": ["A"]})
    assert honest.rows == [{"A": "a1"}], case.says


@pytest.mark.parametrize("there", places(), ids=lambda there: there["says"])
def test_what_nothing_takes_is_refused_wherever_it_stands(
    things: Place, api: Api, there: dict[str, Any]
) -> None:
    for case in at_place(there):
        cache.clear()
        check(api, things, case)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.says)
def test_each_has_a_clear_answer(things: Place, api: Api, case: Case) -> None:
    check(api, things, case)


def test_the_cases_have_names_of_their_own() -> None:
    for names in ([case.says for case in cases()], [there["says"] for there in places()]):
        assert len(names) == len(set(names))
