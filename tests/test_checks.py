"""What is said about rules that are valid: each check speaks where it should, is silent where it
should not, and what it offers to mend is mended and lets nobody do more.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from accounts.identity import Identity
from datasources.where import parse_where
from rules.engine.asks import ById, ByQuery, Change, Insert, Update
from rules.engine.check import check_rules
from rules.engine.decide import (
    Decision,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from rules.engine.problems import Problem
from rules.engine.surroundings import Surroundings
from tests import random_cases as make
from tests.random_cases import COLUMNS, SEED

CASES = json.loads((Path(__file__).parent / "cases" / "checks.json").read_text())
STAFF = ["Email", "Name", "Role", "Department", "Salary"]


def place_of(case: dict[str, Any], side: dict[str, Any]) -> Surroundings:
    users = side.get("userColumns")
    return Surroundings(
        columns=tuple(side.get("columns", STAFF)),
        several_kinds=case.get("severalKinds", False),
        signs_in_as="People" if side.get("signsIn", case.get("signsIn")) else None,
        user_columns=None if users is None else frozenset(users),
    )


def found(case: dict[str, Any], side: dict[str, Any]) -> list[Problem]:
    problems = check_rules(side["rules"], place_of(case, side))
    assert all(problem.severity != "error" for problem in problems), problems
    return [problem for problem in problems if problem.code == case["code"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_speaks(case: dict[str, Any]) -> None:
    side = case["speaks"]
    (problem,) = found(case, side)
    assert (problem.rule, problem.path) == (side["rule"], side["path"])
    assert side.get("says", "") in problem.message
    assert (problem.fix is not None) is side.get("fixed", problem.fix is not None)
    if problem.fix is not None:
        assert found(case, {**side, "rules": problem.fix.applied(side["rules"])}) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_is_silent(case: dict[str, Any]) -> None:
    said = found(case, case["silent"])
    assert [problem for problem in said if problem.path not in case["silent"].get("but", ())] == []


def test_every_check_has_a_case() -> None:
    assert {case["code"] for case in CASES} == {
        "any-kind-of-user",
        "any-record",
        "both-lists",
        "empty-list",
        "nobody",
        "required-and-hidden",
        "script-no-return",
        "self-promotion",
        "sensitive",
        "stops-later",
        "template-in-allow",
        "unknown-column",
        "unreachable",
    }


# -- the two lists of the worked examples


def said_of(name: str, signs_in: bool) -> list[tuple[int, str, str]]:
    example = json.loads((Path(__file__).parent / "cases" / f"{name}.json").read_text())
    place = Surroundings(
        columns=tuple(example["columns"]), signs_in_as=example["name"] if signs_in else None
    )
    found = check_rules(example["rules"], place)
    return [(problem.rule, problem.code, problem.severity) for problem in found]


@pytest.mark.parametrize("signs_in", [False, True])
def test_employees(signs_in: bool) -> None:
    """Admins may change every record, which is meant and worth knowing; all else is sound."""
    assert said_of("employees", signs_in) == [(1, "any-record", "info")]


def test_staff() -> None:
    assert said_of("staff", False) == [(0, "nobody", "info")]


def test_staff_who_sign_in_make_themselves_managers() -> None:
    """The seed's own warning: keep what gives rights out of rules that let users write."""
    assert said_of("staff", True) == [(2, "self-promotion", "warning"), (0, "nobody", "info")]


# -- what is said is true: random lists, random requests

LISTS = 200
REQUESTS = 40


def random_list(rnd: Random) -> list[dict[str, Any]]:
    """Rules that are much alike, so that some cover others."""
    rules = [make.rule(rnd, rnd.choice(make.OPERATIONS)) for _ in range(rnd.choice([1, 2, 2, 3]))]
    for rule in list(rules):
        if make.chance(rnd, 0.7):
            rules.insert(rnd.randint(0, len(rules)), alike(rnd, rule))
    for rule in rules:
        for item in rule.get("require", []):
            if isinstance(item, dict) and make.chance(rnd, 0.2):
                for tests in item.values():
                    tests["on"] = rnd.choice(["stored", "submitted", "both"])
    return rules


def alike(rnd: Random, rule: dict[str, Any]) -> dict[str, Any]:
    """A rule with a property or two dropped, or taken from another."""
    other = {**rule, **make.rule(rnd, rule["type"][0])} if make.chance(rnd, 0.4) else dict(rule)
    found = {key: rnd.choice([rule, other]).get(key) for key in {*rule, *other}}
    for key in ("require", "include", "exclude", "appId", "enabled"):
        if make.chance(rnd, 0.4):
            found.pop(key, None)
    if make.chance(rnd, 0.2):
        found["allow"] = rnd.choice(["all", "loggedIn"])
    if make.chance(rnd, 0.15):
        found.update(rnd.choice([{"require": []}, {"exclude": []}, {"appId": []}]))
    return json.loads(json.dumps({key: value for key, value in found.items() if value is not None}))


def place(rnd: Random) -> Surroundings:
    secret = frozenset(["it's"]) if make.chance(rnd, 0.3) else frozenset()
    return Surroundings(tuple(COLUMNS), secret, signs_in_as="People" if secret else None)


def request(rnd: Random, rules: list[dict[str, Any]]) -> Any:
    """A way to ask a compiled list, with something that a rule of it may well grant."""
    user = make.user(rnd)
    who = Identity(user, rnd.choice([None, 1, 2]), rnd.choice([None, 1, 2]))
    wants = wanted(rnd, rules, user)
    operation = rnd.choice(["select", "select", "insert", "update", "update", "delete"])
    own = make.chance(rnd, 0.3)
    if operation in ("select", "delete"):
        decide = decide_select if operation == "select" else decide_delete
        if make.chance(rnd, 0.7):
            where = make.implying(rnd, wants) if make.chance(rnd, 0.7) else make.where(rnd)
            names = tuple(make.some(rnd, COLUMNS, 2)) if make.chance(rnd, 0.4) else ()
            ask: Any = ByQuery(parse_where(where, COLUMNS), names)
        else:
            ask = ById([{**make.row(rnd), **meeting(rnd, wants)}])
        return lambda ruleset: decide(ruleset, who, ask)
    if operation == "insert":
        row = {**make.row(rnd), **meeting(rnd, wants)}
        return lambda ruleset: decide_insert(ruleset, who, Insert([row]))
    stored = {**make.row(rnd), **meeting(rnd, wants)}
    sent = {**(make.row(rnd) if make.chance(rnd, 0.5) else {}), **meeting(rnd, wants)}
    replaces = make.chance(rnd, 0.3)
    return lambda ruleset: decide_update(
        ruleset, who, Update([Change(sent, stored, own)], replaces)
    )


def wanted(rnd: Random, rules: list[dict[str, Any]], user: dict[str, Any] | None) -> list[Any]:
    """Of one rule, the requirements with their values as this user has them."""
    found: list[Any] = []
    for item in rnd.choice(rules).get("require", []):
        if isinstance(item, str):
            found.append(item)
            continue
        for column, tests in item.items():
            for op, value in tests.items():
                if op != "on":
                    templated = isinstance(value, str) and "{{" in value
                    held = (user or {}).get("Email", "a") if templated else value
                    found.append((column, op, held))
    return found


def meeting(rnd: Random, wants: list[Any]) -> dict[str, Any]:
    row = {}
    for item in wants:
        if make.chance(rnd, 0.1):
            continue
        if isinstance(item, str):
            row[item] = make.scalar(rnd)
        elif item[1] == "equals":
            row[item[0]] = item[2]
        elif item[1] == "contains":
            row[item[0]] = f"x{item[2]}" if isinstance(item[2], str) else [item[2]]
    return row


def decided(rules: list[dict[str, Any]], place: Surroundings) -> Any:
    return compile_rules(rules, COLUMNS, place.secret, place.signs_in_as is not None)


def same_outcome(left: Decision, right: Decision) -> bool:
    kept = ("granted", "conditions", "shown", "rows")
    return all(getattr(left, name) == getattr(right, name) for name in kept)


def valid_list(rnd: Random, place: Surroundings) -> list[dict[str, Any]]:
    while True:
        rules = random_list(rnd)
        if all(p.severity != "error" for p in check_rules(rules, place)):
            return rules


def test_nothing_changes_without_what_is_never_reached() -> None:
    rnd = Random(f"unreachable {SEED}")
    flagged = granted = 0
    for _ in range(LISTS):
        around = place(rnd)
        rules = valid_list(rnd, around)
        fixes = [p.fix for p in check_rules(rules, around) if p.code == "unreachable" and p.fix]
        if not fixes:
            continue
        flagged += 1
        before = decided(rules, around)
        after = [decided(fix.applied(rules), around) for fix in fixes]
        for _ in range(REQUESTS):
            ask = request(rnd, rules)
            decision = ask(before)
            granted += decision.granted
            for other in after:
                assert same_outcome(decision, ask(other)), rules
    assert flagged > LISTS // 10
    assert granted > flagged * REQUESTS // 20


def test_a_fix_mends_and_lets_nobody_do_more() -> None:
    rnd = Random(f"fixes {SEED}")
    codes: dict[str, int] = {}
    for _ in range(LISTS):
        around = place(rnd)
        around = Surroundings((*COLUMNS, "Salary"), around.secret, signs_in_as=around.signs_in_as)
        rules = valid_list(rnd, around)
        problems = check_rules(rules, around)
        for problem in problems:
            if problem.fix is None:
                continue
            codes[problem.code] = codes.get(problem.code, 0) + 1
            mended = problem.fix.applied(rules)
            left = check_rules(mended, around)
            assert all(p.severity != "error" for p in left), (rules, mended)
            assert count(left, problem) < count(problems, problem), (rules, problem)
            before, after = decided(rules, around), decided(mended, around)
            for _ in range(REQUESTS // 4):
                ask = request(rnd, rules)
                was, now = ask(before), ask(after)
                assert was.granted or not now.granted, (rules, mended)
                if now.granted:
                    assert not opened(was, now), (rules, mended)
    assert {"unreachable", "both-lists", "empty-list", "sensitive", "self-promotion"} <= set(codes)


def count(problems: list[Problem], like: Problem) -> int:
    same = [p for p in problems if p.code == like.code]
    if like.fix is not None and like.fix.becomes is None:
        return len(same)
    return len([p for p in same if (p.rule, p.path) == (like.rule, like.path)])


def opened(was: Decision, now: Decision) -> list[str]:
    names = [*make.KEYS, "Salary"]
    return [name for name in names if now.shown.shows(name) and not was.shown.shows(name)]
