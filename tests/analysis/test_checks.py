"""What is said about rules that are valid: each check speaks where it should, is silent where it
should not, and what it offers to mend is mended and lets nobody do more.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.analysis.lint import check_rules
from rowkeeper.rules.engine.decide import Decision
from rowkeeper.rules.engine.problems import CheckCode, Problem
from tests.reference import random_cases as make
from tests.reference.random_cases import COLUMNS, SEED
from tests.reference.random_lists import decided, place, random_list, request

CASES = json.loads((Path(__file__).parents[1] / "cases" / "checks.json").read_text())
STAFF = ["Email", "Name", "Role", "Department", "Salary"]


def place_of(case: dict[str, Any], side: dict[str, Any]) -> LintContext:
    users = side.get("userColumns")
    return LintContext(
        columns=tuple(side.get("columns", STAFF)),
        several_kinds=case.get("severalKinds", False),
        signs_in_as="People" if side.get("signsIn", case.get("signsIn")) else None,
        user_columns=None if users is None else frozenset(users),
        dead_tokens=lambda numbers: {7: "is revoked"} if 7 in numbers else {},
        unknown_apps=lambda numbers: numbers - {1, 3},
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
    assert {case["code"] for case in CASES} == set(get_args(CheckCode))


# -- the two lists of the worked examples


def said_of(name: str, signs_in: bool) -> list[tuple[int, str, str]]:
    example = json.loads((Path(__file__).parents[1] / "cases" / f"{name}.json").read_text())
    place = LintContext(
        columns=tuple(example["columns"]), signs_in_as=example["name"] if signs_in else None
    )
    found = check_rules(example["rules"], place)
    return [(problem.rule, problem.code, problem.severity) for problem in found]


@pytest.mark.parametrize("signs_in", [False, True])
def test_employees(signs_in: bool) -> None:
    """Admins may change every record, which is meant and worth knowing. Users set their own salary,
    which is hidden from them.
    """
    assert said_of("employees", signs_in) == [
        (3, "hidden-and-writable", "warning"),
        (1, "any-record", "info"),
        (4, "hidden-and-writable", "info"),
    ]


def test_staff() -> None:
    assert said_of("staff", False) == [(0, "nobody", "info"), (3, "hidden-and-writable", "info")]


def test_staff_who_sign_in_make_themselves_managers() -> None:
    """The seed's own warning: keep what gives rights out of rules that let users write."""
    assert said_of("staff", True) == [
        (2, "self-promotion", "warning"),
        (0, "nobody", "info"),
        (3, "hidden-and-writable", "info"),
    ]


# -- what is said is true: random lists, random requests

LISTS = 200
REQUESTS = 40


def same_outcome(left: Decision, right: Decision) -> bool:
    kept = ("granted", "conditions", "shown", "rows")
    return all(getattr(left, name) == getattr(right, name) for name in kept)


def valid_list(rnd: Random, place: LintContext) -> list[dict[str, Any]]:
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
        around = LintContext((*COLUMNS, "Salary"), around.secret, signs_in_as=around.signs_in_as)
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
