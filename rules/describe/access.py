"""Who gets in, in a few words for each operation: the summary above a list of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable

from ..analysis.access_matrix import reachable
from ..engine.rule import OPERATIONS, Condition, Operation, Rule
from ..engine.templates import Template

EVERYONE, SIGNED_IN, NOBODY = "everyone", "signed in", "nobody"
_ON_CONDITIONS = ", on conditions"
_WORDS = {"equals": "is", "notequals": "is not", "contains": "contains"}
MANY = 3
LONG = 40


def access_in_short(rules: Sequence[Rule]) -> dict[Operation, str]:
    """For each operation, who gets in: `signed in`, `Role is “Admin”, API token 7`, `nobody`."""
    return {operation: _of(_enabled_rules(rules, operation)) for operation in OPERATIONS}


def _enabled_rules(rules: Sequence[Rule], operation: Operation) -> Iterable[Rule]:
    reached = reachable(rules, operation)
    return [rule for rule in rules if rule.position in reached]


def _of(rules: Iterable[Rule]) -> str:
    found = dict.fromkeys(map(_who, rules))
    if EVERYONE in found:
        return EVERYONE
    if SIGNED_IN in found:
        found = dict.fromkeys([SIGNED_IN, *(who for who in found if who.startswith(_NO_USER))])
    words = list(found)
    if not words:
        return NOBODY
    return ", ".join(words[:MANY]) + (" and more" if len(words) > MANY else "")


_NO_USER = (EVERYONE, "API token", "by script", "users and API tokens")


def _who(rule: Rule) -> str:
    if rule.script is not None:
        return "by script"
    if rule.app_ids is not None and rule.allow.kind == "all":
        # A request without a credential belongs to no app.
        apps = " or ".join(map(str, sorted(rule.app_ids)))
        return f"users and API tokens of app {apps}{_ON_CONDITIONS if rule.require else ''}"
    app = "" if rule.app_ids is None else f" in app {' or '.join(map(str, sorted(rule.app_ids)))}"
    return f"{_allowed(rule)}{app}{_ON_CONDITIONS if rule.require else ''}"


def _allowed(rule: Rule) -> str:
    if rule.allow.kind == "all":
        return EVERYONE
    if rule.allow.kind == "loggedIn":
        return SIGNED_IN
    if rule.allow.kind == "tokens":
        numbers = sorted(rule.allow.tokens)
        return (
            f"API token {' or '.join(map(str, numbers))}" if len(numbers) < MANY else "API tokens"
        )
    words = " and ".join(_test(test) for test in rule.allow.conditions)
    return words if len(words) <= LONG else "some users"


def _test(test: Condition) -> str:
    operand = test.operand
    value = operand.source if isinstance(operand, Template) else operand
    written = f"“{printable(value)}”" if isinstance(value, str) else dumps(value)
    return f"{printable(test.column)} {_WORDS[test.op]} {written}"
