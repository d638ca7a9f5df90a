"""The review of a save names everything that is new, and nothing where a list only narrows.

The findings are tried on random pairs of lists: what the engine grants or shows anew has to fall
under one of them, going by its fields (operation, people, columns, conditions).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from random import Random, randrange
from typing import Any

from rowkeeper.rules.analysis.escalation import Escalation
from rowkeeper.rules.engine.decide import Decision, Ruleset
from rowkeeper.rules.engine.requests import QueryRequest
from tests.analysis.test_widen import found, is_valid
from tests.reference import random_cases as make
from tests.reference import reading
from tests.reference.random_lists import (
    Request,
    Rules,
    changed,
    decided,
    place,
    random_list,
    request,
)
from tests.reference.widening import falls_under

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
SEED = int(os.environ.get("READING_SEED", randrange(10**9)))
PAIRS, NARROWED, REQUESTS = (2_000, 2_000, 60) if LONG else (250, 300, 25)


# -- everything that is new falls under a finding


def news(asked: Request, was: Ruleset, now: Ruleset) -> Iterator[tuple[Decision, str | None]]:
    """What is granted anew (None), and each column that is shown anew."""
    old, new = asked(was), asked(now)
    if new.granted and not old.granted:
        yield new, None
    if asked.operation == "select" and new.granted:
        shown = make.KEYS if isinstance(asked.ask, QueryRequest) else asked.ask.stored[0]
        for column in shown:
            if new.shown.shows(column) and not old.shown.shows(column):
                yield new, column


def pair(rnd: Random) -> tuple[Rules, Rules]:
    before = random_list(rnd)
    if make.chance(rnd, 0.25):
        return before, random_list(rnd)
    after = changed(rnd, before)
    return (before, after) if make.chance(rnd, 0.5) else (after, before)


def test_what_is_granted_or_shown_anew_falls_under_a_finding() -> None:
    rnd = Random(f"lines {SEED}")
    tried = pairs = 0
    while pairs < PAIRS:
        around, (before, after) = place(rnd), pair(rnd)
        if not (is_valid(before, around) and is_valid(after, around)):
            continue
        pairs += 1
        lines = found(before, after, around)
        was, now = decided(before, around), decided(after, around)
        for _ in range(REQUESTS):
            if not after:
                continue
            asked = request(rnd, after)
            for new, column in news(asked, was, now):
                tried += 1
                if not any(falls_under(line, asked, new, column) for line in lines):
                    raise AssertionError(story(before, after, asked, column, lines))
    assert tried > PAIRS


def story(
    before: Rules, after: Rules, asked: Request | None, column: str | None, lines: list[Escalation]
) -> str:
    told = [(x.rule.position, x.operations, x.kind, x.columns, x.dropped) for x in lines]
    parts = [f"seed {SEED}", before, after, asked, column, *told]
    return "\n".join(map(str, parts))


# -- a list that only narrows


def narrowed(rnd: Random, rules: Rules) -> Rules | None:
    """The list with one rule that lets fewer people do fewer things; None where none is found.

    For reads, and for whom a rule is, only the last rule of an operation can be narrowed: what it
    does not grant any more would go on to a later rule.
    """
    found: Rules = json.loads(json.dumps(rules))
    at = rnd.randrange(len(found))
    rule = found[at]
    later = {operation for each in found[at + 1 :] for operation in each["type"]}
    is_last = later.isdisjoint(rule["type"])
    writes = set(rule["type"]) <= {"insert", "update"}
    if not is_last and not writes:
        return None
    ways = ["require", "columns", *(["off", "gone", "type", "people", "app"] if is_last else [])]
    how = rnd.choice(ways)
    if how == "off":
        rule["enabled"] = False
    elif how == "gone":
        del found[at]
    elif how == "type":
        rule["type"] = rule["type"][1:] or ["select"]
        return found if rule["type"] != ["select"] or "select" in rules[at]["type"] else None
    elif how == "people":
        return found if fewer_people(rnd, rule) else None
    elif how == "app":
        rule["appId"] = [i for i in rule.get("appId", [1, 2]) if make.chance(rnd, 0.5)]
    elif how == "require":
        return found if require_more(rnd, rule, stored=is_last) else None
    elif "include" in rule:
        rule["include"] = [name for name in rule["include"] if make.chance(rnd, 0.6)]
        return found if still_pins_the_same(rules[at], rule) else None
    else:
        rule["exclude"] = [*rule.get("exclude", []), rnd.choice(make.COLUMNS)]
    return found


def fewer_people(rnd: Random, rule: dict[str, Any]) -> bool:
    if rule["allow"] == "all":
        rule["allow"] = rnd.choice(["loggedIn", {"tokens": [1]}])
    elif rule["allow"] == "loggedIn":
        rule["allow"] = {"user": {"Dept": {"equals": "a"}}}
    elif "user" in rule["allow"]:
        tests = rule["allow"]["user"].setdefault("Email", {})
        if "notequals" in tests:
            return False
        tests["notequals"] = "b"
    elif len(rule["allow"]["tokens"]) > 1:
        rule["allow"]["tokens"].pop()
    return True


def require_more(rnd: Random, rule: dict[str, Any], stored: bool) -> bool:
    """A requirement on a column that the rule shows: one that a rule hides could be named by
    repeating the requirement, and written where it is pinned.
    """
    # `a` and `a.b` are above and below each other: one that is hidden closes the other.
    columns = [name for name in make.COLUMNS if name not in ("it's", "a", "a.b")]
    open_columns = [name for name in columns if reading.shows(rule, name)]
    if not open_columns:
        return False
    column = rnd.choice(open_columns)
    item: Any = rnd.choice([column, {column: make.condition(rnd)}])
    if isinstance(item, dict) and not stored:
        item[column]["on"] = "submitted"
    rule["require"] = [*rule.get("require", []), item]
    return True


def still_pins_the_same(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """A required column that is hidden now could be named by repeating the requirement."""
    wanted = {
        c for item in before.get("require", []) for c in ([item] if isinstance(item, str) else item)
    }
    return all(reading.shows(before, c) == reading.shows(after, c) for c in wanted)


def test_a_list_that_only_narrows_has_no_finding() -> None:
    rnd = Random(f"narrowed {SEED}")
    tried = denied = 0
    while tried < NARROWED:
        around, before = place(rnd), random_list(rnd)
        after = narrowed(rnd, before)
        if after is None or not (is_valid(before, around) and is_valid(after, around)):
            continue
        tried += 1
        lines = found(before, after, around)
        assert not lines, story(before, after, None, None, lines)
        was, now = decided(before, around), decided(after, around)
        for _ in range(REQUESTS // 5):
            asked = request(rnd, before)
            denied += asked(was).granted and not asked(now).granted
            assert not list(news(asked, was, now)), story(before, after, asked, None, lines)
    assert denied > NARROWED // 10
