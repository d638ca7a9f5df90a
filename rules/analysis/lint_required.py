"""A check for columns that a rule requires but does not open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rowkeeper.datasources.values.validation import printable

from ..engine.problems import Problem
from ..engine.rule import OPERATIONS, Operation, Rule
from .context import LintContext
from .satisfiable import Asker, unfit_columns
from .subsumption import RuleFacts, may_meet

_READS = frozenset(("select", "delete"))
_PATHS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}


def required_and_hidden(rules: Sequence[Rule], place: LintContext) -> Iterator[Problem]:
    """The problems of enabled, valid rules.

    Requests cannot name a hidden column freely, and writes cannot send a closed one.
    """
    facts = [RuleFacts.of(rule) for rule in rules if rule.enabled and rule.broken is None]
    for each in facts:
        if each.rule.script is None and each.rule.require:
            yield from _of_rule(each, facts, place)


def _of_rule(each: RuleFacts, facts: Sequence[RuleFacts], place: LintContext) -> Iterator[Problem]:
    rule = each.rule
    declared = None if place.signs_in_as is None else frozenset(place.columns)
    reads = _reads(each, facts)
    unfit: dict[str, list[Operation]] = {}
    sent_back: set[str] = set()
    for operation in OPERATIONS:
        if operation not in rule.operations:
            continue
        for column in unfit_columns(rule, operation, Asker(declared=declared)):
            unfit.setdefault(column, []).append(operation)
        if operation == "update":
            able = Asker(declared=declared, reads=reads)
            left = set(unfit_columns(rule, operation, able))
            sent_back = {c for c in unfit if "update" in unfit[c] and c not in left}
    for column in sorted({item.column for item in rule.require}):
        text = _said(rule, column, unfit.get(column, []), column in sent_back)
        if text is not None:
            path = "exclude" if rule.columns.include is None else "include"
            yield Problem(rule.position, path, text, "required-and-hidden", "warning")


def _said(rule: Rule, column: str, unfit: Sequence[Operation], sent_back: bool) -> str | None:
    name = f"`{printable(column)}`"
    never = [operation for operation in unfit if not (sent_back and operation == "update")]
    if never:
        what = " and no ".join(dict.fromkeys(_PATHS[operation] for operation in never))
        return f"{name} is required, but this rule does not show it: no {what} matches this rule"
    if sent_back:
        return (
            f"{name} is required, but cannot be written: this rule grants an update only if it "
            "sends the stored value"
        )
    if _READS & rule.operations and rule.columns.hides_column(column):
        return (
            f"{name} is required and hidden: a request may use it only in the same condition as "
            "the requirement"
        )
    return None


def _reads(each: RuleFacts, facts: Sequence[RuleFacts]) -> Callable[[str], bool]:
    """Whether some select can show a column to people whom the rule lets in."""
    readers = [
        other for other in facts if "select" in other.rule.operations and may_meet(other, each)
    ]
    return lambda column: any(
        other.rule.script is not None or other.rule.columns.shows(column) for other in readers
    )
