"""Many entries at once do nothing that each of them could not do alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from django.db import transaction

from rowkeeper.accounts.identity import Identity
from rowkeeper.rules.engine.decide import compile_rules, decide_update
from rowkeeper.rules.engine.requests import Change, Update
from tests.engine.test_updates_soundness import engine, random_change, random_place, random_who
from tests.reference import reading
from tests.support.calls import OPEN, Answer, Api, Place, anonymous, person, place

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
DENIED = (400, "datasource.access")
LOCKED: dict[str, Any] = {
    "type": ["update"],
    "allow": "all",
    "require": [{"Status": {"equals": "Locked", "on": "stored"}}],
    "include": ["Note"],
}
READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
UPDATE: dict[str, Any] = {"type": ["update"], "allow": "all"}
ROWS: list[dict[str, Any]] = [
    {"Status": "Locked", "Amount": 1, "Note": "a"},
    {"Status": "Open", "Amount": 2, "Note": "b"},
]


def commit(api: Api, there: Place, *rows: dict[str, Any] | None, **more: Any) -> Answer:
    """Commit these rows in place of the stored ones; None: that entry is not sent."""
    sent = zip(there.ids, rows, strict=False)
    entries = [{"id": key, "data": row} for key, row in sent if row is not None]
    return api("POST", f"{there.url}/commit", {"append": True, **more, "entries": entries})


@pytest.mark.django_db
@pytest.mark.parametrize("extend", [True, False])
def test_an_entry_beside_it_does_not_switch_off_a_rule(extend: bool) -> None:
    there, api = place([LOCKED, UPDATE, READ], ROWS), anonymous()
    assert api("PUT", f"{there.data}/{there.ids[0]}", {"Amount": 999}).failure == DENIED
    beside = {} if extend else ROWS[1]
    sent = {"Amount": 999} if extend else {**ROWS[0], "Amount": 999}
    assert commit(api, there, sent, None, extend=extend).failure == DENIED
    assert commit(api, there, sent, beside, extend=extend).failure == DENIED
    assert list(there.stored.values()) == ROWS


@pytest.mark.django_db
def test_a_replaced_entry_keeps_what_it_would_keep_alone() -> None:
    """The rule that is about the entry grants it, and leaves the columns that it does not open."""
    there, api = place([LOCKED, UPDATE, READ], ROWS), anonymous()
    sent = {"Note": "new"}
    assert commit(api, there, sent, ROWS[1]).failure == DENIED
    assert list(there.stored.values()) == ROWS
    assert commit(api, there, sent).status == 200
    assert there.stored[there.ids[0]] == {**ROWS[0], "Note": "new"}


@pytest.mark.django_db
def test_a_batch_that_each_entry_could_do_alone_is_granted() -> None:
    there, api = place([LOCKED, UPDATE, READ], ROWS), anonymous()
    assert commit(api, there, {"Note": "x"}, {"Note": "y"}, extend=True).status == 200
    assert [row["Note"] for row in there.stored.values()] == ["x", "y"]


# -- whatever a batch writes, entries alone could have written


def cases(name: str, count: int) -> Iterator[tuple[str, Random]]:
    """So many generators of random numbers, each with what repeats it."""
    seed = os.environ.get("ROWKEEPER_TEST_SEED") or str(Random().randrange(10**9))
    for at in range(count):
        case = f"{name} {seed} {at}"
        yield f"ROWKEEPER_TEST_SEED={seed}, {case}", Random(case)


def test_the_engine_gives_a_batch_no_more_than_its_entries() -> None:
    granted = passed = 0
    for case, rnd in cases("engine", 40_000 if LONG else 2_000):
        there, who = random_place(rnd, "update"), random_who(rnd)
        ruleset, identity = engine(there, who)
        replaces = rnd.random() < 0.5
        made = [random_change(rnd, there, who) for _ in range(rnd.choice([2, 2, 3]))]
        changes = [Change(change.sent, change.stored, change.own) for change in made]
        together = decide_update(ruleset, identity, Update(changes, replaces))
        if not together.granted:
            continue
        granted += 1
        for change, row in zip(changes, together.rows, strict=True):
            alone = decide_update(ruleset, identity, Update([change], replaces))
            passed += alone.rule is not together.rule
            assert alone.granted, f"{case}\n{json.dumps(there.rules)}\n{change}"
            assert reading.equal(alone.rows[0], row), f"{case}\n{json.dumps(there.rules)}\n{change}"
    assert granted > 50


STATES, PEOPLE, TEXTS = ["Open", "Locked"], ["ann@acme.com", "bob@acme.com"], ["a", "b"]
COLUMNS: dict[str, list[Any]] = {
    "Status": STATES,
    "Owner": PEOPLE,
    "Note": TEXTS,
    "Amount": [1, 2],
}


def some(rnd: Random, share: float) -> list[str]:
    return [name for name in COLUMNS if rnd.random() < share]


def random_row(rnd: Random, share: float = 0.8) -> dict[str, Any]:
    return {name: rnd.choice(COLUMNS[name]) for name in some(rnd, share)}


def random_rule(rnd: Random, operation: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"type": [operation], "allow": rnd.choice(["all", "all", "loggedIn"])}
    if rnd.random() < 0.6:
        rule["require"] = [random_requirement(rnd, operation)]
    if rnd.random() < 0.5:
        rule[rnd.choice(["include", "exclude"])] = some(rnd, 0.5)
    return rule


def random_requirement(rnd: Random, operation: str) -> Any:
    column = rnd.choice(["Status", "Owner"])
    value = "{{user.Email}}" if rnd.random() < 0.5 else rnd.choice(COLUMNS[column])
    test = {rnd.choice(["equals", "equals", "notequals"]): value}
    if operation == "update" and rnd.random() < 0.7:
        test["on"] = rnd.choice(["stored", "both"])
    return {column: test}


def random_rules(rnd: Random) -> list[dict[str, Any]]:
    operations = ["update"] * rnd.choice([2, 3]) + ["insert", "insert", "delete", "delete"]
    rules = [random_rule(rnd, operation) for operation in operations]
    rules += [random_rule(rnd, "select") if rnd.random() < 0.4 else READ]
    rules += [{"type": [operation], "allow": "all"} for operation in some_operations(rnd)]
    return rules


def some_operations(rnd: Random) -> list[str]:
    return [name for name in ("insert", "update", "delete") if rnd.random() < 0.6]


def random_commit(rnd: Random, there: Place) -> dict[str, Any]:
    picked = [key for key in there.ids if rnd.random() < 0.6]
    gone = [key for key in there.ids if key not in picked and rnd.random() < 0.3]
    entries: list[dict[str, Any]] = [{"id": key, "data": random_row(rnd, 0.4)} for key in picked]
    entries += [{"data": random_row(rnd)} for _ in range(rnd.choice([0, 0, 1, 2]))]
    append, extend = rnd.random() < 0.7, rnd.random() < 0.5
    return {"entries": entries, "delete": gone, "append": append, "extend": extend}


def random_bulk(rnd: Random, there: Place) -> dict[str, Any]:
    rows = [random_row(rnd) for _ in range(rnd.choice([0, 1, 2]))]
    return {"entries": rows, "append": rnd.random() < 0.3}


def one_by_one(there: Place, body: dict[str, Any], bulk: bool) -> Iterator[dict[str, Any]]:
    """Commits of one entry each that together ask for what the batch asks for."""
    sent = [{"data": row} for row in body["entries"]] if bulk else body["entries"]
    kept = {entry["id"] for entry in sent if "id" in entry}
    gone = list(body.get("delete", ()))
    if not body["append"]:
        gone += [key for key in there.ids if key not in kept and key not in gone]
    for entry in sent:
        yield {"entries": [entry], "append": True, "extend": body.get("extend", False)}
    for key in gone:
        yield {"entries": [], "delete": [key], "append": True}


@contextmanager
def undone() -> Iterator[None]:
    """Nothing that is written inside stays."""
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


def rows_of(there: Place) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in there.stored.values())


@pytest.mark.django_db
@pytest.mark.parametrize("bulk", [False, True], ids=["commit", "bulk"])
def test_the_api_gives_a_batch_no_more_than_its_entries(bulk: bool) -> None:
    callers = [anonymous(), person({"Email": "ann@acme.com"})]
    granted = 0
    for case, rnd in cases(f"api {bulk}", 1_500 if LONG else 40):
        with undone():
            rules, api = random_rules(rnd), rnd.choice(callers)
            rows = [random_row(rnd) for _ in range(rnd.choice([1, 2, 3]))]
            there = place(rules, rows, columns=list(COLUMNS))
            body = random_bulk(rnd, there) if bulk else random_commit(rnd, there)
            says = f"{case}\n{json.dumps([rules, rows, body])}"
            with undone():
                if api("POST", there.data if bulk else f"{there.url}/commit", body).status != 200:
                    continue
                written = rows_of(there)
            granted += 1
            for one in one_by_one(there, body, bulk):
                answer = api("POST", f"{there.url}/commit", one)
                assert answer.status == 200, f"{says}\n{one}"
            assert rows_of(there) == written, says
    assert granted > 5


def test_a_passed_rule_that_denies_ends_the_evaluation() -> None:
    ruleset = compile_rules([LOCKED, {**OPEN, "type": ["update"]}], list(COLUMNS))
    changes = [Change({"Amount": 9}, ROWS[0]), Change({}, ROWS[1])]
    decision = decide_update(ruleset, Identity(), Update(changes))
    assert not decision.granted
    assert [line.code for line in decision.trace] == ["column", "unreached"]
    assert not decide_update(ruleset, Identity(), Update(changes[::-1])).granted
