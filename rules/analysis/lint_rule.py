"""Warnings about rules that are valid but probably not meant. They never prevent a save.

Disabled rules do nothing and scripts cannot be analyzed this way, so both are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..engine.parse import parse_rules
from ..engine.problems import Problem
from ..engine.rule import Condition, Rule
from ..engine.templates import Template

SOURCE = "Source"


def warnings_with(
    rules: list[dict[str, Any]], columns: Sequence[str], several_kinds: bool
) -> list[Problem]:
    """The warnings of this module about a list of rules; rules that are not valid are skipped.

    `several_kinds`: whether users of more than one kind can sign in (see `Source` in the rules).
    """
    return [
        problem
        for rule in parse_rules(rules, frozenset(columns))[0]
        if rule.enabled and rule.broken is None
        for problem in warnings(rule, several_kinds)
    ]


def warnings(rule: Rule, several_kinds: bool) -> Iterator[Problem]:
    """The warnings about one rule that is enabled and valid."""
    if rule.script is None:
        yield from _any_record(rule)
        if several_kinds:
            yield from _any_kind(rule)


def _any_record(rule: Rule) -> Iterator[Problem]:
    """Report an update rule without a condition on stored data: it lets every entry be changed."""
    if "update" not in rule.operations:
        return
    if any(condition.on_stored for condition in _conditions(rule)):
        return
    yield Problem(
        rule.position,
        "require" if rule.require else "",
        "every entry can be updated, because no condition tests the stored entry; add one with "
        'a template, a `notequals`, or `"on": "both"`',
        "any-record",
        # It is plausible that certain users, or a program, are meant to change everything.
        "info" if rule.allow.kind in ("user", "tokens") and not rule.require else "warning",
    )


def _any_kind(rule: Rule) -> Iterator[Problem]:
    """Report a test of the user that does not say which data source's users are meant."""
    if rule.allow.kind == "tokens":
        return  # no user at all
    if any(condition.column == SOURCE for condition in rule.allow.conditions):
        return
    templates = [item for item in _conditions(rule) if isinstance(item.operand, Template)]
    if not rule.allow.conditions and not templates:
        return
    yield Problem(
        rule.position,
        "allow",
        "the user is tested without `Source`, but more than one kind of user can sign in: "
        f"{_with_source(rule)}; otherwise, users of another data source can match as well",
        "any-kind-of-user",
        "warning",
    )


def _with_source(rule: Rule) -> str:
    """The suggestion: to extend `allow.user`, or to replace a keyword by it."""
    if rule.allow.kind == "user":
        return 'add "Source": {"equals": "…"} to `allow.user`'
    return 'write {"user": {"Source": {"equals": "…"}}} as `allow`'


def _conditions(rule: Rule) -> list[Condition]:
    return [item for item in rule.require if isinstance(item, Condition)]
