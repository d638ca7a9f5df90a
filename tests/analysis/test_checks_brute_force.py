"""Each check of rules against brute force: a world that is small enough to decide every request.

A check without a reading fails a test.
"""

from __future__ import annotations

import os
from itertools import product
from random import Random, randrange
from textwrap import indent
from typing import Any, get_args

import pytest

from rowkeeper.accounts.identity import Identity
from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.analysis.lint import check_rules
from rowkeeper.rules.engine.decide import Ruleset, compile_rules
from rowkeeper.rules.engine.problems import CheckCode
from rowkeeper.rules.engine.requests import Change, Insert, Update
from rowkeeper.rules.engine.rule import OPERATIONS
from tests.reference.check_readings import READINGS
from tests.reference.random_lists import Request
from tests.reference.small_world import COLUMNS, random_world

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
SEED = int(os.environ.get("READING_SEED", randrange(10**9)))
LISTS = 120 if LONG else 8

# These have worlds of their own below.
ELSEWHERE = {"self-promotion", "script-no-return", "script-ignores-entry"}
# In `test_named_credentials.py`, with requests that send the tokens.
BY_REQUESTS = {"token-not-in-use", "unknown-app"}


def test_every_check_has_a_reading() -> None:
    assert READINGS.keys() | ELSEWHERE | BY_REQUESTS == set(get_args(CheckCode))


@pytest.mark.parametrize("part", range(4))
def test_what_is_said_is_so(part: int) -> None:
    rnd = Random(f"{part} {SEED}")
    for _ in range(LISTS // 4):
        world = random_world(rnd)
        for problem in world.problems:
            if problem.code in READINGS:
                assert READINGS[problem.code][0](world, problem), f"{SEED}: {problem} of {world}"
        for code, (_, silent) in READINGS.items():
            assert silent is None or silent(world), f"{SEED}: {code} is silent on {world}"


# -- rights that people can give themselves

ROLES: tuple[Any, ...] = (None, "x", "y")


def test_people_promote_themselves_where_it_is_said() -> None:
    rnd = Random(f"promotes {SEED}")
    found = 0
    for _ in range(LISTS * 3):
        writer: dict[str, Any] = {
            "type": [rnd.choice(["insert", "update"])],
            "allow": rnd.choice(["all", "loggedIn", {"user": {"Role": {"equals": "x"}}}]),
            "require": [*rnd.choice([[], [{"Role": {"equals": rnd.choice(["x", "y"])}}]])],
            "exclude": rnd.choice([[], ["Role"], ["A"]]),
        }
        reader = {"type": ["select"], "allow": {"user": {"Role": {"equals": "x"}}}}
        place = LintContext(("Role", "A"), signs_in_as="People")
        said = any(p.code == "self-promotion" for p in check_rules([reader, writer], place))
        found += said
        ruleset = compile_rules([reader, writer], place.columns, (), True)
        assert said is any(_promotes(ruleset, who, old) for who in ROLES for old in ROLES), writer
    assert found


def _promotes(ruleset: Ruleset, role: Any, old: Any) -> bool:
    """Whether somebody who lacks the role can give it to a row."""
    who = Identity(user={} if role is None else {"Role": role})
    stored = {} if old is None else {"Role": old}
    asks = [
        ("insert", Insert([{"Role": "x"}])),
        ("update", Update([Change({"Role": "x"}, stored)])),
    ]
    return (
        role != "x"
        and old != "x"
        and any(Request(op, who, ask)(ruleset).granted for op, ask in asks)
    )


# -- scripts

RETURN = "return {'granted': True}"


def test_scripts_end_without_a_return_where_it_is_said() -> None:
    rnd = Random(f"scripts {SEED}")
    for _ in range(LISTS * 3):
        tests = ["type == 'select'", "type != 'insert'", "type in ('update', 'delete')", "query"]
        chosen = rnd.sample(tests, rnd.choice([1, 2, 3]))
        script = "\n".join(_statement(rnd, test) for test in chosen)
        said = [p.message for p in check_rules([{"script": script}], LintContext())]
        names: dict[str, Any] = {}
        exec(f"def rule(type, query):\n{indent(script, ' ')}\n", names)
        for operation in OPERATIONS:
            given = [names["rule"](operation, query) is not None for query in (True, False)]
            text = next((t for t in said if f"`{operation}`" in t or "never grants" in t), "")
            assert ("does not return a value" in text) is not any(given), (script, said)
            assert ("can end without" in text) is (any(given) and not all(given)), (script, said)


def _statement(rnd: Random, test: str) -> str:
    return rnd.choice([f"if {test}:\n {RETURN}", f"if {test}:\n pass\nelse:\n {RETURN}", "pass"])


class Watched:
    """An entry that knows whether a script has looked at it."""

    def __init__(self) -> None:
        self.seen = False

    @property
    def Mine(self) -> bool:
        self.seen = True
        return True


def test_scripts_grant_blindly_where_it_is_said() -> None:
    rnd = Random(f"blind {SEED}")
    ways = [RETURN, "return {'granted': entry.Mine}", "return {'granted': False}", "pass"]
    for _ in range(LISTS * 6):
        tests = rnd.sample(["type == 'update'", "query", "user", "type != 'delete'"], 3)
        script = "\n".join(
            f"if {test}:\n {rnd.choice(ways)}\nelse:\n {rnd.choice([*ways, 'x = entry.Mine'])}"
            for test in tests[: rnd.choice([1, 2, 3])]
        )
        said = " ".join(p.message for p in check_rules([{"script": script}], LintContext()))
        names: dict[str, Any] = {}
        exec(f"def rule(type, query, user, entry):\n{indent(script, ' ')}\n", names)
        blind = False
        for query, user in product((True, False), repeat=2):
            entry = Watched()
            granted = names["rule"]("update", query, user, entry)
            blind = blind or (bool(granted) and granted["granted"] and not entry.seen)
        assert ("can grant updates" in said) is blind, (script, said)


# -- cases that were said wrongly


def test_a_password_that_an_include_names_can_be_required() -> None:
    place = LintContext(("Email", "Password"), secret=frozenset(["Password"]), signs_in_as="People")
    rule: dict[str, Any] = {"type": ["insert"], "allow": "all", "require": ["Email", "Password"]}

    def said(**more: Any) -> list[str]:
        found = check_rules([{**rule, **more}], place)
        return [p.message for p in found if p.code == "required-and-hidden"]

    assert said(include=["Email", "Password"]) == []
    assert said() == [
        "`Password` is required, but this rule does not show it: no insert matches this rule"
    ]


def test_a_closed_column_that_a_select_shows_can_be_sent_back() -> None:
    update: dict[str, Any] = {"type": ["update"], "allow": "loggedIn", "require": ["A"]}
    rules = [{"type": ["select"], "allow": "loggedIn"}, {**update, "exclude": ["A"]}]
    (said,) = [
        p for p in check_rules(rules, LintContext(COLUMNS)) if p.code == "required-and-hidden"
    ]
    assert said.message.endswith("this rule grants an update only if it sends the stored value")


def test_a_rule_for_no_app_stops_nothing() -> None:
    insert: dict[str, Any] = {"type": ["insert"], "allow": "loggedIn"}
    rules = [{**insert, "appId": [], "require": ["A"]}, insert]
    assert "stops-later" not in [p.code for p in check_rules(rules, LintContext(COLUMNS))]
