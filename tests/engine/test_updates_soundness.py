"""Writes, read twice: random rules, people, stored rows and submitted data, decided by the engine
and by the small reading in `reading_writes`: who may, which rule says so, what the row becomes, and
what of it is answered.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from random import Random
from typing import Any

import pytest

from rowkeeper.accounts.identity import Identity
from rowkeeper.rules.engine.decide import (
    Decision,
    answered,
    compile_rules,
    decide_insert,
    decide_update,
    shown_of,
)
from rowkeeper.rules.engine.requests import Change, Insert, Update
from tests.reference import random_cases as make
from tests.reference import reading
from tests.reference import reading_writes as said
from tests.reference.random_cases import CASES, CHUNKS, COLUMNS, SEED
from tests.reference.reading_writes import Place, Sent, Who, Written


def random_place(rnd: Random, operation: str) -> Place:
    """Rules for the operation and for reading, in an ordinary or a sign-in data source."""
    rules = [make.rule(rnd, operation) for _ in range(rnd.choice([1, 1, 2, 3]))]
    rules += [make.rule(rnd, "select") for _ in range(rnd.choice([0, 1, 1, 2]))]
    for rule in rules:
        for item in rule.get("require", []):
            if isinstance(item, dict) and make.chance(rnd, 0.2):
                for tests in item.values():
                    tests["on"] = rnd.choice(["stored", "submitted", "both"])
    rnd.shuffle(rules)
    if make.chance(rnd, 0.2):
        for rule in rules:  # no rule tests a password
            for item in rule.get("require", []):
                if isinstance(item, dict) and "it's" in item:
                    item["Dept"] = item.pop("it's")
        return Place(rules, ["it's"], COLUMNS)
    return Place(rules)


def random_who(rnd: Random) -> Who:
    return Who(make.user(rnd), rnd.choice([None, 1, 2]), rnd.choice([None, 1, 2]))


def wanted(place: Place, who: Who, operation: str, rnd: Random) -> dict[str, Any]:
    """Values that would meet a rule: of a rule that applies, if there is one."""
    rules = [rule for rule in place.rules if said.applies(rule, operation, who)]
    found: dict[str, Any] = {}
    for item in reading.required(rnd.choice(rules)) if rules else []:
        if isinstance(item, str):
            found[item] = make.scalar(rnd)
            continue
        column, op, value, _ = item
        rendered = reading.rendered(value, who.user)
        if rendered is reading.UNMET:
            continue
        if op == "equals":
            found[column] = rendered
        elif op == "contains":
            found[column] = rnd.choice([f"x{rendered}", [rendered, 1]])
        else:
            found[column] = rendered if make.chance(rnd, 0.25) else make.value(rnd)
    return found


def random_stored(rnd: Random, place: Place, who: Who) -> dict[str, Any]:
    row = make.row(rnd)
    return {**row, **wanted(place, who, "update", rnd)} if make.chance(rnd, 0.75) else row


def random_sent(
    rnd: Random, place: Place, who: Who, operation: str, stored: dict[str, Any]
) -> dict[str, Any]:
    """Some of what a rule wants, some of what is stored, and something else."""
    sent = {k: v for k, v in stored.items() if make.chance(rnd, 0.3)}
    if make.chance(rnd, 0.4):
        sent |= dict(list(make.row(rnd).items())[:2])
    if make.chance(rnd, 0.8):
        sent |= wanted(place, who, operation, rnd)
    return sent


def engine(place: Place, who: Who) -> tuple[Any, Identity]:
    signs_in = place.writable is not None
    ruleset = compile_rules(place.rules, COLUMNS, place.secret, signs_in)
    assert ruleset.problems == ()
    return ruleset, Identity(user=who.user, token_id=who.token, app_id=who.app)


def check(decision: Decision, position: int | None, rows: list[Any] | None, case: str) -> None:
    granted = None if decision.rule is None else decision.rule.position
    assert granted == position, case
    assert decision.granted is (position is not None)
    if rows is not None:
        assert reading.equal(list(decision.rows), rows), f"{decision.rows}\n{rows}\n{case}"


def tell(**parts: Any) -> str:
    return json.dumps(parts, ensure_ascii=False)


seeds = pytest.mark.parametrize("seed", [f"{SEED}-{n}" for n in range(CHUNKS)])


@seeds
def test_an_insert_is_decided_as_the_reading_says(seed: str) -> None:
    rnd = Random(f"inserts {seed}")
    granted = 0
    for _ in range(CASES // CHUNKS):
        place, who = random_place(rnd, "insert"), random_who(rnd)
        number = rnd.choice([1, 1, 1, 2])
        rows = [random_sent(rnd, place, who, "insert", {}) for _ in range(number)]
        expected = said.insert(place, who, rows)
        if expected is reading.OPEN:
            continue
        case = tell(place=asdict(place), who=asdict(who), rows=rows)
        ruleset, identity = engine(place, who)
        decision = decide_insert(ruleset, identity, Insert(rows))
        check(decision, expected, None if expected is None else rows, case)
        if expected is not None:
            granted += 1
            shown = answered(ruleset, identity, rows[0], None, rows[0]).of(rows[0])
            assert reading.equal(shown, said.answered(place, who, rows[0], None, rows[0])), case
    assert granted > CASES // CHUNKS // 10


@seeds
def test_an_update_is_decided_as_the_reading_says(seed: str) -> None:
    rnd = Random(f"updates {seed}")
    granted = 0
    for _ in range(CASES // CHUNKS):
        place, who = random_place(rnd, "update"), random_who(rnd)
        replaces = make.chance(rnd, 0.4)
        changes = [random_change(rnd, place, who) for _ in range(rnd.choice([1, 1, 1, 2]))]
        expected = said.update(place, who, changes, replaces)
        if expected is reading.OPEN:
            continue
        case = tell(
            place=asdict(place), who=asdict(who), changes=[*map(asdict, changes)], replaces=replaces
        )
        ruleset, identity = engine(place, who)
        asked = [Change(change.sent, change.stored, change.own) for change in changes]
        decision = decide_update(ruleset, identity, Update(asked, replaces))
        if expected is None:
            check(decision, None, None, case)
            continue
        granted += 1
        check(decision, expected.position, expected.rows, case)
        check_answers(place, who, changes, expected, ruleset, identity, case)
    assert granted > CASES // CHUNKS // 10


def random_change(rnd: Random, place: Place, who: Who) -> Sent:
    stored = random_stored(rnd, place, who)
    own = place.writable is not None and make.chance(rnd, 0.5)
    return Sent(random_sent(rnd, place, who, "update", stored), stored, own)


def check_answers(
    place: Place,
    who: Who,
    changes: list[Sent],
    expected: Written,
    ruleset: Any,
    identity: Identity,
    case: str,
) -> None:
    """The columns that were sent, and those that a select showed before and shows after."""
    for change, after in zip(changes, expected.rows, strict=True):
        first = shown_of(ruleset, identity, change.stored)
        shown = answered(ruleset, identity, change.sent, first, after).of(after)
        assert reading.equal(shown, said.answered(place, who, change.sent, change.stored, after)), (
            case
        )
