"""Evaluates a where in memory: the reference with which the SQL of both databases has to agree."""

from __future__ import annotations

from typing import Any

from .nodes import And, Composite, ElemMatch, Field, Node, Not, Or
from .operators import OPERATORS
from .paths import end_values, values_at


def matches(node: Node, row: Any) -> bool:
    """Whether a row matches a where, or a member of a list the inside of an `$elemMatch`."""
    if node.__class__ is Field:
        return _field_matches(node, row)
    if node.__class__ is And:
        return all(matches(item, row) for item in node.items)
    if node.__class__ is Or:
        return any(matches(item, row) for item in node.items)
    if node.__class__ is Not:
        return not matches(node.item, row)
    if node.__class__ is Composite:
        return matches(node.item, row)
    assert isinstance(node, ElemMatch)
    return elem_matches(node, row)


def elem_matches(node: ElemMatch, item: Any) -> bool:
    """Whether a list on the path has a member that matches."""
    return any(
        matches(node.item, member)
        for value in end_values(item, node.path)
        if value.__class__ is list
        for member in value
    )


def _field_matches(field: Field, row: Any) -> bool:
    row_of_table = OPERATORS[field.op]
    holds, operand = row_of_table.holds, field.operand
    values = values_at if row_of_table.opens_lists else end_values
    found = any(holds(value, operand) for value in values(row, field.path))
    return row_of_table.negates(operand) != found
