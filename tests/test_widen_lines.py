"""The review of a save names everything that is new, and nothing where a list only narrows.

The findings are tried on random pairs of lists: what the engine grants or shows anew has to fall
under one of them, going by its fields (operation, people, columns, conditions).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from random import Random, randrange
from typing import Any

import pytest

from datasources.models import DataSource
from datasources.where.nodes import fields
from rules.engine.asks import ById, ByQuery, Insert
from rules.engine.columns import Columns
from rules.engine.decide import Decision, Ruleset, keeps_out
from rules.engine.reasons import Reason
from rules.engine.require import (
    stored_side,
    unmet_by_record,
    unmet_by_stored,
    unmet_by_submitted,
    unmet_by_where,
)
from rules.engine.widen import Widening
from rules.review import opened, review
from rules.saving import save_rules
from rules.told import history
from tests import random_cases as make
from tests import reading
from tests.random_lists import Request, Rules, changed, decided, place, random_list, request
from tests.test_widen import found, is_valid

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
SEED = int(os.environ.get("READING_SEED", randrange(10**9)))
PAIRS, NARROWED, REQUESTS = (2_000, 2_000, 60) if LONG else (250, 300, 25)


# -- does a request fall under a finding?


def falls_under(line: Widening, asked: Request, new: Decision, column: str | None) -> bool:
    """Whether this finding is about the request: `column` is one that it shows anew, None where
    it is granted anew.
    """
    if line.rule.position not in deciding(asked, new) or not is_about(line, asked):
        return False
    if keeps_out(line.rule, asked.who) is not None:
        return False
    old = line.instead_of
    if old is None:
        return column is None or line.rule.columns.shows(column)
    if line.first and keeps_out(old, asked.who) is not None:
        return False
    if column is not None and line.kind == "columns" and has_column(line, column):
        return True
    return is_reason(line, asked, new) and (column is None or old.columns.shows(column))


def is_reason(line: Widening, asked: Request, new: Decision) -> bool:
    """Whether what the finding says is new is what the old list could have denied."""
    if line.kind == "conditions":
        return misses(line, asked, new)
    if line.kind == "unblocked":
        return True
    return any(has_column(line, name) for name in touched(asked))


def deciding(asked: Request, new: Decision) -> list[int]:
    """The rules that granted: of a delete by query, that of the select as well."""
    assert new.rule is not None
    found = [new.rule.position]
    if is_deleting_by_query(asked) or asked.operation == "update":
        # An update may send back what a select shows.
        reads = replace(asked, operation="select", ask=read_of(asked))(new.ruleset)
        found += [reads.rule.position] if reads.rule is not None else []
    return found


def read_of(asked: Request) -> Any:
    return asked.ask if asked.operation != "update" else ById([asked.ask.changes[0].stored])


def is_deleting_by_query(asked: Request) -> bool:
    return asked.operation == "delete" and isinstance(asked.ask, ByQuery)


def is_about(line: Widening, asked: Request) -> bool:
    if asked.operation in line.operations:
        return True
    if is_deleting_by_query(asked):
        return line.deletes and "select" in line.operations
    return asked.operation == "update" and "select" in line.operations and bool(sent_back(asked))


def sent_back(asked: Request) -> list[str]:
    """Columns of an update that do not change."""
    change = asked.ask.changes[0]
    found = [c for c, v in change.submitted.items() if c in change.stored]
    return [*found, *change.stored] if asked.ask.replaces else found


def misses(line: Widening, asked: Request, new: Decision) -> bool:
    """Whether a request does not meet one of the conditions that were dropped."""
    rule, user = replace(line.rule, require=line.dropped), asked.who.user
    if isinstance(asked.ask, ByQuery):
        deletes = asked.operation == "delete"
        return any(
            unmet_by_where(rule, asked.ask.where, user, each, []) is not None
            for each in {deletes, False}
        )
    if isinstance(asked.ask, ById):
        return any(unmet_by_record(rule, row, user) is not None for row in asked.ask.stored)
    if isinstance(asked.ask, Insert):
        rows = asked.ask.rows
        return any(unmet_by_submitted(rule, row, row, user, True) is not None for row in rows)
    (change,) = asked.ask.changes
    side = stored_side(rule, user)
    if isinstance(side, Reason) or unmet_by_stored(side, change.stored) is not None:
        return True
    row = new.rows[0]
    return unmet_by_submitted(rule, change.submitted, row, user, False) is not None


def touched(asked: Request) -> Iterator[str]:
    """Every name that a request names or sends, with what is above it."""
    if isinstance(asked.ask, ByQuery):
        names = [*asked.ask.columns, *(item.name for item in fields(asked.ask.where))]
    elif isinstance(asked.ask, ById):
        names = []
    elif isinstance(asked.ask, Insert):
        names = list(asked.ask.rows[0])
    else:
        change = asked.ask.changes[0]
        names = [*change.submitted, *(change.stored if asked.ask.replaces else ())]
    yield from names


def has_column(line: Widening, name: str) -> bool:
    if Columns.of(exclude=line.columns.names).hides_column(name):
        return True
    assert line.instead_of is not None
    listed = {*make.COLUMNS, *(line.instead_of.columns.include or ())}
    readings = {name, name.removeprefix("data.")}
    heads = {part for each in readings for part in (each, each.split(".")[0])}
    return line.columns.others and not heads <= listed


# -- everything that is new falls under a finding


def news(asked: Request, was: Ruleset, now: Ruleset) -> Iterator[tuple[Decision, str | None]]:
    """What is granted anew (None), and each column that is shown anew."""
    old, new = asked(was), asked(now)
    if new.granted and not old.granted:
        yield new, None
    if asked.operation == "select" and new.granted:
        shown = make.KEYS if isinstance(asked.ask, ByQuery) else asked.ask.stored[0]
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
    before: Rules, after: Rules, asked: Request | None, column: str | None, lines: list[Widening]
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
    open_columns = [c for c in make.COLUMNS if reading.shows(rule, c) and c != "it's"]
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


# -- cases, in words

COLUMNS = ["Name", "Department", "Salary"]
SIGNED_IN = "everyone who is signed in"
OWN = {"Department": {"equals": "{{user.[Department]}}"}}
READ: dict[str, Any] = {"type": ["select"], "allow": "loggedIn"}
CASES: list[tuple[str, Rules, Rules, list[str]]] = [
    (
        "a condition is dropped and a column is opened",
        [{**READ, "exclude": ["Salary"], "require": [OWN]}],
        [READ],
        [
            f"{SIGNED_IN} can read `Salary` (rule 1)",
            f"{SIGNED_IN} can read entries without the condition that Department is the user's "
            "Department (rule 1)",
        ],
    ),
    (
        "a rule that comes first is removed",
        [{**READ, "exclude": ["Salary"]}, {**READ, "allow": "all"}],
        [{**READ, "allow": "all"}],
        [
            "everyone, signed in or not, can read `Salary` (rule 1), where rule 1 of the old rules "
            "decided first"
        ],
    ),
    (
        "a hidden column can be named by repeating what the rule requires",
        [{**READ, "include": ["Name"]}],
        [{**READ, "include": ["Name"], "require": [{"Department": {"equals": "HR"}}]}],
        [
            f"{SIGNED_IN} can choose entries to read by `Department`, which they do not see, if "
            "Department is “HR” (rule 1)"
        ],
    ),
    (
        "a list of columns is replaced",
        [{**READ, "include": ["Name"]}],
        [{**READ, "exclude": ["Salary"]}],
        [f"{SIGNED_IN} can read `Department`, every column that is added later (rule 1)"],
    ),
    (
        "the condition of an update on the stored record is dropped",
        [{"type": ["update"], "allow": "loggedIn", "require": [OWN]}],
        [
            {
                "type": ["update"],
                "allow": "loggedIn",
                "require": [{"Department": {**OWN["Department"], "on": "submitted"}}],
            }
        ],
        [
            f"{SIGNED_IN} can change entries without the condition that Department is the user's "
            "Department (in the stored record), if Department is the user's Department (in what "
            "is sent) (rule 1)"
        ],
    ),
    (
        "a read that a delete by query needs",
        [{"type": ["delete"], "allow": {"tokens": [7]}}],
        [{"type": ["delete"], "allow": {"tokens": [7]}}, {**READ, "allow": {"tokens": [7]}}],
        [
            "API token 7 can read everything (rule 2); who can delete can also delete by such a "
            "query"
        ],
    ),
    (
        "a script that was asked first is removed",
        [{"script": "return None"}, READ],
        [READ],
        [
            f"{SIGNED_IN} can read everything (rule 1), without the script that was asked first "
            "(rule 1 of the old rules)"
        ],
    ),
    (
        "a rule that shows less comes first",
        [READ],
        [{**READ, "exclude": ["Salary"], "require": ["Name"]}, READ],
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_review_says(before: Rules, after: Rules, lines: list[str]) -> None:
    assert opened(before, after, COLUMNS) == lines


@pytest.mark.django_db
def test_the_history_shows_the_same_lines() -> None:
    _, before, after, lines = CASES[0]
    source = DataSource.objects.create(name="People", columns=COLUMNS)
    save_rules(source, before)
    assert review(source, after) == lines
    renamed = [{**after[0], "name": f"rule {number}"} for number in range(20)]
    for rules in (after, renamed):
        save_rules(source, rules)
    newest, second, _ = history(source, list(source.revisions.order_by("-number")), 3)
    assert second.lines[-2:] == lines
    assert newest.more > 0
