"""A decision, as a value: granted or denied, by which rule, with what result, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import EVERYTHING, Node, conjoin

from . import reasons
from .reasons import Reason, TraceLine
from .rule import Operation, Rule
from .ruleset import Ruleset

NOTHING_SHOWN = Projection(frozenset())


@dataclass(frozen=True, slots=True)
class Granted:
    """The verdict of a rule that grants: conditions for the query, and rows to be stored.

    A script sets `shown` itself, and can replace the client's where by `where`.
    """

    conditions: Node = EVERYTHING
    rows: tuple[dict[str, Any], ...] = ()
    shown: Projection | None = None
    where: Node | None = None
    note: Reason = reasons.GRANTED


Judge: TypeAlias = Callable[[Rule], "Reason | Granted"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision: granted or denied, by which rule, and with what result."""

    granted: bool
    operation: Operation
    ruleset: Ruleset
    rule: Rule | None = None
    # The rule's conditions, which are added to the query.
    conditions: Node = EVERYTHING
    # The columns that the answer shows.
    shown: Projection = NOTHING_SHOWN
    # The rows to be stored, in the order in which they were sent.
    rows: tuple[dict[str, Any], ...] = ()
    notes: Sequence[tuple[Rule, Reason]] = field(default=(), repr=False)
    # For a select, the where that a script put in place of the client's.
    rewritten: Node | None = None

    def where(self, query: Node) -> Node:
        """The where that runs, for a request with the where `query`."""
        return conjoin(query if self.rewritten is None else self.rewritten, self.conditions)

    @property
    def trace(self) -> list[TraceLine]:
        """One line for each rule, with the reason why it granted or did not."""
        said = {rule.position: reason for rule, reason in self.notes}
        return [
            TraceLine(rule.position, rule.name, reason.code, reason.text, reason.script)
            for rule in self.ruleset.rules
            for reason in [said.get(rule.position) or self._silence(rule)]
        ]

    def _silence(self, rule: Rule) -> Reason:
        if not rule.enabled:
            return reasons.DISABLED
        if self.operation not in rule.operations:
            return reasons.OTHER_TYPE
        return reasons.NOT_REACHED
