"""Privilege escalation: what a new list of rules grants that the old list does not.

It is computed before a save. Each finding is a value that says which rule grants, which operations,
to whom, and which columns or conditions are new. Every request that the new list grants and the old
one denies, and every column that only the new list shows for a request, is covered by one of the
findings. The reverse does not hold: a finding may be no more than what was granted before.

A request that both lists grant can return more rows than before if another rule of the new list
decides it, because `contains` and `notequals` are also added to queries that imply them only
approximately. This module compares only which requests are granted, and the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, TypeAlias

from rowkeeper.datasources.values.codec import canonical

from ..engine.rule import OPERATIONS, Operation, Provided, Requirement, Rule
from .compare import NOTHING, Opened, dropped, named, opened, requires_less
from .subsumption import Key, RuleFacts, covers, covers_apps, covers_people, key, may_meet

# people: no old rule is for all of these people. The finding is everything that the rule grants.
# columns, conditions, named: compared with the old rule `instead_of`.
# unblocked: an old script or an invalid rule was tried first, and may have denied the request.
# script: the grants of a script cannot be compared.
Kind: TypeAlias = Literal["people", "columns", "conditions", "named", "unblocked", "script"]
# If a rule has more findings than this, one finding says that all its grants are new.
MAX_PARTS = 4


@dataclass(frozen=True, slots=True)
class Escalation:
    """What a rule of the new list grants for some operations that the old list did not."""

    rule: Rule
    operations: tuple[Operation, ...]
    kind: Kind
    # The old rule that was compared; None for `people` and `script`.
    instead_of: Rule | None = None
    # The old rule was tried before another that grants as much: this is about its people only.
    first: bool = False
    # For `columns`: those that are opened. For `named`: those that a query can name.
    columns: Opened = NOTHING
    # For `conditions`: the requirements of `instead_of` that have been dropped.
    dropped: tuple[Requirement, ...] = ()
    # For a select: some rule lets people delete, and a delete by query needs such a select.
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class ParsedList:
    """The enabled rules of a list, with the JSON that they were parsed from."""

    raw: Sequence[Any]
    facts: tuple[RuleFacts, ...]

    @classmethod
    def of(cls, raw: Sequence[Any], rules: Sequence[Rule]) -> ParsedList:
        """Pair the JSON of a list with the rules that `parse_rules` made of it."""
        return cls(raw, tuple(RuleFacts.of(rule) for rule in rules if rule.enabled))

    def text(self, each: RuleFacts) -> str:
        """A rule as canonical JSON text, equal for equal rules."""
        return canonical(self.raw[each.rule.position - 1])

    def about(self, operation: Operation) -> list[RuleFacts]:
        """The rules for an operation, in order."""
        return [each for each in self.facts if operation in each.rule.operations]


def escalations(before: ParsedList, after: ParsedList, columns: Sequence[str]) -> list[Escalation]:
    """The escalations from `before` to `after`, rule by rule; `columns`: of the data source."""
    compared = {op: _Comparison(before, after, op, columns) for op in OPERATIONS}
    deleting = after.about("delete")
    found: list[Escalation] = []
    for each in after.facts:
        if each.rule.broken is not None or each.rule.app_ids == frozenset():
            continue
        deletes = any(may_meet(other, each) for other in deleting)
        parts = [
            replace(part, deletes=deletes) if operation == "select" else part
            for operation in OPERATIONS
            if operation in each.rule.operations
            for part in compared[operation].of(each)
        ]
        found.extend(_joined(parts))
    return found


def _joined(found: Sequence[Escalation]) -> list[Escalation]:
    """Merge equal findings about several operations."""
    by_what: dict[Any, Escalation] = {}
    for each in found:
        old = each.instead_of and each.instead_of.position
        what = (each.kind, old, each.first, each.columns, tuple(map(_side_key, each.dropped)))
        known = by_what.get(what)
        if known is None:
            by_what[what] = each
            continue
        by_what[what] = replace(
            known,
            operations=(*known.operations, *each.operations),
            deletes=known.deletes or each.deletes,
        )
    return list(by_what.values())


def _side_key(item: Requirement) -> tuple[Key, bool, bool]:
    if isinstance(item, Provided):
        return key(item), False, True
    return key(item), item.on_stored, item.on_submitted


class _Comparison:
    """Two lists, compared for one operation."""

    def __init__(
        self, before: ParsedList, after: ParsedList, operation: Operation, columns: Sequence[str]
    ) -> None:
        self._operation = operation
        self._columns = columns
        self._old = [(each, before.text(each)) for each in before.about(operation)]
        self._new = [(each, after.text(each)) for each in after.about(operation)]
        # By old rule: the position of the first new rule that lets none of its requests pass.
        self._passed = {old.rule.position: self._first_like(old, text) for old, text in self._old}

    def _first_like(self, old: RuleFacts, text: str) -> float:
        return min(
            (
                new.rule.position
                for new, known in self._new
                if known == text or covers(new, old, self._operation)
            ),
            default=inf,
        )

    def of(self, new: RuleFacts) -> list[Escalation]:
        """The escalations of one rule of the new list."""
        first = [each for each, _ in self._new if each.rule.position < new.rule.position]
        if any(covers(each, new, self._operation) for each in first):
            return []  # no request reaches the rule
        return self._of_script(new) if new.rule.script is not None else self._least(new)

    def _of_script(self, new: RuleFacts) -> list[Escalation]:
        """No finding if the old list had this script, and every rule tried before it still is."""
        texts = {each.rule.position: text for each, text in self._new}
        first = {text for place, text in texts.items() if place < new.rule.position}
        for _, old in self._old:
            if old == texts[new.rule.position]:
                return []
            if old not in first:
                break
        return [Escalation(new.rule, (self._operation,), "script")]

    def _least(self, new: RuleFacts) -> list[Escalation]:
        """The smallest set of findings among the comparisons with each old rule.

        A request that the new rule grants and that meets an old rule was granted by the old list,
        unless an old rule before it decided the request. An old rule decided none of these requests
        if the new list still tries it first.
        """
        best: list[_Part] | None = None
        blocking: list[_Part] = []
        for old, _ in self._old:
            if old.rule.broken is not None:
                break  # it denied every request that reached it
            blocks = self._passed[old.rule.position] >= new.rule.position
            if old.rule.script is not None:
                blocking += [_Part("unblocked", old)] if blocks else []
                continue
            if covers_apps(old.rule, new.rule) and covers_people(old, new):
                parts = [*self._parts(new, old), *blocking]
                if best is None or len(parts) < len(best):
                    best = parts
                if not best:
                    return []
            if blocks and self._operation != "delete" and may_meet(old, new):
                blocking.extend(self._parts(new, old, blocks=True))
            if len(blocking) > MAX_PARTS:
                break
        if best is None or len(best) > MAX_PARTS:
            return [Escalation(new.rule, (self._operation,), "people")]
        return [self._made(new, part) for part in best]

    def _parts(self, new: RuleFacts, old: RuleFacts, blocks: bool = False) -> Iterator[_Part]:
        """The respects in which the new rule grants more than the old rule.

        With `blocks`: more than the old rule left to later rules.
        """
        if opened(new, old, self._operation, ()):
            yield _Part("columns", old, blocks)
        reads = self._operation in ("select", "delete")
        if not (blocks and reads) and requires_less(new, old, self._operation, rejected=blocks):
            yield _Part("conditions", old, blocks)
        if reads and not blocks and any(named(new, old)):
            yield _Part("named", old, blocks)

    def _made(self, new: RuleFacts, part: _Part) -> Escalation:
        found = Escalation(new.rule, (self._operation,), part.kind, part.old.rule, part.blocks)
        if part.kind == "columns":
            return replace(found, columns=opened(new, part.old, self._operation, self._columns))
        if part.kind == "named":
            return replace(found, columns=Opened(frozenset(named(new, part.old))))
        if part.kind == "conditions":
            return replace(found, dropped=dropped(new, part.old, self._operation, part.blocks))
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """One respect in which a new rule grants more than an old rule."""

    kind: Kind
    old: RuleFacts
    blocks: bool = False
