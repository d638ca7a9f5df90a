"""The decision: rules from top to bottom; the first that grants decides; by default, deny.

A pure function of the rules, the identity and the request, which the API, the commands and the
tests share. Each decision has a trace, which costs nothing because the reasons were made when the
rules were compiled. Scripts run through the callable that is passed in; without it, no script
grants.
"""

from __future__ import annotations

from functools import partial

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import EVERYTHING, all_of, conjoin

from ..sandbox.protocol import NO_SCRIPTS, ScriptRun
from . import reasons, scripted
from .column_checks import first_hidden, first_undeclared, first_unwritable_on_insert
from .decision import NOTHING_SHOWN, Decision, Granted, Judge
from .reasons import Reason
from .requests import Data, EntryRequest, Insert, QueryRequest, Update
from .require import (
    Values,
    unmet_by_record,
    unmet_by_submitted,
    unmet_by_where,
)
from .rule import Allow, Operation, Rule
from .ruleset import Ruleset, compile_rules
from .scripted import ScriptContext, Shown
from .updating import UpdateJudge

__all__ = [
    "NOTHING_SHOWN",
    "Decision",
    "Granted",
    "Ruleset",
    "answered",
    "compile_rules",
    "decide_delete",
    "decide_insert",
    "decide_select",
    "decide_update",
    "exclusion_reason",
    "login_could_help",
    "may_let_in",
    "shown_of",
]


# -- who


def exclusion_reason(rule: Rule, identity: Identity) -> Reason | None:
    """Why a rule is not for this identity, as a reason, or None."""
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


def may_let_in(ruleset: Ruleset, identity: Identity, operation: Operation | None = None) -> bool:
    """Whether some enabled rule (of an operation, or of any) could let this identity in."""
    return any(
        rule.enabled
        and rule.broken is None
        and (operation is None or operation in rule.operations)
        and exclusion_reason(rule, identity) is None
        for rule in ruleset.rules
    )


def login_could_help(ruleset: Ruleset, identity: Identity, operation: Operation) -> bool:
    """Whether some rule for the operation and the identity's app needs a login or a token."""
    return any(
        (rule.script is not None or rule.allow.kind != "all")
        and (rule.app_ids is None or identity.app_id in rule.app_ids)
        for rule in ruleset.by_operation[operation]
    )


# -- may they

_PLAINLY = Granted()


def _decide(
    ruleset: Ruleset, operation: Operation, identity: Identity, judge: Judge, by_script: Judge
) -> Decision:
    notes: list[tuple[Rule, Reason]] = []
    for rule in ruleset.by_operation[operation]:
        reason = reasons.broken(rule.broken) if rule.broken else exclusion_reason(rule, identity)
        if reason is not None:
            verdict: Reason | Granted = reason
        else:
            verdict = judge(rule) if rule.script is None else by_script(rule)
        if verdict.__class__ is Granted:
            notes.append((rule, verdict.note))
            return Decision(
                True,
                operation,
                ruleset,
                rule,
                verdict.conditions,
                rule.columns.projection if verdict.shown is None else verdict.shown,
                verdict.rows,
                notes,
                verdict.where,
            )
        notes.append((rule, verdict))  # type: ignore[arg-type]
        if verdict.final:  # type: ignore[union-attr]
            break
    return Decision(False, operation, ruleset, notes=notes)


def decide_select(
    ruleset: Ruleset,
    identity: Identity,
    request: QueryRequest | EntryRequest,
    run_script: ScriptRun = NO_SCRIPTS,
) -> Decision:
    """Decide a read. The decision has the conditions to add and the columns to show."""
    return _decide(
        ruleset,
        "select",
        identity,
        _reading(identity, request, deletes=False),
        lambda rule: scripted.select(ScriptContext(ruleset, identity, run_script), rule, request),
    )


def decide_delete(
    ruleset: Ruleset,
    identity: Identity,
    request: QueryRequest | EntryRequest,
    run_script: ScriptRun = NO_SCRIPTS,
) -> Decision:
    """Decide a delete.

    A delete by query is granted only if a select with the same where is granted too, and runs under
    the conditions of both: otherwise its count would disclose entries that the caller cannot read.
    """
    decision = _decide(
        ruleset,
        "delete",
        identity,
        _reading(identity, request, deletes=True),
        lambda rule: scripted.delete(ScriptContext(ruleset, identity, run_script), rule, request),
    )
    if not decision.granted or isinstance(request, EntryRequest):
        return decision
    read = decide_select(ruleset, identity, request, run_script)
    if read.granted:
        both = conjoin(decision.conditions, read.where(EVERYTHING))
        return Decision(True, "delete", ruleset, decision.rule, both, notes=decision.notes)
    assert decision.rule is not None
    notes = [*list(decision.notes)[:-1], (decision.rule, reasons.UNREADABLE)]
    return Decision(False, "delete", ruleset, notes=notes)


def _reading(identity: Identity, request: QueryRequest | EntryRequest, deletes: bool) -> Judge:
    user = identity.user

    def by_query(rule: Rule) -> Reason | Granted:
        assert isinstance(request, QueryRequest)
        values: Values = []
        if rule.require:
            found = unmet_by_where(rule, request.where, user, deletes)
            if isinstance(found, Reason):
                return found
            values = found
        name = first_hidden(rule.columns, request, values)
        if name is not None:
            return reasons.hidden(name)
        if not values:
            return _PLAINLY
        return Granted(all_of([condition.node(value) for condition, value in values]))

    def by_id(rule: Rule) -> Reason | Granted:
        assert isinstance(request, EntryRequest)
        # Without requirements, the stored entries are not read.
        for stored in request.stored if rule.require else ():
            reason = unmet_by_record(rule, stored, user)
            if reason is not None:
                return reason
        return _PLAINLY

    return by_id if isinstance(request, EntryRequest) else by_query


def decide_insert(
    ruleset: Ruleset, identity: Identity, request: Insert, run_script: ScriptRun = NO_SCRIPTS
) -> Decision:
    """Decide a create. One rule has to grant all rows together."""
    user = identity.user

    def judge(rule: Rule) -> Reason | Granted:
        # Whether a new row can have a column depends on the column's name only.
        fitting: set[str] = set()
        for row in request.rows:
            reason = unmet_by_submitted(rule, row, row, user, inserts=True)
            if reason is not None:
                return reasons.rejected(reason)
            if row.keys() <= fitting:
                continue
            reason = first_undeclared(ruleset, identity, row) or first_unwritable_on_insert(
                rule.columns, row, rule.pinned_on_insert
            )
            if reason is not None:
                return reason
            fitting.update(row)
        return Granted(rows=tuple(dict(row) for row in request.rows))

    return _decide(
        ruleset,
        "insert",
        identity,
        judge,
        lambda rule: scripted.insert(ScriptContext(ruleset, identity, run_script), rule, request),
    )


def decide_update(
    ruleset: Ruleset, identity: Identity, request: Update, run_script: ScriptRun = NO_SCRIPTS
) -> Decision:
    """Decide an update. One rule has to grant all entries together.

    Each entry must also be granted on its own.
    """
    shows = partial(shown_of, ruleset, identity, run_script=run_script)
    shown = [Shown(shows, change.stored) for change in request.changes]
    judge = UpdateJudge(ruleset, identity, request, shown)
    caller = ScriptContext(ruleset, identity, run_script)
    return _decide(
        ruleset,
        "update",
        identity,
        judge.judge,
        lambda rule: judge.checked(scripted.update(caller, rule, request, shown)),
    )


def shown_of(
    ruleset: Ruleset, identity: Identity, stored: Data, run_script: ScriptRun = NO_SCRIPTS
) -> Projection:
    """The columns of one entry that a select by id shows this identity; none if it is denied."""
    return decide_select(ruleset, identity, EntryRequest([stored]), run_script).shown


# -- what a write answers


def answered(
    ruleset: Ruleset,
    identity: Identity,
    submitted: Data,
    first: Projection | None,
    after: Data,
    run_script: ScriptRun = NO_SCRIPTS,
) -> Projection:
    """The columns that the answer to a write shows.

    These are the submitted columns, and those that a select showed before and shows afterwards.
    `first`: the projection before the write; None for a new row.
    """
    columns = set(submitted)
    if first is not None:
        then = shown_of(ruleset, identity, after, run_script)
        columns.update(c for c in after if first.shows(c) and then.shows(c))
    return Projection(frozenset(columns), ruleset.secret)
