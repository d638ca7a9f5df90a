"""The decision: rules from top to bottom, the first that grants is used, silence means no.

A pure function of the rules, the identity and the ask. The API, the commands and the tests call
the same one; a trace of every decision is kept at no cost, as each reason was made beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from accounts.identity import Identity
from datasources.queries import Projection
from datasources.values import same
from datasources.where import EVERYTHING, Node, all_of, narrowed
from datasources.where.nodes import fields

from . import reasons
from .asks import ById, ByQuery, Change, Data, Insert, Update
from .parse import Problem, parse_rules
from .reasons import Reason, TraceLine
from .require import (
    Values,
    is_requirement,
    unmet_by_record,
    unmet_by_stored,
    unmet_by_submitted,
    unmet_by_where,
)
from .rule import OPERATIONS, Allow, Operation, Rule

NOTHING_SHOWN = Projection(frozenset())


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The compiled rules of one data source, at one revision."""

    rules: tuple[Rule, ...]
    # The enabled rules that are about an operation, in order.
    by_operation: dict[Operation, tuple[Rule, ...]]
    problems: tuple[Problem, ...] = ()
    # Columns that nobody sees, whatever the rules say.
    secret: frozenset[str] = frozenset()
    # In a data source that people sign in against, the columns that may be written; else None.
    writable: frozenset[str] | None = None


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

    @property
    def trace(self) -> list[TraceLine]:
        """One line per rule, with the reason that it did or did not grant."""
        said = {rule.position: reason for rule, reason in self.notes}
        return [
            TraceLine(rule.position, rule.name, reason.code, reason.text)
            for rule in self.ruleset.rules
            for reason in [said.get(rule.position) or self._silence(rule)]
        ]

    def _silence(self, rule: Rule) -> Reason:
        if not rule.enabled:
            return reasons.DISABLED
        if self.operation not in rule.operations:
            return reasons.OTHER_TYPE
        return reasons.NOT_REACHED


def compile_rules(
    raw: Any, columns: Sequence[str], secret: Iterable[str] = (), sign_in: bool = False
) -> Ruleset:
    """Rules as they are stored, made ready to decide. What is not valid ends the evaluation of
    the operations that it names; a list that cannot be read, or is too long, that of all.
    """
    secret = frozenset(secret)
    rules, problems = parse_rules(raw, frozenset(columns), secret)
    if any(problem.rule == 0 for problem in problems):
        rules = []
    return Ruleset(
        tuple(rules),
        {
            operation: tuple(r for r in rules if r.enabled and operation in r.operations)
            for operation in OPERATIONS
        },
        tuple(problems),
        secret,
        frozenset(columns) if sign_in else None,
    )


# -- who


def keeps_out(rule: Rule, identity: Identity) -> Reason | None:
    """Why a rule is not for this identity, or None."""
    if rule.app_ids is not None and identity.app_id not in rule.app_ids:
        return reasons.OTHER_APP
    return None if rule.script is not None else _not_allowed(rule.allow, identity)


def _not_allowed(allow: Allow, identity: Identity) -> Reason | None:
    if allow.kind == "all":
        return None
    if allow.kind == "tokens":
        return None if identity.token_id in allow.tokens else reasons.OTHER_TOKEN
    user = identity.user
    if user is None:
        return reasons.NOBODY
    for condition in allow.conditions:
        if not condition.met_by(user, user):
            return condition.unmet
    return None


def could_apply(ruleset: Ruleset, identity: Identity, operation: Operation | None = None) -> bool:
    """Whether some enabled rule (of an operation, or of any) could let this identity in."""
    return any(
        rule.enabled
        and rule.broken is None
        and (operation is None or operation in rule.operations)
        and keeps_out(rule, identity) is None
        for rule in ruleset.rules
    )


def asks_for_login(ruleset: Ruleset, identity: Identity, operation: Operation) -> bool:
    """Whether some rule for the operation and the identity's app asks for a login or a token."""
    return any(
        (rule.script is not None or rule.allow.kind != "all")
        and (rule.app_ids is None or identity.app_id in rule.app_ids)
        for rule in ruleset.by_operation[operation]
    )


# -- may they

Judge: TypeAlias = Callable[[Rule], "Reason | Granted"]


@dataclass(frozen=True, slots=True)
class Granted:
    """A rule grants: with these conditions, and these rows to be stored."""

    conditions: Node = EVERYTHING
    rows: tuple[dict[str, Any], ...] = ()


_PLAINLY = Granted()


def _decide(ruleset: Ruleset, operation: Operation, identity: Identity, judge: Judge) -> Decision:
    notes: list[tuple[Rule, Reason]] = []
    for rule in ruleset.by_operation[operation]:
        reason = _before_judging(rule, identity)
        verdict = judge(rule) if reason is None else reason
        if verdict.__class__ is Granted:
            notes.append((rule, reasons.GRANTED))
            return Decision(
                True,
                operation,
                ruleset,
                rule,
                verdict.conditions,
                rule.columns.projection,
                verdict.rows,
                notes,
            )
        notes.append((rule, verdict))  # type: ignore[arg-type]
        if verdict.final:  # type: ignore[union-attr]
            break
    return Decision(False, operation, ruleset, notes=notes)


def _before_judging(rule: Rule, identity: Identity) -> Reason | None:
    if rule.broken is not None:
        return reasons.broken(rule.broken)
    reason = keeps_out(rule, identity)
    if reason is None and rule.script is not None:
        return reasons.SCRIPT
    return reason


def decide_select(ruleset: Ruleset, identity: Identity, ask: ByQuery | ById) -> Decision:
    """May these entries be read? With the conditions to add and the columns to show."""
    return _decide(ruleset, "select", identity, _reading(identity, ask, deletes=False))


def decide_delete(ruleset: Ruleset, identity: Identity, ask: ByQuery | ById) -> Decision:
    """May these entries be deleted? By query, only where a select with the same where is granted
    too, under the conditions of both: its count would tell what may not be read.
    """
    decision = _decide(ruleset, "delete", identity, _reading(identity, ask, deletes=True))
    if not decision.granted or isinstance(ask, ById):
        return decision
    read = decide_select(ruleset, identity, ask)
    if read.granted:
        both = narrowed(decision.conditions, read.conditions)
        return Decision(True, "delete", ruleset, decision.rule, both, notes=decision.notes)
    assert decision.rule is not None
    notes = [*list(decision.notes)[:-1], (decision.rule, reasons.UNREADABLE)]
    return Decision(False, "delete", ruleset, notes=notes)


def _reading(identity: Identity, ask: ByQuery | ById, deletes: bool) -> Judge:
    user = identity.user

    def by_query(rule: Rule) -> Reason | Granted:
        assert isinstance(ask, ByQuery)
        values: Values = []
        if rule.require:
            reason = unmet_by_where(rule, ask.where, user, deletes, values)
            if reason is not None:
                return reason
        name = _hidden_name(rule, ask, values)
        if name is not None:
            return reasons.hidden(name)
        if not values:
            return _PLAINLY
        return Granted(all_of([condition.node(value) for condition, value in values]))

    def by_id(rule: Rule) -> Reason | Granted:
        assert isinstance(ask, ById)
        for stored in ask.stored:
            reason = unmet_by_record(rule, stored, user)
            if reason is not None:
                return reason
        return _PLAINLY

    return by_id if isinstance(ask, ById) else by_query


def _hidden_name(rule: Rule, ask: ByQuery, values: Values) -> str | None:
    """The first hidden column that the request names, or None."""
    columns = rule.columns
    if columns.include is None and not columns.hidden:
        return None
    for name in ask.columns:
        if columns.hides_column(name):
            return name
    for path in ask.paths:
        if columns.hides_field(path):
            return path.name
    for item in fields(ask.where):
        if columns.hides_field(item) and not is_requirement(item, values):
            return item.name
    return None


def decide_insert(ruleset: Ruleset, identity: Identity, ask: Insert) -> Decision:
    """May all of these rows be added? One rule has to grant them together."""
    user = identity.user

    def judge(rule: Rule) -> Reason | Granted:
        for row in ask.rows:
            reason = unmet_by_submitted(rule, row, row, user, inserts=True)
            if reason is not None:
                return reasons.rejected(reason)
            for column in row:
                if ruleset.writable is not None and column not in ruleset.writable:
                    return reasons.undeclared(column)
                if not rule.columns.opens(column) and not _is_pinned(
                    rule, column, rule.pinned_on_insert
                ):
                    return reasons.closed(column)
        return Granted(rows=tuple(dict(row) for row in ask.rows))

    return _decide(ruleset, "insert", identity, judge)


def _is_pinned(rule: Rule, column: str, pinned: frozenset[str]) -> bool:
    return column in pinned and column not in rule.columns.secret


def decide_update(ruleset: Ruleset, identity: Identity, ask: Update) -> Decision:
    """May all of these entries be written so? One rule has to grant them together."""
    user = identity.user
    shown = [_Shown(ruleset, identity, change.stored) for change in ask.changes]

    def judge(rule: Rule) -> Reason | Granted:
        for change in ask.changes:
            reason = unmet_by_stored(rule, change.stored, user)
            if reason is not None:
                return reason
        rows = []
        for change, visible in zip(ask.changes, shown, strict=True):
            row = _result(rule, change, visible, ask.replaces)
            reason = unmet_by_submitted(rule, change.submitted, row, user, inserts=False)
            if reason is not None:
                return reasons.rejected(reason)
            reason = _forbidden(ruleset, rule, change, visible)
            if reason is not None:
                return reason
            rows.append(row)
        return Granted(rows=tuple(rows))

    return _decide(ruleset, "update", identity, judge)


class _Shown:
    """Which columns of one entry a select by the same identity shows; decided when first asked."""

    __slots__ = ("_identity", "_projection", "_ruleset", "_stored")

    def __init__(self, ruleset: Ruleset, identity: Identity, stored: Data) -> None:
        self._ruleset, self._identity, self._stored = ruleset, identity, stored
        self._projection: Projection | None = None

    def __call__(self, column: str) -> bool:
        if self._projection is None:
            self._projection = shown_of(self._ruleset, self._identity, self._stored)
        return self._projection.shows(column)


def shown_of(ruleset: Ruleset, identity: Identity, stored: Data) -> Projection:
    """What a select of one entry by its id shows this identity; nothing where it is denied."""
    return decide_select(ruleset, identity, ById([stored])).shown


def _result(
    rule: Rule, change: Change, shown: Callable[[str], bool], replaces: bool
) -> dict[str, Any]:
    """The row that would be stored. Replacing a record leaves what the caller may not set, and
    what the caller does not see.
    """
    if not replaces:
        return {**change.stored, **change.submitted}
    kept = {
        column: value
        for column, value in change.stored.items()
        if not (rule.columns.opens(column, change.own_row) and shown(column))
    }
    return {**kept, **change.submitted}


def _forbidden(
    ruleset: Ruleset, rule: Rule, change: Change, shown: Callable[[str], bool]
) -> Reason | None:
    """The first submitted column that the rule does not let be written, as a reason."""
    for column, value in change.submitted.items():
        if ruleset.writable is not None and column not in ruleset.writable:
            return reasons.undeclared(column)
        if rule.columns.opens(column, change.own_row):
            continue
        if _is_pinned(rule, column, rule.pinned_on_update):
            continue
        stored = change.stored
        if not (column in stored and same(stored[column], value) and shown(column)):
            return reasons.closed(column)
    return None


# -- what a write answers


def answered(
    ruleset: Ruleset, identity: Identity, submitted: Data, before: Data | None, after: Data
) -> Projection:
    """The columns that were submitted, and those that a select showed before and shows after."""
    columns = set(submitted)
    if before is not None:
        first = shown_of(ruleset, identity, before)
        then = shown_of(ruleset, identity, after)
        columns.update(c for c in after if first.shows(c) and then.shows(c))
    return Projection(frozenset(columns), ruleset.secret)
