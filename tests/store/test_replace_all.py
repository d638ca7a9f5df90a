"""A write without `append` replaces everything: what is deleted by it is never all in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rowkeeper.accounts.models import LoginSession
from rowkeeper.datasources.models import Entry
from rowkeeper.datasources.store import replace as others
from tests.support import calls
from tests.support.calls import Api, Place, place
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

READS = {"type": ["select"], "allow": "all"}
WRITES = {"type": ["insert", "update"], "allow": "all"}
DELETES = {"type": ["delete"], "allow": "all"}
GREEN = {**DELETES, "require": [{"Team": {"equals": "Green"}}]}
BLUE = {**DELETES, "require": [{"Team": {"equals": "Blue"}}]}
GREENS: list[dict[str, Any]] = [{"Team": "Green", "N": n} for n in range(25)]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data source of 25 rows has several pieces."""
    monkeypatch.setattr(others, "PIECE", 4)


def replace(api: Api, there: Place, keep: int = 0) -> Any:
    """A commit that keeps the last `keep` entries, changed, and adds one."""
    kept = [{"id": key, "data": {"Team": "Kept"}} for key in there.ids[len(there.ids) - keep :]]
    return api("POST", f"{there.url}/commit", {"entries": [*kept, {"data": {"Team": "New"}}]})


def rows(there: Place) -> list[Any]:
    found = Entry.objects.filter(data_source=there.model).order_by("pk")
    return [entry.data for entry in found]


@pytest.mark.parametrize("keep", [0, 3])
@pytest.mark.parametrize("rules", [[DELETES], [GREEN], [BLUE, GREEN]])
def test_everything_else_is_deleted(rules: list[Any], keep: int) -> None:
    there, beside = place([READS, WRITES, *rules], GREENS), place([READS], GREENS, name="B")
    answer = replace(calls.anonymous(), there, keep)
    assert answer.status == 200
    assert [row["Team"] for row in rows(there)] == ["Kept"] * keep + ["New"]
    assert len(json.loads(answer.text)["entries"]) == keep + 1
    assert rows(beside) == GREENS


@pytest.mark.parametrize("at", [0, 11, 24])
def test_one_rule_has_to_grant_all_of_it(at: int) -> None:
    """Each row is granted by some rule, but no rule grants all of them."""
    mixed = [{**row, "Team": "Blue"} if row["N"] == at else row for row in GREENS]
    there = place([READS, WRITES, GREEN, BLUE], mixed)
    answer = replace(calls.anonymous(), there)
    assert answer.status == 400
    assert rows(there) == mixed


def test_a_data_source_without_other_entries_needs_no_right_to_delete() -> None:
    there = place([READS, WRITES], GREENS)
    assert replace(calls.anonymous(), there, keep=25).status == 200
    denied = replace(calls.anonymous(), there, keep=25)
    assert denied.status == 400
    assert len(rows(there)) == 26


@pytest.mark.parametrize("rules", [[DELETES], [GREEN]])
def test_rows_are_read_where_a_rule_looks_at_them(rules: list[Any]) -> None:
    there = place([WRITES, *rules], GREENS)
    with CaptureQueriesContext(connection) as caught:
        assert replace(calls.anonymous(), there).status == 200
    table = Entry._meta.db_table
    reads = [one["sql"] for one in caught if f"FROM {table}" in one["sql"]]
    reads = [sql for sql in reads if sql.startswith("SELECT id,data") and "LIMIT 4" in sql]
    assert bool(reads) is (rules == [GREEN])
    deletes = [one["sql"] for one in caught if one["sql"].startswith(f"DELETE FROM {table}")]
    assert len(deletes) == 1


@pytest.mark.parametrize(("keep", "size"), [(0, 10), (0, 24), (3, 5)])
def test_no_statement_deletes_more_than_so_many(
    keep: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that deleted all of a large data source would not end within its time, nor would
    a `COMMIT` that checks all references to it.
    """
    monkeypatch.setattr(others, "DELETED", size)
    beside = place([READS], GREENS, name="B")
    there = place([READS, WRITES, DELETES], GREENS)
    deleted: list[int] = []
    checked = 0

    def counts(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal checked
        found = execute(sql, params, many, context)
        checked += sql == "SET CONSTRAINTS ALL IMMEDIATE"
        if sql.startswith(f"DELETE FROM {Entry._meta.db_table}"):
            deleted.append(context["cursor"].rowcount)
        return found

    with connection.execute_wrapper(counts):
        assert replace(calls.anonymous(), there, keep).status == 200
    assert max(deleted) <= size and sum(deleted) == 25 - keep
    if connection.vendor == "postgresql":
        assert checked == deleted.count(size)
    assert [row["Team"] for row in rows(there)] == ["Kept"] * keep + ["New"]
    assert rows(beside) == GREENS


def test_a_script_sees_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from rowkeeper.rules.engine import scripted

    monkeypatch.setattr(scripted, "MAX_ROWS", 20)
    there = place([READS, WRITES, {"script": "return {'granted': type == 'delete'}"}], GREENS)
    assert replace(calls.anonymous(), there).status == 401
    assert rows(there) == GREENS


def test_sessions_of_deleted_rows_end() -> None:
    people = sign_in_source("People", [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}])
    calls.session(people, "ann@acme.com")
    calls.session(people, "bob@acme.com")
    calls.save_rules(people, [READS, WRITES, DELETES])
    bob = people.entries.get(data__Email="bob@acme.com")
    url = f"data-sources/{people.pk}/commit"
    body = {"entries": [{"id": bob.pk, "data": {}}], "extend": True}
    assert calls.anonymous()("POST", url, body).status == 200
    assert [session.entry_id for session in LoginSession.objects.all()] == [bob.pk]


def test_others_is_a_sequence_of_rows() -> None:
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry

    there = place([READS], GREENS)
    found = store.Others(registry.source_of(there.model), there.ids[:2], lock=False)
    assert len(found) == 23 and list(found) == GREENS[2:]
    assert found[0] == GREENS[2] and found[22] == GREENS[24] and found[1:3] == GREENS[3:5]
    assert list(found.ids()) == there.ids[2:]
    with pytest.raises(IndexError):
        found[23]
