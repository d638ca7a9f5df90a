"""The linter of rules: errors, probable mistakes, and hints. Every page shows the same list.

Disabled rules are reported for errors only, since they do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..engine.parse import MAX_RULES, parse_rules, too_much
from ..engine.problems import Problem
from ..engine.rule import Rule
from .context import LintContext
from .lint_credentials import credential_problems
from .lint_lists import UnknownColumns, list_problems
from .lint_order import order_problems
from .lint_required import required_and_hidden
from .lint_rule import warnings
from .lint_scripts import script_problems
from .lint_users import people_problems
from .lint_writes import hidden_and_writable

_GRAVITY = {"error": 0, "warning": 1, "info": 2}


def check_rules(raw: Any, place: LintContext) -> list[Problem]:
    """All problems: errors first, then warnings, then hints, each in the order of the rules.

    `raw` can be anything. Rules that are not valid are reported with their errors only.
    """
    if isinstance(raw, list) and len(raw) > MAX_RULES:
        return [Problem(0, "", text) for text in too_much(raw)]
    rules, errors = parse_rules(raw, place.declared, place.secret)
    if any(error.rule == 0 for error in errors):
        return errors  # not a list, or one that is too long
    found = [*errors, *_advice(raw, rules, place)]
    return sorted(found, key=lambda problem: (_GRAVITY[problem.severity], problem.rule))


def _advice(raw: list[Any], rules: list[Rule], place: LintContext) -> Iterator[Problem]:
    valid = [rule for rule in rules if rule.enabled and rule.broken is None]
    unknown = UnknownColumns(place)
    for rule in valid:
        written = raw[rule.position - 1]
        yield from list_problems(written, rule)
        yield from unknown.problems(written, rule)
        yield from script_problems(rule)
        yield from warnings(rule, place.several_kinds)
    yield from people_problems(raw, rules, place)
    yield from credential_problems(rules, place)
    yield from required_and_hidden(rules, place)
    yield from hidden_and_writable(raw, rules, place)
    yield from order_problems(raw, rules)
