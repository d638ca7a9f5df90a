"""Requirements: whether a where implies them, and whether stored or submitted data meets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rowkeeper.datasources.query.where import And, ElemMatch, Field, Node, Or
from rowkeeper.datasources.values.validation import Scalar, lower, same

from .reasons import Reason
from .rule import Condition, Provided, Rule
from .templates import UNMET


def implied(node: Node, column: str, test: Callable[[Field], bool]) -> bool:
    """Whether the where guarantees a condition on exactly this column that passes the test.

    In an AND, one such condition is enough. In an OR, each alternative needs one.
    """
    if node.__class__ is Field:
        return node.path == (column,) and test(node)
    if node.__class__ is And:
        return any(implied(item, column, test) for item in node.items)
    if node.__class__ is Or:
        return all(implied(item, column, test) for item in node.items)
    # Nothing is concluded from a negation, `$all` or `$elemMatch`.
    return False


def any_condition(field: Field) -> bool:
    """Always true: for a bare `"Col"`, a select needs just any condition on the column."""
    return True


def equality(field: Field) -> bool:
    """Whether the condition is an equality, which a delete needs for a bare `"Col"`."""
    return field.op == "$eq"


def _equals(value: Scalar, field: Field) -> bool:
    if field.op == "$eq":
        return same(field.operand, value)
    return field.op == "$in" and bool(field.operand) and all(same(v, value) for v in field.operand)


def _notequals(value: Scalar, field: Field) -> bool:
    if field.op == "$ne":
        return same(field.operand, value)
    if field.op == "$nin":
        return any(same(v, value) for v in field.operand)
    if field.op == "$eq":
        return not same(field.operand, value)
    return field.op == "$in" and not any(same(v, value) for v in field.operand)


def _contains(value: Scalar, field: Field) -> bool:
    """Case is ignored here, but not by the condition that is added to the query."""
    if value.__class__ is not str or field.operand.__class__ is not str:
        return False
    part, whole = lower(value), lower(field.operand)
    if field.op in ("$like", "$iLike"):
        # A part without `%` lies within one of the runs between wildcards.
        return "%" not in part and part in whole
    return field.op in ("$eq", "$filters ==", "$filters contains") and part in whole


IMPLIES: dict[str, Callable[[Scalar, Field], bool]] = {
    "equals": _equals,
    "notequals": _notequals,
    "contains": _contains,
}


def _says(field: Field, op: str, value: Scalar) -> bool:
    """Whether a condition discloses no more about a row than that it meets this requirement."""
    if op == "equals":
        return _equals(value, field)
    if op == "notequals":
        return (field.op == "$ne" and same(field.operand, value)) or (
            field.op == "$nin"
            and bool(field.operand)
            and all(same(v, value) for v in field.operand)
        )
    alike = field.op in ("$like", "$iLike") and value.__class__ is str
    return alike and field.operand in (value, f"%{value}%") and "%" not in str(value)


Values = list[tuple[Condition, Scalar]]


def unmet_by_where(
    rule: Rule, where: Node, user: Mapping[str, Any] | None, deletes: bool
) -> Reason | Values:
    """The first requirement that the where does not imply, as a reason.

    If it implies all of them: the rendered conditions to be added to the query.
    """
    values: Values = []
    provided = equality if deletes else any_condition
    for item in rule.require:
        if item.__class__ is Provided:
            if not implied(where, item.column, provided):
                return item.unmet
            continue
        assert isinstance(item, Condition)
        value = item.value(user)
        if value is UNMET:
            return item.unmet
        if not implied(where, item.column, partial(IMPLIES[item.op], value)):
            return item.unmet
        values.append((item, value))
    return values


def is_requirement(field: Field | ElemMatch, values: Values) -> bool:
    """Whether a condition says exactly what a requirement of the rule says."""
    return isinstance(field, Field) and any(
        field.name == condition.column
        and field.path == (condition.column,)
        and _says(field, condition.op, value)
        for condition, value in values
    )


def unmet_by_record(
    rule: Rule, stored: Mapping[str, Any] | None, user: Mapping[str, Any] | None
) -> Reason | None:
    """The first requirement that an entry does not meet, as a reason, or None.

    The entry is addressed by its id. One that does not exist meets no requirement.
    """
    for item in rule.require:
        if item.__class__ is Provided or stored is None:
            return item.unmet
        if not item.met_by_stored(stored, user):  # type: ignore[union-attr]
            return item.unmet
    return None


def stored_side(rule: Rule, user: Mapping[str, Any] | None) -> Values | Reason:
    """The conditions of an update on the stored record, rendered for the user.

    Returns the reason instead if one of them cannot be rendered.
    """
    found: Values = []
    for item in rule.require:
        if isinstance(item, Condition) and item.on_stored:
            value = item.value(user)
            if value is UNMET:
                return item.unmet
            found.append((item, value))
    return found


def unmet_by_stored(side: Values, stored: Mapping[str, Any]) -> Reason | None:
    """The first stored-side condition of an update that an entry does not meet, or None.

    `side` comes from `stored_side`.
    """
    for condition, value in side:
        if not condition.met_with(stored, value):
            return condition.unmet
    return None


def unmet_by_submitted(
    rule: Rule,
    submitted: Mapping[str, Any],
    result: Mapping[str, Any],
    user: Mapping[str, Any] | None,
    inserts: bool,
) -> Reason | None:
    """The first requirement that the submitted side of a write does not meet, or None.

    `result` is the row that would be stored. On an insert every condition is on the submitted side,
    since there is no other.
    """
    for item in rule.require:
        if item.__class__ is Provided:
            if submitted.get(item.column) in (None, ""):
                return item.unmet
            continue
        assert isinstance(item, Condition)
        if not (item.on_submitted or inserts):
            continue
        row = result if item.op == "notequals" else submitted
        if not item.met_by(row, user):
            return item.unmet
    return None
