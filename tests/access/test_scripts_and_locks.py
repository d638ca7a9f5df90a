"""No script runs while a data source is locked, and no caller without a rule locks one.

A write is decided before the lock, and only what has changed since is decided again under it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import connection

from rowkeeper.datasources import store
from rowkeeper.datasources.models import Entry
from rowkeeper.rules import sandbox
from rowkeeper.rules.access import entries
from rowkeeper.rules.access.guard import Guard
from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.models import LoggedDecision
from rowkeeper.rules.repository.rules import save_rules
from tests.store.test_writes_that_wait import WRITES
from tests.support import calls
from tests.support.calls import READ, Answer, Api, Place, place

pytestmark = pytest.mark.django_db(transaction=True)

GRANTED = "return {'granted': True}"
# Of these the script sees what is stored.
STORED = [name for name in WRITES if "insert" not in name and name not in ("bulk", "empty")]
_numbers = itertools.count(1)
OLD = """
if type == "insert" or type == "select":
    return {"granted": True}
rows = [entry.data] if entry else [each.data for each in entries or []]
if type == "delete":
    rows = DELETED
return {"granted": all([row.Name == "old" for row in rows])}
"""
MEMBERS = "return {'granted': DataSources(%d).count() > 0}"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Gives a list of the operations that scripts are run for, while no transaction is open;
    `then` is called once, after the first of them that has seen an entry.
    """
    run = sandbox.run

    def watch(
        then: Callable[[], object] = lambda: None, sees: Sequence[str] = ("update", "delete")
    ) -> list[str]:
        ran, done = list[str](), list[object]()

        def watched(call: Any, *args: Any) -> Any:
            ran.append(call.operation + (" in a transaction" if connection.in_atomic_block else ""))
            verdict = run(call, *args)
            if call.operation in sees and not done:
                done.append(then())
            return verdict

        monkeypatch.setattr(sandbox, "run", watched)
        return ran

    yield watch


def there_with(script: str, *rules: dict[str, Any]) -> Place:
    name = f"Things {next(_numbers)}"
    return place([*rules, {"script": script}], [{"Name": "old"}], name=name)


def members_and_things() -> tuple[Place, Place]:
    """A data source with one row, and one whose script looks it up."""
    members = place([], [{"Name": "Ann"}], name=f"Members {next(_numbers)}")
    there = there_with(GRANTED)
    script = MEMBERS % members.model.pk
    save_rules(there.model, [{"script": script}], calls.django_user(is_superuser=True))
    return members, there


def test_no_script_runs_in_the_transaction_of_a_write(runs: Callable[..., list[str]]) -> None:
    for name in WRITES:
        for script in (GRANTED, "return None", "raise ValueError"):
            there = there_with(script)
            ran = runs()
            answer = WRITES[name](calls.anonymous(), there)
            assert (answer.status == 200) is (script == GRANTED), answer
            assert (there.stored == {there.ids[0]: {"Name": "old"}}) is (script != GRANTED)
            assert ran and not [each for each in ran if "transaction" in each], ran
            # What decides the write is asked once.
            assert len([each for each in ran if each != "select"]) <= 2, ran


def test_no_script_says_what_is_shown_in_the_transaction_either(
    runs: Callable[..., list[str]],
) -> None:
    """Rules without a script decide the write."""
    for name in STORED:
        writes = {"type": ["insert", "update", "delete"], "allow": "all"}
        there = there_with(GRANTED, writes)
        ran = runs()
        assert WRITES[name](calls.anonymous(), there).status == 200
        assert not [each for each in ran if "transaction" in each], ran


def test_an_entry_that_changes_after_the_script_is_decided_on_again(
    runs: Callable[..., list[str]],
) -> None:
    for name in STORED:
        there = there_with(OLD.replace("DELETED", "[query]" if name == "delete" else "query"))
        entry, changed = Entry.objects.filter(pk=there.ids[0]), {"Name": "another"}
        ran = runs(partial(entry.update, data=changed))
        answer = WRITES[name](calls.anonymous(), there)
        if name == "delete by query":
            # The entry no longer fits, so that nothing is deleted.
            assert answer.json == {"deletedCount": 0}
        else:
            assert answer.status in (400, 401), answer
        assert there.stored == {there.ids[0]: changed}
        assert any("transaction" in each for each in ran), ran


def test_an_entry_that_comes_after_the_script_is_decided_on_again(
    runs: Callable[..., list[str]],
) -> None:
    there = there_with(OLD.replace("DELETED", "query"))
    runs(lambda: calls.fill(there, [{"Name": "another"}]))
    assert WRITES["replace"](calls.anonymous(), there).status == 401
    assert sorted(row["Name"] for row in there.stored.values()) == ["another", "old"]


def test_what_a_script_looks_up_is_looked_up_again_under_the_lock(
    runs: Callable[..., list[str]],
) -> None:
    for name in WRITES:
        members, there = members_and_things()
        runs(Entry.objects.filter(data_source=members.model).delete, ("insert", "update", "delete"))
        assert WRITES[name](calls.anonymous(), there).failure == (401, "auth.required")
        assert there.stored == {there.ids[0]: {"Name": "old"}}


def test_writers_of_what_a_script_looks_up_do_not_keep_a_write_from_being_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = sandbox.run
    for name in WRITES:
        members, there = members_and_things()

        def then_a_member_comes(*args: Any, source: Any = members.model) -> Any:
            verdict = run(*args)
            Entry.objects.create(data_source=source, data={"Name": "Bob"})
            return verdict

        monkeypatch.setattr(sandbox, "run", then_a_member_comes)
        assert WRITES[name](calls.anonymous(), there).status == 200, name


def test_look_ups_are_confirmed_after_the_wait_for_an_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, seen = there_with(GRANTED), list[str]()
    stored_entry, confirm = entries.stored_entry, Guard.confirm_lookups

    def locked(guard: Guard, entry_id: int, operation: Any, lock: bool = False) -> Any:
        if lock:
            seen.append("locked")
        return stored_entry(guard, entry_id, operation, lock)

    def confirmed(self: Guard) -> None:
        seen.append("confirmed")
        confirm(self)

    monkeypatch.setattr(entries, "stored_entry", locked)
    monkeypatch.setattr(Guard, "confirm_lookups", confirmed)
    for name in ("update", "delete"):
        seen.clear()
        assert WRITES[name](calls.anonymous(), there).status == 200
        assert seen == ["locked", "confirmed"], name


def test_whom_no_rule_lets_write_locks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = place([READ], [{"Name": "old"}])
    # To call it is a 500.
    monkeypatch.setattr(store, "writing", None)
    for name, write in WRITES.items():
        assert write(calls.anonymous(), there).failure == (400, "datasource.access"), name


def test_who_lacks_a_rule_for_a_part_of_a_commit_locks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commit of somebody who may insert, with an update or a delete beside."""
    there = place([READ, {"type": ["insert"], "allow": "all"}], [{"Name": "old"}])
    monkeypatch.setattr(store, "writing", None)
    entry = {"id": there.ids[0], "data": {"Name": "new"}}
    for body in (
        {"append": True, "entries": [{"data": {}}, entry]},
        {"append": True, "entries": [{"data": {}}], "delete": there.ids},
        {"append": False, "entries": [{"data": {}}]},
    ):
        answer = calls.anonymous()("POST", f"{there.url}/commit", body)
        assert answer.failure == (400, "datasource.access"), body


def test_an_unknown_entry_is_404_without_a_rule_for_the_write() -> None:
    """404 to those who may read every entry, whether a rule lets them write or not."""
    there = place([READ], [{"Name": "old"}])
    api, unknown = calls.anonymous(), there.ids[0] + 1
    updates: Callable[[], Answer] = partial(api, "PUT", f"{there.data}/{unknown}", {"Name": "new"})
    deletes: Callable[[], Answer] = partial(api, "DELETE", f"{there.data}/{unknown}")
    for write in (updates, deletes):
        assert write().failure == (404, "notfound")


def test_a_grant_of_a_script_is_logged_once(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "DECISION_LOG_GRANTS": 1.0}
    there = there_with(GRANTED)
    api: Api = calls.anonymous()
    for name in ("update", "delete"):
        assert WRITES[name](api, there).status == 200
        journal.flush()
        assert LoggedDecision.objects.filter(operation=name).count() == 1, name
