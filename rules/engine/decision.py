"""A decision, as a value: granted or denied, by which rule, what follows from it, and why."""

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
    """A rule grants: with these conditions, and these rows to be stored.

    A script says itself what is shown, and may put a `where` in the place of the client's.
    """

    conditions: Node = EVERYTHING
    rows: tuple[dict[str, Any], ...] = ()
    shown: Projection | None = None
    where: Node | None = None
    note: Reason = reasons.GRANTED


Judge: TypeAlias = Callable[[Rule], "Reason | Granted"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Granted or denied, by which rule, and what follows from it."""

    granted: bool
    operation: Operation
    ruleset: Ruleset
    rule: Rule | None = None
    # The rule's conditions, to be added to the query that runs.
    conditions: Node = EVERYTHING
    # What the rule shows.
    shown: Projection = NOTHING_SHOWN
    # The rows as they are to be stored, in the order of what was sent.
    rows: tuple[dict[str, Any], ...] = ()
    notes: Sequence[tuple[Rule, Reason]] = field(default=(), repr=False)
    # Of a select, the where that a script put in the place of the client's.
    rewritten: Node | None = None

    def where(self, asked: Node) -> Node:
        """The where that runs, for a request that asked for this one."""
        return conjoin(asked if self.rewritten is None else self.rewritten, self.conditions)

    @property
    def trace(self) -> list[TraceLine]:
        """One line per rule, with the reason that it did or did not grant."""
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
