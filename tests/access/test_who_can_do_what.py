"""Who can do what, against brute force: each kind of people with every request of a small world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random, randrange
from typing import Any

import pytest

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.access_matrix import (
    Caller,
    Grant,
    access_to,
    callers,
    grants,
    reachable,
)
from rowkeeper.rules.analysis.subsumption import RuleFacts
from rowkeeper.rules.describe.access import access_in_short
from rowkeeper.rules.describe.overview import overviews
from rowkeeper.rules.describe.rule import sentence, summaries
from rowkeeper.rules.engine.decide import Decision
from rowkeeper.rules.engine.parse import parse_rules
from rowkeeper.rules.engine.requests import EntryRequest
from rowkeeper.rules.engine.rule import OPERATIONS, Operation
from rowkeeper.rules.repository.rules import save_rules
from tests.reference import reading
from tests.reference.random_lists import Request
from tests.reference.small_world import COLUMNS, PEOPLE, World, random_world

LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))
SEED = int(os.environ.get("READING_SEED", randrange(10**9)))
LISTS = 100 if LONG else 8


def is_one(caller: Caller, who: Identity) -> bool:
    """Whether somebody is of a kind of people."""
    kind = caller.allow.kind
    if kind == "tokens":
        return who.token_id in caller.allow.tokens
    if kind == "nobody" or who.user is None:
        return kind == "nobody" and who.is_anonymous
    return all(test.met_by(who.user, who.user) for test in caller.allow.conditions)


def is_no_more(caller: Caller, who: Identity) -> bool:
    """Whether no rule for other people lets somebody in as well."""
    if not is_one(caller, who) or who.user is None:
        return is_one(caller, who)
    tests_role = bool(caller.allow.conditions)
    by_template = any(not isinstance(test.operand, str) for test in caller.allow.conditions)
    return who.user == ({"Role": "y"} if by_template else {"Role": "x"} if tests_role else {})


def of(world: World, caller: Caller, operation: Operation) -> list[Grant]:
    signs_in = world.place.signs_in_as is not None
    facts = [RuleFacts.of(rule) for rule in world.ruleset.rules]
    return grants(facts, caller, operation, frozenset(COLUMNS) if signs_in else None)


def granted(world: World, operation: str) -> Iterator[tuple[Request, Decision]]:
    """What is granted; only a session has a row of its own."""
    for asked, decision in world.every(operation):
        own = operation == "update" and asked.ask.changes[0].own_row
        if decision.granted and not (own and asked.who.user is None):
            yield asked, decision


def opened(asked: Request, decision: Decision) -> list[str]:
    """The columns that a request shows or writes."""
    if asked.operation == "delete":
        return [""]
    if asked.operation == "select":
        return [name for name in COLUMNS if decision.shown.shows(name)]
    if asked.operation == "insert":
        return list(asked.ask.rows[0])
    (change,) = asked.ask.changes
    return [c for c, value in change.submitted.items() if change.stored.get(c) != value]


@pytest.mark.parametrize("part", range(2))
def test_it_lists_what_requests_are_granted(part: int) -> None:
    rnd = Random(f"who {part} {SEED}")
    for _ in range(LISTS // 2):
        world = random_world(rnd)
        for operation in OPERATIONS:
            everything = list(granted(world, operation))
            by = {d.rule.position for _, d in everything if d.rule is not None}
            reached = reachable(world.ruleset.rules, operation)
            if is_exact(world, operation):
                assert by == reached, f"{SEED}: {world} {operation}"
            assert by <= reached, f"{SEED}: {world} {operation}"
            for caller in callers(world.ruleset.rules):
                said = f"{SEED}: {world}: {operation} by {caller.allow}"
                exact = is_exact(world, operation)
                check(of(world, caller, operation), caller, everything, said, exact)


def is_exact(world: World, operation: str) -> bool:
    """Whether it is known what requests can reach. Several conditions on one column can contradict
    each other. A delete by query needs a select of the same columns; which of these two rules name
    in common is not looked at.
    """
    hides = any({"include", "exclude"} & rule.keys() for rule in world.rules)
    several = any(
        len(names) > len(set(names))
        for rule in world.rules
        for names in [[c for item in rule.get("require", ()) for c in _columns(item)]]
    )
    if operation == "update" and any(_requires_closed(rule) for rule in world.rules):
        return False  # only what a select shows can be sent back
    return not several and (operation != "delete" or not hides)


def _requires_closed(rule: dict[str, Any]) -> bool:
    wanted = [name for item in rule.get("require", ()) for name in _columns(item)]
    return not all(reading.shows(rule, name) for name in wanted)


def _columns(item: str | dict[str, object]) -> list[str]:
    return [item] if isinstance(item, str) else list(item)


def check(
    found: list[Grant],
    caller: Caller,
    everything: list[tuple[Request, Decision]],
    said: str,
    exact: bool,
) -> None:
    """What is listed is reached by some of these people, and nothing else by one of them of whom no
    more is known; column by column as well.
    """
    some = [each for each in everything if is_one(caller, each[0].who)]
    plain = [each for each in some if is_no_more(caller, each[0].who)]
    listed = {grant.rule.position for grant in found}
    assert not exact or listed <= {d.rule.position for _, d in some if d.rule}, said
    assert {d.rule.position for _, d in plain if d.rule} <= listed, said
    operation = found[0].operation if found else ""
    for column in [""] if operation == "delete" else COLUMNS:
        access = access_to(found, column)[0]
        hit = [each for each in plain if column in opened(*each)]
        assert not hit or access != "no", f"{said} `{column}`"
        assert not exact or access == "no" or any(column in opened(*each) for each in some), (
            f"{said} `{column}`"
        )
        if access == "yes":
            always(operation, column, caller, everything, f"{said} `{column}`")


def always(
    operation: str,
    column: str,
    caller: Caller,
    everything: list[tuple[Request, Decision]],
    said: str,
) -> None:
    """Each entry that holds the column is shown with it, and each value of it can be written."""
    for who in filter(lambda each: is_no_more(caller, each), PEOPLE):
        theirs = [each for each in everything if each[0].who == who]
        if operation in ("select", "delete"):
            by_id = [each for each in theirs if isinstance(each[0].ask, EntryRequest)]
            assert len([each for each in by_id if column in opened(*each)]) == 16, said
        else:
            ways = [each for each in theirs if opened(*each) == [column]]
            assert ways, said


OWN = {"A": {"equals": "{{user.Role}}"}}
WITH_ROLE = {"user": {"Role": {"equals": "{{user.Role}}"}}}
# The rules, who asks, the operation, and the positions of the rules that are listed.
CASES: list[tuple[str, list[dict[str, object]], str, Operation, list[int]]] = [
    (
        "an earlier rule shows as much",
        [
            {"type": ["select"], "allow": "all", "exclude": ["A"]},
            {"type": ["select"], "allow": "loggedIn", "exclude": ["A", "Salary"]},
        ],
        "loggedIn",
        "select",
        [1],
    ),
    (
        "a template that nobody fills",
        [{"type": ["select"], "allow": "all", "require": [OWN]}],
        "nobody",
        "select",
        [],
    ),
    (
        "a template that only those fill in whom an earlier rule lets in",
        [
            {"type": ["insert"], "allow": WITH_ROLE},
            {"type": ["insert"], "allow": "all", "require": [OWN]},
        ],
        "loggedIn",
        "insert",
        [],
    ),
    (
        "a template that others fill in as well",
        [
            {"type": ["insert"], "allow": {"user": {"Role": {"equals": "x"}}}},
            {"type": ["insert"], "allow": "all", "require": [OWN]},
        ],
        "loggedIn",
        "insert",
        [2],
    ),
    (
        "a delete by query where only others can read",
        [
            {"type": ["delete", "select"], "allow": "loggedIn", "appId": [1]},
            {"type": ["delete"], "allow": "all", "require": ["A"]},
        ],
        "loggedIn",
        "delete",
        [1],
    ),
    (
        "a select by query that names what an earlier rule requires",
        [
            {"type": ["select"], "allow": "all", "require": ["A"]},
            {"type": ["select"], "allow": "all", "require": [{"A": {"equals": "y"}}, "Salary"]},
        ],
        "loggedIn",
        "select",
        [1],
    ),
    (
        "a delete by query that meets an equality by $in, which gives no column",
        [
            {"type": ["delete"], "allow": "all", "require": ["A"]},
            {
                "type": ["delete", "select"],
                "allow": "all",
                "require": [{"A": {"equals": "y"}}, "Salary"],
            },
        ],
        "loggedIn",
        "delete",
        [1, 2],
    ),
    (
        "an app without a credential",
        [{"type": ["select"], "allow": "all", "appId": [1]}],
        "nobody",
        "select",
        [],
    ),
    (
        "a column that has to be sent, and may not be",
        [{"type": ["insert"], "allow": "all", "require": ["A"], "exclude": ["A"]}],
        "nobody",
        "insert",
        [],
    ),
    (
        "an insert that an earlier rule rejects",
        [
            {"type": ["insert"], "allow": "loggedIn", "require": ["A"]},
            {"type": ["insert"], "allow": "all"},
        ],
        "loggedIn",
        "insert",
        [1],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_what_no_request_reaches_is_not_listed(
    case: tuple[str, list[dict[str, object]], str, Operation, list[int]],
) -> None:
    _, rules, kind, operation, listed = case
    parsed = parse_rules(rules, frozenset(COLUMNS))[0]
    (caller,) = [each for each in callers(parsed) if each.allow.kind == kind]
    found = grants([RuleFacts.of(rule) for rule in parsed], caller, operation)
    assert [grant.rule.position for grant in found] == listed


def test_a_rule_that_includes_secret_columns_alone_adds_nothing_to_one_that_hides_them() -> None:
    rules = [
        {"type": ["select"], "allow": "loggedIn"},
        {"type": ["select"], "allow": "loggedIn", "include": ["Salary"]},
    ]
    parsed = parse_rules(rules, frozenset(COLUMNS), secret=frozenset({"Salary"}))[0]
    assert reachable(parsed, "select") == {1}


def test_a_column_that_an_earlier_rule_hides_is_not_always_read() -> None:
    rules = [
        {"type": ["select"], "allow": "all", "exclude": ["Salary"], "require": ["A"]},
        {"type": ["select"], "allow": "all"},
    ]
    parsed = parse_rules(rules, frozenset(COLUMNS))[0]
    found = grants([RuleFacts.of(rule) for rule in parsed], callers(parsed)[0], "select")
    assert access_to(found, "A")[0] == "yes"
    access, (grant,) = access_to(found, "Salary")
    assert (access, grant.unless("Salary")) == ("if", [1])


@pytest.mark.django_db
def test_the_pages_do_not_list_a_rule_for_an_app_as_open() -> None:
    rules = [{"type": ["select"], "allow": "all", "appId": [3]}]
    parsed = parse_rules(rules, frozenset(COLUMNS))[0]
    assert access_in_short(parsed)["select"] == "users and API tokens of app 3"
    assert sentence(summaries(rules)[0]) == "Users and API tokens of app 3 can read everything"
    source = DataSource.objects.create(name="Staff", columns=list(COLUMNS))
    save_rules(source, rules)
    (nobody, *_) = overviews([source])[0].lines
    assert (nobody.who, nobody.cells) == ("nobody signed in", [[], [], [], []])
