"""A world that is small enough to try everything: two columns, few values, every kind of caller.

What is said about a list of rules is compared with the decisions on all requests of this world.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations, product
from random import Random
from typing import Any

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.analysis.lint import check_rules
from rowkeeper.rules.engine.decide import Decision, Ruleset, compile_rules
from rowkeeper.rules.engine.problems import Problem
from rowkeeper.rules.engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from rowkeeper.rules.engine.rule import OPERATIONS
from tests.reference.random_lists import Request, Rules

COLUMNS = ("A", "Salary")
STORED: tuple[Any, ...] = (None, "x", "y", ["x", "y"])
SENT: tuple[Any, ...] = (None, "x", "y", "")
USERS: tuple[dict[str, Any], ...] = ({}, {"Role": "x"}, {"Role": "y"})

# Whoever presents no credential belongs to no app.
PEOPLE = [
    Identity(),
    *(Identity(user=user, app_id=app) for user in USERS for app in (None, 1)),
    *(Identity(token_id=token, app_id=app) for token in (1, 2) for app in (None, 1)),
]


def rows(values: Sequence[Any]) -> list[dict[str, Any]]:
    """Every row of these values; None: the column is missing."""
    return [
        {name: value for name, value in zip(COLUMNS, found, strict=True) if value is not None}
        for found in product(values, repeat=len(COLUMNS))
    ]


def _tests(column: str) -> list[list[dict[str, Any]]]:
    """No condition on a column, every single one, every two without `$in`."""
    ways = [{column: {op: v}} for op in ("$eq", "$ne", "$like") for v in ("x", "y")]
    # `$in` of one value holds where `$eq` does, and is no equality.
    among: list[list[dict[str, Any]]] = [[{column: {"$in": [v]}}] for v in ("x", "y")]
    return [[], *([way] for way in ways), *map(list, combinations(ways, 2)), *among]


WHERES = [
    parse_where({"$and": [*first, *second]} if first or second else {}, COLUMNS)
    for first, second in product(_tests("A"), _tests("Salary"))
]
UNDECLARED = [{"Missing": "x"}, {"Other": "x"}]
# Requests that name a column that is not declared, with one test of each column at most.
NAMING = [
    QueryRequest(
        parse_where({"$and": [*first, *second]} if first or second else {}, COLUMNS), (name,)
    )
    for first, second in product(_tests("A")[:7], _tests("Salary")[:7])
    for name in ("Missing", "Other")
]
ASKS: dict[str, list[Any]] = {
    "select": [*map(QueryRequest, WHERES), *NAMING, *(EntryRequest([row]) for row in rows(STORED))],
    "insert": [Insert([row]) for row in [*rows(SENT), *UNDECLARED]],
    "update": [
        Update([Change(sent, stored, own)])
        for stored in rows(STORED)
        for sent in [*rows(SENT), *UNDECLARED]
        for own in (False, True)
    ],
}
ASKS["delete"] = ASKS["select"]


class World:
    """A list of rules in its place, with what is said about it and every decision by it."""

    def __init__(self, rules: Rules, place: LintContext) -> None:
        self.rules = rules
        self.place = place
        self._known: dict[str, list[tuple[Request, Decision]]] = {}

    @cached_property
    def ruleset(self) -> Ruleset:
        return compile_rules(
            self.rules, COLUMNS, self.place.secret, self.place.signs_in_as is not None
        )

    @cached_property
    def problems(self) -> list[Problem]:
        return check_rules(self.rules, self.place)

    def said(self, code: str) -> list[Problem]:
        return [problem for problem in self.problems if problem.code == code]

    def every(self, *operations: str) -> Iterator[tuple[Request, Decision]]:
        """Every request for the operations, with its decision."""
        for operation in operations or OPERATIONS:
            if operation not in self._known:
                asked = (Request(operation, who, a) for who in PEOPLE for a in ASKS[operation])
                self._known[operation] = [(each, each(self.ruleset)) for each in asked]
            yield from self._known[operation]

    def with_rules(self, rules: Rules) -> World:
        return World(rules, self.place)

    def alone(self, position: int, **changes: Any) -> World:
        """One rule by itself, with some properties changed, or removed where None."""
        rule = {**self.rules[position - 1], **changes}
        return self.with_rules([{k: v for k, v in rule.items() if v is not None}])

    def __str__(self) -> str:
        return f"{self.rules} in {self.place}"


def stopped_at(decision: Decision) -> int:
    """The position of the last rule that was looked at; 0: none was."""
    return max((rule.position for rule, _ in decision.notes), default=0)


# -- random lists


def random_world(rnd: Random) -> World:
    """A valid list of rules, in a data source that people may sign in against."""
    while True:
        signs_in = rnd.random() < 0.4
        place = LintContext(
            COLUMNS,
            secret=frozenset(["Salary"]) if signs_in and rnd.random() < 0.6 else frozenset(),
            several_kinds=rnd.random() < 0.3,
            signs_in_as="People" if signs_in else None,
            user_columns=frozenset(["Role"]) if signs_in else None,
        )
        rules = [_rule(rnd) for _ in range(rnd.choice([1, 2, 2, 3]))]
        if len(rules) == 1 and rnd.random() < 0.1:
            # Nobody passes this test.
            never = {"user": {"Role": {"notequals": "{{user.Role}}"}}}
            rules = [{"type": ["select"], "allow": never}]
        world = World(rules, place)
        if all(problem.severity != "error" for problem in world.problems):
            return world


def _rule(rnd: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"type": rnd.sample(OPERATIONS, rnd.choice([1, 1, 2]))}
    found["allow"] = rnd.choice(
        [
            "all",
            "loggedIn",
            "loggedIn",
            {"tokens": [1]},
            {"user": {"Role": {"equals": "x"}}},
            {"user": {"Role": {"equals": "{{user.Role}}"}}},
        ]
    )
    if rnd.random() < 0.1:
        found["enabled"] = False
    if rnd.random() < 0.15:
        found["appId"] = rnd.choice([[], [1]])
    if rnd.random() < 0.6:
        found["require"] = [_requirement(rnd) for _ in range(rnd.choice([0, 1, 1, 2]))]
    for name in ("include", "exclude"):
        if rnd.random() < 0.35:
            names = [*COLUMNS, "Missing"] if rnd.random() < 0.1 else COLUMNS
            found[name] = rnd.sample(names, rnd.choice([0, 1, 1, 2]))
    return found


def _requirement(rnd: Random) -> Any:
    column = rnd.choice(COLUMNS)
    if rnd.random() < 0.3:
        return column
    value = "{{user.Role}}" if rnd.random() < 0.25 else rnd.choice(["x", "y"])
    test = {rnd.choice(["equals", "equals", "notequals", "contains"]): value}
    if rnd.random() < 0.3:
        test["on"] = rnd.choice(["stored", "submitted", "both"])
    return {column: test}
