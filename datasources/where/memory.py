"""What a where means in memory: the reading that the databases have to agree with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .nodes import And, Field, Node, Not, Or
from .operators import OPERATORS
from .walk import MISSING, walk


def matches(node: Node, row: Mapping[str, Any]) -> bool:
    """Whether a row fits a where."""
    if node.__class__ is Field:
        return _field_matches(node, row)
    if node.__class__ is And:
        return all(matches(item, row) for item in node.items)
    if node.__class__ is Or:
        return any(matches(item, row) for item in node.items)
    assert isinstance(node, Not)
    return not matches(node.item, row)


def _field_matches(field: Field, row: Mapping[str, Any]) -> bool:
    row_of_table = OPERATORS[field.op]
    holds, operand = row_of_table.holds, field.operand
    if not row_of_table.opens_lists:
        return holds(row.get(field.path[0], MISSING), operand)
    return row_of_table.negates(operand) != any(
        holds(value, operand) for value in walk(row, field.path)
    )
