"""A rule as the engine uses it: frozen, compiled and valid by construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from rowkeeper.datasources.query.where import Node, matches
from rowkeeper.datasources.query.where.nodes import column_is
from rowkeeper.datasources.values.validation import Scalar, same

from ..sandbox.protocol import Operation as Operation
from .columns import Columns
from .reasons import Reason
from .templates import UNMET, Template, Unmet

OPERATIONS: Final[tuple[Operation, ...]] = ("select", "insert", "update", "delete")

# The operator of the query language for each operator of a rule.
NODE_OPERATORS: Final = {"equals": "$eq", "notequals": "$ne", "contains": "contains"}


@dataclass(frozen=True, slots=True)
class Provided:
    """`"Col"` in `require`: the query must name the column, or the data must have it."""

    column: str
    unmet: Reason


@dataclass(frozen=True, slots=True)
class Condition:
    """`{"Col": {"equals": value}}`, in `require` or in `allow.user`.

    `on_stored` and `on_submitted`: the sides of an update that it tests.
    """

    column: str
    op: str
    operand: Scalar | Template
    on_stored: bool
    on_submitted: bool
    unmet: Reason

    def value(self, user: Mapping[str, Any] | None) -> Scalar | Unmet:
        """The operand, rendered for this user."""
        if self.operand.__class__ is Template:
            return self.operand.render(user)
        return self.operand  # type: ignore[return-value]

    def node(self, value: Scalar) -> Node:
        """The condition on a stored row, to be added to a query or matched against an entry."""
        return column_is(self.column, NODE_OPERATORS[self.op], value)

    def met_by_stored(self, row: Mapping[str, Any], user: Mapping[str, Any] | None) -> bool:
        """Whether a stored entry meets the condition."""
        value = self.value(user)
        return value is not UNMET and self.met_with(row, value)

    def met_by(self, row: Mapping[str, Any], user: Mapping[str, Any] | None) -> bool:
        """Whether session or submitted data meets the condition. A list equals nothing here."""
        value = self.value(user)
        if value is UNMET:
            return False
        if self.op == "equals":
            return same(row.get(self.column), value)
        return self.met_with(row, value)

    def met_with(self, row: Mapping[str, Any], value: Scalar) -> bool:
        """Whether a stored entry meets the condition with its rendered value.

        Equivalent to matching the condition's node, and faster unless the value is a list.
        """
        held = row.get(self.column)
        if held.__class__ is list or self.op == "contains":
            return matches(self.node(value), row)
        return same(held, value) is (self.op == "equals")


Requirement: TypeAlias = Provided | Condition


def written(item: Requirement, sides: bool = False) -> Any:
    """A requirement as an item of `require` in JSON; with `sides`, with its side as `on`."""
    if isinstance(item, Provided):
        return item.column
    operand = item.operand
    test: dict[str, Any] = {item.op: operand.source if isinstance(operand, Template) else operand}
    if sides and not (item.on_stored and item.on_submitted):
        test["on"] = "stored" if item.on_stored else "submitted"
    return {item.column: test}


@dataclass(frozen=True, slots=True)
class Allow:
    """Whom a rule is for. `kind` is `all`, `loggedIn`, `user` or `tokens`."""

    kind: str
    conditions: tuple[Condition, ...] = ()
    tokens: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a list, at its `position` from 1."""

    position: int
    name: str
    enabled: bool
    operations: frozenset[Operation]
    allow: Allow
    require: tuple[Requirement, ...]
    columns: Columns
    app_ids: frozenset[int] | None = None
    script: str | None = None
    # Columns whose submitted value an `equals` fixes, in an update and in an insert.
    pinned_on_update: frozenset[str] = frozenset()
    pinned_on_insert: frozenset[str] = frozenset()
    # Why the stored rule is not valid: it ends the evaluation of its operations.
    broken: str | None = None
