"""Satisfiability: can any request meet what a rule requires, given the columns it opens?

"Impossible" is certain: no request fits. "Possible" may be wrong if conditions contradict each
other in a way that is not checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rowkeeper.datasources.values.validation import same

from ..engine.rule import Condition, Operation, Provided, Rule
from ..engine.templates import Template
from .subsumption import excludes


def _never(column: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Asker:
    """The people who send a request, as far as they are known.

    `has_user` is false for anonymous requests and API tokens, whose requests render no template.
    `reads`: whether a select can show these people a column, since an update may send a stored
    value back. `declared`: the columns of a sign-in data source, where no others can be written;
    None elsewhere.
    """

    has_user: bool = True
    reads: Callable[[str], bool] = _never
    declared: frozenset[str] | None = None


def is_for_nobody(rule: Rule) -> bool:
    """Whether a rule lets nobody in: it is for no app, or users have to differ from themselves."""
    return rule.app_ids == frozenset() or (
        rule.script is None
        and any(
            test.op == "notequals"
            and isinstance(test.operand, Template)
            and test.operand.sole_path == (test.column,)
            for test in rule.allow.conditions
        )
    )


def can_fit(rule: Rule, operation: Operation, asker: Asker) -> bool:
    """Whether some request for the operation can meet the rule. A script can always fit."""
    if rule.script is not None:
        return True
    if not asker.has_user and any(_has_template(item) for item in rule.require):
        return False
    if any(unfit_columns(rule, operation, asker)):
        return False
    return operation in ("select", "delete") or not _contradicts(rule, operation)


def _has_template(item: Provided | Condition) -> bool:
    return isinstance(item, Condition) and isinstance(item.operand, Template)


def unfit_columns(rule: Rule, operation: Operation, asker: Asker) -> Iterator[str]:
    """The required columns that no request for the operation can supply."""
    if operation in ("select", "delete"):
        # Entries are also read and deleted by id, where a request names no column.
        by_id = not any(isinstance(item, Provided) for item in rule.require)
        if not by_id or _equals_and_not(rule):
            yield from _unfit_in_query(rule, operation)
        return
    for item in rule.require:
        if _must_be_sent(item, operation) and not _can_be_sent(rule, item.column, operation, asker):
            yield item.column


# -- reads by query


def _unfit_in_query(rule: Rule, operation: Operation) -> Iterator[str]:
    conditions = [item for item in rule.require if isinstance(item, Condition)]
    for item in rule.require:
        hidden = rule.columns.hides_column(item.column)
        if isinstance(item, Provided):
            tests = [each for each in conditions if each.column == item.column]
            if hidden and not any(_provides(each, operation) for each in tests):
                yield item.column
        elif item.op == "contains" and not isinstance(item.operand, Template):
            # A query implies `contains` of text only; a hidden column can only be named by `$like`.
            text = item.operand
            if not isinstance(text, str) or (hidden and "%" in text):
                yield item.column


def _provides(condition: Condition, operation: Operation) -> bool:
    """Whether repeating the condition in a query names the column: a delete needs an equality."""
    return condition.op == "equals" or operation == "select"


def _equals_and_not(rule: Rule) -> bool:
    """Whether no stored entry meets the rule, because two of its conditions are opposites."""
    conditions = [item for item in rule.require if isinstance(item, Condition)]
    return any(
        left.op == "equals"
        and right.op == "notequals"
        and left.column == right.column
        and _same_operand(left, right)
        for left in conditions
        for right in conditions
    )


def _same_operand(left: Condition, right: Condition) -> bool:
    if isinstance(left.operand, Template) or isinstance(right.operand, Template):
        return left.operand == right.operand
    return same(left.operand, right.operand)


# -- writes


def _must_be_sent(item: Provided | Condition, operation: Operation) -> bool:
    if isinstance(item, Provided):
        return True
    return item.op != "notequals" and (item.on_submitted or operation == "insert")


def _can_be_sent(rule: Rule, column: str, operation: Operation, asker: Asker) -> bool:
    if asker.declared is not None and column not in asker.declared:
        return False
    if can_be_written(rule, column, operation, asker.has_user):
        return True
    return operation == "update" and asker.reads(column)


def can_be_written(rule: Rule, column: str, operation: Operation, has_user: bool = True) -> bool:
    """Whether a write can set the column, to a new value or to the one that the rule requires.

    Users can have their own entry in the data source, and set their password there.
    """
    if rule.columns.opens(column, own_row=has_user and operation == "update"):
        return True
    pinned = rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update
    return column in pinned and column not in rule.columns.secret


def _contradicts(rule: Rule, operation: Operation) -> bool:
    """Whether no value of some column meets all requirements on the submitted data."""
    sent = [
        item
        for item in rule.require
        if isinstance(item, Condition) and (item.on_submitted or operation == "insert")
    ]
    if any(excludes(left, right) for left in sent for right in sent):
        return True
    provided = {item.column for item in rule.require if isinstance(item, Provided)}
    return any(
        item.column in provided and item.op == "equals" and item.operand == "" for item in sent
    )
