"""Subsumption: does one rule decide every request that another rule could decide?

Every answer is conservative: "yes" is certain, while "no" may mean that it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from rowkeeper.datasources.values.codec import canonical
from rowkeeper.datasources.values.validation import same

from ..engine.rule import Allow, Condition, Operation, Provided, Requirement, Rule
from ..engine.templates import Template

# Identifies a requirement: equal for requirements that mean the same.
Key: TypeAlias = tuple[str, ...]
# The most tests of the user that are compared one by one. Longer lists are only compared as sets.
MAX_TESTS = 8


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What comparing a rule with others needs, computed once, as every pair is compared."""

    rule: Rule
    allow: Allow
    # The conditions on the user, by column.
    tests: dict[str, list[Condition]]
    tested: frozenset[Key]
    # The conditions on entries, by column.
    wants: dict[str, list[Condition]]
    # All requirements; and of an update, those on the stored entry and those on the submitted data.
    required: frozenset[Key]
    stored: frozenset[Key]
    sent: frozenset[Key]
    # The hidden names, and the names that `include` opens, both with their prefixes. A secret name
    # in `include` is still hidden from reads.
    hidden: frozenset[str]
    opened: frozenset[str]

    @classmethod
    def of(cls, rule: Rule) -> RuleFacts:
        """The facts of a rule. For a script, which can let anybody in, its lists do not count."""
        scripted = rule.script is not None
        allow = Allow("all") if scripted else rule.allow
        require = () if scripted else rule.require
        conditions = [item for item in require if isinstance(item, Condition)]
        return cls(
            rule,
            allow,
            _by_column(allow.conditions),
            frozenset(map(key, allow.conditions)),
            _by_column(conditions),
            frozenset(map(key, require)),
            frozenset(key(item) for item in conditions if item.on_stored),
            frozenset(
                key(item) for item in require if isinstance(item, Provided) or item.on_submitted
            ),
            _paths(rule.columns.hidden),
            _paths((rule.columns.include or frozenset()) - rule.columns.hidden),
        )


def _by_column(conditions: Iterable[Condition]) -> dict[str, list[Condition]]:
    found: dict[str, list[Condition]] = {}
    for condition in conditions:
        found.setdefault(condition.column, []).append(condition)
    return found


def _paths(names: Iterable[str]) -> frozenset[str]:
    """Names and all their dotted prefixes, with and without a leading `data.`."""
    found: set[str] = set()
    for name in names:
        for reading in {name, name.removeprefix("data.")}:
            parts = reading.split(".")
            found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(found)


def key(item: Requirement) -> Key:
    """What identifies a requirement: equal for two that require the same."""
    if isinstance(item, Provided):
        return ("provided", item.column)
    if isinstance(item.operand, Template):
        return (item.op, item.column, "template", item.operand.source)
    return (item.op, item.column, "value", canonical(item.operand))


def covers(first: RuleFacts, second: RuleFacts, operation: Operation) -> bool:
    """Whether `first` decides every request for the operation that `second` could decide."""
    if first.rule.broken is not None or first.rule.script is not None:
        return False
    if not (covers_apps(first.rule, second.rule) and covers_people(first, second)):
        return False
    if operation == "insert":
        return True  # the rule grants or rejects every insert of its people
    if operation == "update":
        return first.stored <= second.stored
    return reads_all(first, second, operation)


def covers_apps(first: Rule, second: Rule) -> bool:
    """Whether the first rule is for every app that the second is for."""
    if first.app_ids is None:
        return True
    return second.app_ids is not None and second.app_ids <= first.app_ids


def covers_people(first: RuleFacts, second: RuleFacts) -> bool:
    """Whether the first rule lets in everyone whom the second lets in."""
    if first.allow.kind == "all":
        return True
    if first.allow.kind == "tokens":
        return second.allow.kind == "tokens" and second.allow.tokens <= first.allow.tokens
    if second.allow.kind not in ("loggedIn", "user"):
        return False
    if first.tested <= second.tested:
        return True
    few = len(first.allow.conditions) <= MAX_TESTS
    return few and all(follows(test, second) for test in first.allow.conditions)


def follows(test: Condition, known: RuleFacts) -> bool:
    """Whether a condition on the user holds for everyone whom the rule `known` lets in."""
    return any(_implies(item, test) for item in known.tests.get(test.column, ()))


def _implies(known: Condition, test: Condition) -> bool:
    if key(known) == key(test):
        return True
    if known.op == test.op == "equals" and _is_own_value(test):
        return known.operand != ""
    if isinstance(known.operand, Template) or isinstance(test.operand, Template):
        return False
    return known.op == "equals" and test.met_by({test.column: known.operand}, {})


def _is_own_value(test: Condition) -> bool:
    """Whether users are compared with themselves, so that everyone who has a value passes."""
    return isinstance(test.operand, Template) and test.operand.sole_path == (test.column,)


def may_meet(first: RuleFacts, second: RuleFacts) -> bool:
    """Whether some request may be for both rules. False is certain, true is not."""
    apps, others = first.rule.app_ids, second.rule.app_ids
    if apps is not None and others is not None and apps.isdisjoint(others):
        return False
    kinds = {first.allow.kind, second.allow.kind}
    if kinds == {"tokens"}:
        return not first.allow.tokens.isdisjoint(second.allow.tokens)
    if "tokens" in kinds:
        return "all" in kinds  # no user is signed in by a token
    if len(first.allow.conditions) > MAX_TESTS:
        return True
    return not any(
        excludes(left, right)
        for left in first.allow.conditions
        for right in second.tests.get(left.column, ())
    )


def overlap(rule: RuleFacts, other: RuleFacts) -> RuleFacts | None:
    """The first rule, limited to the people whom both rules let in; None if there are none."""
    first, second = rule.allow, other.allow
    tokens = first.tokens & second.tokens if first.kind == second.kind else frozenset()
    conditions = {key(test): test for test in (*first.conditions, *second.conditions)}
    kind = max(first.kind, second.kind, key=["all", "loggedIn", "user", "tokens"].index)
    if kind == "tokens":
        tokens = tokens or first.tokens or second.tokens
    apps, others = rule.rule.app_ids, other.rule.app_ids
    both = others if apps is None else apps if others is None else apps & others
    if both == frozenset():
        return None
    allow = Allow(kind, tuple(conditions.values()), tokens)
    return RuleFacts.of(replace(rule.rule, allow=allow, app_ids=both))


def excludes(left: Condition, right: Condition) -> bool:
    """Whether no value of the column meets both conditions; false for different columns."""
    if left.column != right.column:
        return False
    if isinstance(left.operand, Template) or isinstance(right.operand, Template):
        return False
    if left.op == right.op == "equals":
        return not same(left.operand, right.operand)
    held, test = (left, right) if left.op == "equals" else (right, left)
    return held.op == "equals" and not test.met_by({held.column: held.operand}, {})


def _given(rule: RuleFacts, operation: Operation) -> frozenset[Key]:
    """The requirements that are met by every request that fits the rule.

    If a rule requires a column, only queries can meet it, and these repeat its conditions. In a
    select, any condition on the column is enough. A delete needs an equality; it may repeat
    `equals` as `$in`, which is not one.
    """
    items = () if rule.rule.script is not None else rule.rule.require
    if operation != "select" or not any(isinstance(item, Provided) for item in items):
        return rule.required
    return rule.required | {("provided", item.column) for item in items}


def reads_all(first: RuleFacts, second: RuleFacts, operation: Operation) -> bool:
    """Whether every read that fits the second rule fits the first.

    The first rule must require no more and hide no more.
    """
    if not first.required <= _given(second, operation):
        return False
    if first.rule.columns.include is None and not first.rule.columns.hidden:
        return True
    scripted = second.rule.script is not None
    return not scripted and _shows_all(first, second) and _names_all(first, second)


def _names_all(first: RuleFacts, second: RuleFacts) -> bool:
    """Whether the first rule lets requests name the hidden columns that the second does.

    A request may name a hidden column to repeat a requirement on it.
    """
    return not any(
        key(item) not in first.required and first.rule.columns.hides_column(item.column)
        for items in second.wants.values()
        for item in items
    )


def _shows_all(first: RuleFacts, second: RuleFacts) -> bool:
    """Whether the first rule shows every column that the second shows, and lets it be named."""
    wide, narrow = first.rule.columns, second.rule.columns
    if wide.include is not None:
        return narrow.include is not None and narrow.include <= wide.include
    if narrow.include is None:
        return wide.hidden <= narrow.hidden
    return first.hidden.isdisjoint(second.opened)
