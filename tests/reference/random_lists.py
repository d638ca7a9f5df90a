"""Random lists of rules that are much alike, and requests that some rule of a list may well grant:
for the tests of what is said about lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.engine.decide import (
    Decision,
    Ruleset,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from rowkeeper.rules.engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from tests.reference import random_cases as make
from tests.reference.random_cases import COLUMNS

Rules = list[dict[str, Any]]


def random_list(rnd: Random) -> Rules:
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
    found = {key: rnd.choice([rule, other]).get(key) for key in sorted({*rule, *other})}
    for key in ("require", "include", "exclude", "appId", "enabled"):
        if make.chance(rnd, 0.4):
            found.pop(key, None)
    if make.chance(rnd, 0.2):
        found["allow"] = rnd.choice(["all", "loggedIn"])
    if make.chance(rnd, 0.15):
        found.update(rnd.choice([{"require": []}, {"exclude": []}, {"appId": []}]))
    return json.loads(json.dumps({key: value for key, value in found.items() if value is not None}))


def place(rnd: Random) -> LintContext:
    secret = frozenset(["it's"]) if make.chance(rnd, 0.3) else frozenset()
    return LintContext(tuple(COLUMNS), secret, signs_in_as="People" if secret else None)


@dataclass(frozen=True)
class Request:
    """Who asks for what. Call it with a compiled list to decide it."""

    operation: str
    who: Identity
    ask: Any

    def __call__(self, ruleset: Ruleset) -> Decision:
        decide: Any = DECIDE[self.operation]
        decision: Decision = decide(ruleset, self.who, self.ask)
        return decision


DECIDE = {
    "select": decide_select,
    "insert": decide_insert,
    "update": decide_update,
    "delete": decide_delete,
}


def request(rnd: Random, rules: Rules) -> Request:
    """A request to ask a compiled list, with something that a rule of it may well grant."""
    user = make.user(rnd)
    # A token is nobody's login.
    token = rnd.choice([None, 1, 2]) if user is None else None
    who = Identity(user, token, rnd.choice([None, 1, 2]))
    wants = wanted(rnd, rules, user)
    operation = rnd.choice([*rnd.choice(rules)["type"], rnd.choice(make.OPERATIONS)])
    own = make.chance(rnd, 0.3)
    if operation in ("select", "delete"):
        if make.chance(rnd, 0.7):
            where = make.implying(rnd, wants) if make.chance(rnd, 0.7) else make.where(rnd)
            names = tuple(make.some(rnd, COLUMNS, 2)) if make.chance(rnd, 0.4) else ()
            return Request(operation, who, QueryRequest(parse_where(where, COLUMNS), names))
        return Request(operation, who, EntryRequest([{**make.row(rnd), **meeting(rnd, wants)}]))
    if operation == "insert":
        row = {**make.row(rnd), **meeting(rnd, wants)}
        return Request(operation, who, Insert([row]))
    stored = {**make.row(rnd), **meeting(rnd, wants)}
    sent = {**(make.row(rnd) if make.chance(rnd, 0.5) else {}), **meeting(rnd, wants)}
    replaces = make.chance(rnd, 0.3)
    return Request(operation, who, Update([Change(sent, stored, own)], replaces))


def wanted(rnd: Random, rules: Rules, user: dict[str, Any] | None) -> list[Any]:
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


def decided(rules: Rules, place: LintContext) -> Ruleset:
    """The list, compiled for the place."""
    return compile_rules(rules, COLUMNS, place.secret, place.signs_in_as is not None)


def changed(rnd: Random, rules: Rules) -> Rules:
    """What somebody may make of a list: rules moved, removed, added, and altered a little."""
    found: Rules = json.loads(json.dumps(rules))
    for _ in range(rnd.choice([1, 1, 2])):
        at = rnd.randrange(len(found) + 1)
        if at == len(found) or make.chance(rnd, 0.15):
            found.insert(at, make.rule(rnd, rnd.choice(make.OPERATIONS)))
        elif make.chance(rnd, 0.25):
            found.insert(rnd.randrange(len(found)), found.pop(at))
        elif make.chance(rnd, 0.25):
            del found[at]
        else:
            found[at] = altered(rnd, found[at])
    return found


def altered(rnd: Random, rule: dict[str, Any]) -> dict[str, Any]:
    found = dict(rule)
    other = make.rule(rnd, rnd.choice(rule["type"]))
    for key in rnd.sample(
        ["enabled", "type", "allow", "require", "include", "exclude", "appId"], 2
    ):
        if make.chance(rnd, 0.3) and key not in ("type", "allow"):
            found.pop(key, None)
        elif key in ("require", "include", "exclude") and key in found and make.chance(rnd, 0.6):
            found[key] = [item for item in found[key] if make.chance(rnd, 0.7)]
            found[key] += other.get(key, []) if make.chance(rnd, 0.4) else []
        elif key in other:
            found[key] = other[key]
    return found
