"""How many SQL statements a request costs: few, and the same few however many rows there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import calls
from tests.support.calls import OPEN, Api, Place, fill, place
from tests.support.people import LOGIN

pytestmark = pytest.mark.django_db

GUARDED = {**OPEN, "exclude": ["Salary"]}
MANY = 1_000


def statements(ask: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        ask()
    return [query["sql"] for query in captured.captured_queries]


@pytest.fixture
def things() -> Place:
    return place([GUARDED], [{"N": n, "Salary": n} for n in range(50)])


QUERIES: dict[str, dict[str, Any]] = {
    "one row": {"where": {"N": 7}},
    "all rows": {},
    "with the total": {"includePagination": True, "limit": 10},
    "with the total of all": {"includePagination": True},
    "a count": {"countOnly": True},
    "sorted": {"order": [["N", "DESC"], ["createdAt", "ASC"]], "limit": 5, "offset": 5},
    "some columns": {"attributes": ["id", "N"]},
    "a larger where": {"where": {"$or": [{"N": {"$gt": 3}}, {"N": {"$in": [1, 2]}}]}},
}
CALLERS: dict[str, Callable[[], Api]] = {
    "token": lambda: calls.bare_token()[1],
    "session": calls.person,
}


@pytest.mark.parametrize("by", ["number", "name"])
@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("body", QUERIES.values(), ids=QUERIES)
def test_a_guarded_select_costs_three_statements_at_most(
    things: Place, body: dict[str, Any], who: str, by: str
) -> None:
    api = CALLERS[who]()
    path = things.data if by == "number" else "data-sources/Things/data"
    api("POST", f"{path}/query", body)
    found = statements(lambda: api("POST", f"{path}/query", body))
    assert len(found) <= 3, found


@pytest.mark.parametrize("who", CALLERS)
def test_the_other_reads_cost_no_more(things: Place, who: str) -> None:
    api = CALLERS[who]()
    for path in (things.data, f"{things.data}/{things.ids[0]}", f"{things.url}/indexes/N"):
        api("GET", path)
        found = statements(lambda path=path: api("GET", path))  # type: ignore[misc]
        assert len(found) <= 3, found


def test_without_a_credential_it_is_one_less(things: Place) -> None:
    api = calls.anonymous()
    api("POST", f"{things.data}/query", {})
    assert len(statements(lambda: api("POST", f"{things.data}/query", {}))) <= 2


def test_the_first_request_after_a_change_of_the_rules_reads_them_once(things: Place) -> None:
    api = calls.bare_token()[1]
    api("GET", things.data)
    calls.superuser()("PUT", things.url, {"accessRules": [OPEN]})
    first = len(statements(lambda: api("GET", things.data)))
    second = len(statements(lambda: api("GET", things.data)))
    assert second <= 3 and first == second + 1


def test_a_denial_costs_no_more_than_an_answer(things: Place) -> None:
    api = calls.bare_token()[1]
    for path in (f"{things.data}/query", "data-sources/Absent/data/query"):
        body = {"where": {"Salary": 1}}
        api("POST", path, body)
        found = statements(lambda path=path, body=body: api("POST", path, body))  # type: ignore[misc]
        assert len(found) <= 2


def test_the_sites_own_users_cost_a_few_more(things: Place) -> None:
    api = calls.on_site(calls.django_user())
    api("POST", f"{things.data}/query", {})
    found = statements(lambda: api("POST", f"{things.data}/query", {}))
    # Django reads its session and its user, before anybody asks us.
    own = [sql for sql in found if "django_session" not in sql and 'FROM "auth_user"' not in sql]
    assert len(own) <= 3 and len(found) <= 5, found


# -- writes: the same few, ten rows or a thousand


def insert_many(api: Api, there: Place, ids: list[int]) -> Any:
    rows = [{"N": -n, "New": n} for n in range(len(ids))]
    return api("POST", there.data, {"append": True, "entries": rows})


def replace_all(api: Api, there: Place, ids: list[int]) -> Any:
    return api("POST", there.data, {"entries": [{"N": -n} for n in range(len(ids))]})


def commit_new(api: Api, there: Place, ids: list[int]) -> Any:
    return api(
        "POST", f"{there.url}/commit", {"append": True, "entries": [{"data": {}}] * len(ids)}
    )


def commit_changes(api: Api, there: Place, ids: list[int]) -> Any:
    entries = [{"id": key, "data": {"M": key}} for key in ids]
    body = {"append": True, "extend": True, "entries": entries}
    return api("POST", f"{there.url}/commit", body)


def commit_deletes(api: Api, there: Place, ids: list[int]) -> Any:
    body = {"append": True, "entries": [], "delete": ids, "returnEntries": False}
    return api("POST", f"{there.url}/commit", body)


def commit_all(api: Api, there: Place, ids: list[int]) -> Any:
    half = len(ids) // 2
    entries: list[Any] = [{"id": key, "data": {"N": 0}} for key in ids[:half]]
    body = {"entries": [*entries, *({"data": {"N": n}} for n in range(half))]}
    return api("POST", f"{there.url}/commit", body)


def delete_by_query(api: Api, there: Place, ids: list[int]) -> Any:
    return api("POST", f"{there.data}/query", {"type": "delete", "where": {"N": {"$gte": 0}}})


WRITES = [
    insert_many,
    replace_all,
    commit_new,
    commit_changes,
    commit_deletes,
    commit_all,
    delete_by_query,
]


@pytest.mark.parametrize("sign_in", [False, True], ids=["plain", "of people"])
@pytest.mark.parametrize("write", WRITES)
def test_a_thousand_rows_cost_about_what_twenty_do(
    write: Callable[[Api, Place, list[int]], Any], sign_in: bool
) -> None:
    definition: dict[str, Any] = LOGIN if sign_in else {}
    columns = ["N", "M", "New"]
    api = calls.bare_token()[1]
    counts = []
    for number in (20, MANY):
        name = f"Things {number}"
        there = place([OPEN], [], name=name, columns=columns, definition=definition)
        rows = [{"N": n, **({"Email": f"{n}@x"} if sign_in else {})} for n in range(number)]
        ids = fill(there, rows)
        api("GET", f"{there.data}/{ids[0]}")
        answers: list[Any] = []
        found = statements(lambda: answers.append(write(api, there, ids)))  # noqa: B023
        assert answers[0].status == 200, answers[0]
        # Many times one statement, sent in one go, is counted once.
        counts.append(len(found))
    few, many = counts
    assert many <= few + 20 and many <= 30, counts


def test_a_single_write_costs_a_few(things: Place) -> None:
    api = calls.bare_token()[1]
    entry = f"{things.data}/{things.ids[0]}"
    api("GET", entry)
    for method, path, body, limit in (
        ("PUT", things.data, {"N": 1}, 7),
        ("PUT", entry, {"N": 1}, 7),
        ("DELETE", entry, None, 9),
    ):
        found = statements(
            lambda method=method, path=path, body=body: api(method, path, body)  # type: ignore[misc]
        )
        assert len(found) <= limit, found
