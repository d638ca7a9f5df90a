"""A write that is stored is answered as stored, whatever fails after the end of its transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from rowkeeper.datasources import store
from rowkeeper.datasources.models import DataSource
from tests.support.calls import OPEN, Answer, Api, Place, bare_token, place, superuser

WRITES = ("INSERT", "UPDATE", "DELETE", "COPY")


@contextmanager
def no_read_after_a_write() -> Iterator[list[str]]:
    """Every statement fails that comes after the end of a transaction that wrote. Gives those."""
    failed: list[str] = []
    wrote = False

    def run(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal wrote
        if not connection.in_atomic_block and wrote:
            failed.append(sql)
            raise OperationalError("canceling statement due to statement timeout")
        if connection.in_atomic_block and sql.startswith(WRITES):
            wrote = wrote or "rowkeeper_datasources" in sql
        return execute(sql, params, many, context)

    with connection.execute_wrapper(run):
        yield failed


def writes(there: Place) -> Iterator[tuple[str, str, Any]]:
    """Every write of the API: method, path, body."""
    row = {"N": 5}
    yield "PUT", there.data, row
    yield "PUT", f"{there.data}/{there.ids[0]}", row
    yield "DELETE", f"{there.data}/{there.ids[1]}", None
    yield "POST", there.data, {"append": True, "entries": [row]}
    yield "POST", f"{there.url}/commit", {"append": True, "entries": [{"clientId": 1, "data": row}]}
    yield "POST", f"{there.data}/query", {"type": "delete", "where": {"N": 1}}
    yield "POST", "data-sources", {"name": "New", "entries": [row], "accessRules": [OPEN]}
    yield "PUT", there.url, {"columns": ["N", "M"], "accessRules": [OPEN, OPEN]}
    yield "DELETE", there.url, None


@pytest.mark.django_db(transaction=True)
def test_every_write_that_is_stored_is_answered_so() -> None:
    api = superuser()
    there = place(rows=[{"N": n} for n in range(5)])
    for method, path, body in writes(there):
        with no_read_after_a_write():
            answer = api(method, path, body)
        assert answer.status in (200, 201), (method, path, answer.text)
    assert list(DataSource.objects.values_list("name", flat=True)) == ["New"]


@pytest.mark.django_db(transaction=True)
def test_a_commit_says_that_its_entries_are_left_out() -> None:
    there, (_, api) = place(rows=[{"N": 1}]), bare_token()
    sent = {"append": True, "entries": [{"clientId": "a", "data": {"N": 2}}]}
    with no_read_after_a_write() as failed:
        answer = api("POST", f"{there.url}/commit", sent)
    assert failed
    new = [key for key in there.stored if key not in there.ids]
    pairs = [{"clientId": "a", "id": new[0]}]
    assert answer.json == {"entries": [], "clientIds": pairs, "entriesOmitted": True}
    answer = api("POST", there.data, {"append": True, "entries": []})
    assert "entriesOmitted" not in answer.json and len(answer.entries) == 2


@pytest.mark.django_db(transaction=True)
def test_a_saved_rule_says_that_its_warnings_are_left_out() -> None:
    api = superuser()
    for method, path in (("POST", "data-sources"), ("PUT", place().url)):
        with no_read_after_a_write() as failed:
            answer = api(method, path, {"name": f"N{method}", "accessRules": [OPEN]})
        assert failed and answer.json["warningsOmitted"] is True and answer.json["warnings"] == []
        assert answer.json["dataSource"]["accessRules"] == [OPEN]


def breaking(*args: Any) -> Iterator[str]:
    """In place of `store.stream`: a statement that fails, and breaks its transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM there_is_no_such_table")
    yield ""


@pytest.mark.django_db
def test_within_a_transaction_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `ATOMIC_REQUESTS`: the rest of that transaction still works."""
    there, (_, api) = place(rows=[{"N": 1}]), bare_token()
    monkeypatch.setattr(store, "stream", breaking)
    with transaction.atomic():
        answer = add_a_row(api, there)
    assert answer.status == 200 and answer.json["entriesOmitted"] is True
    assert [row["N"] for row in there.stored.values()] == [1, 2]


@pytest.mark.django_db
def test_within_a_transaction_that_cannot_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing will be stored, so nothing is answered as stored."""
    there, (_, api) = place(rows=[{"N": 1}]), bare_token()

    def lost(*args: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    def lose_connection(*args: Any) -> Any:
        monkeypatch.setattr(connections["default"], "savepoint_rollback", lost)
        lost()

    monkeypatch.setattr(store, "stream", lose_connection)
    with transaction.atomic():
        assert add_a_row(api, there).status >= 500
        monkeypatch.undo()
        transaction.set_rollback(True)
    assert len(there.stored) == 1


def add_a_row(api: Api, there: Place) -> Answer:
    return api("POST", there.data, {"append": True, "entries": [{"N": 2}]})
