"""Load the rules, let the engine decide, raise the denial: the viewsets use nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NoReturn

from rowkeeper.accounts.errors import SIGN_IN, LoginRequired
from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.caching import Cache
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.normalization import composed_row
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.errors import Failure, NotFound
from rowkeeper.datasources.query.select import Projection

from ..decision_log import events
from ..decision_log.events import DecisionEvent
from ..decision_log.journal import is_sampled, keeps
from ..decision_log.records import RequestLog, RuleOutcomes
from ..engine.decide import (
    Decision,
    Ruleset,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
    exclusion_reason,
    login_could_help,
    may_let_in,
    shown_of,
)
from ..engine.reasons import ABSENT, NOT_REACHED, Reason, broken
from ..engine.requests import Data, DecisionRequest, EntryRequest, Insert, QueryRequest, Update
from ..engine.rule import Operation
from ..repository.rules import rules_and_writers
from ..sandbox.protocol import NO_SCRIPTS, Budget, ScriptRun
from ..scripts.run import Scripts

VERBS: dict[Operation, str] = {
    "select": "read",
    "insert": "insert",
    "update": "update",
    "delete": "delete",
}


class Denied(Failure):
    """The rules do not allow the request. Reveals neither the rule nor the value at fault."""

    code = "datasource.access"

    def __init__(self, name: object, operation: Operation, reference: object) -> None:
        super().__init__(
            f'The security rules for the Data Source "{name}" do not allow this app to '
            f"{VERBS[operation]} data."
        )
        self.payload = {"dataSourceId": reference}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The compiled rules of a data source at one revision, and the writers of their scripts."""

    # The `Source.key` that they were compiled for.
    key: tuple[Any, ...]
    ruleset: Ruleset
    # {script text: id of the Django user who wrote it}; None if unknown.
    writers: dict[str, int | None]

    def scripts(self, source_id: int, budget: Budget | None = None) -> ScriptRun:
        """What runs the scripts for one request. `budget`: the script time that it has used."""
        if not self.ruleset.has_scripts:
            return NO_SCRIPTS
        return Scripts(self.writers, source_id=source_id, budget=budget)


# {data source id: its rules as last compiled}.
_compiled: Cache[int, Compiled] = Cache("compiled rules", 1_000)


def ruleset_of(source: Source) -> Ruleset:
    """The compiled rules of a data source, from the cache if it has them."""
    return compiled_of(source).ruleset


def compiled_of(source: Source) -> Compiled:
    """The compiled rules, cached until the rules, columns or definition change.

    Rules that were read with another tag than the data source's are not cached, since they would be
    used for that tag from then on.
    """
    kept = _compiled.get(source.id)
    if kept is not None and kept.key == source.key:
        return kept
    rules, writers, tag = rules_and_writers(source.id)
    ruleset = ruleset_from(rules, source)
    found = Compiled(source.key, ruleset, writers)
    if tag not in (None, source.rules_tag):
        return found
    _compiled.put(source.id, found)
    return found


def ruleset_from(rules: Any, source: Source) -> Ruleset:
    """Compile a list of rules, stored or not, for the current state of a data source."""
    return compile_rules(
        rules,
        source.declared,
        source.secret,
        source.login is not None,
        None if setting("ANONYMOUS_COLUMNS") else source.columns,
        None if source.login is None else source.login.email_column,
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides on requests of one identity for one data source, which need not exist."""

    # As the client sent it: an id or a name.
    reference: int | str
    source: Source | None
    ruleset: Ruleset
    identity: Identity
    # How the scripts among the rules are run.
    scripts: ScriptRun = NO_SCRIPTS
    # What the decision log needs of the request; None if the decision is only rehearsed.
    trail: RequestLog | None = None
    # Whether grants are logged as well as denials.
    notes_grants: bool = True
    # Whether look-ups of scripts are repeated before a write. They are not if the whole write is
    # decided under the lock of its data source: concurrent writes to the data that is looked up
    # could prevent it forever.
    rechecks_lookups: bool = True

    @property
    def is_known(self) -> bool:
        """Whether the caller may know that the data source exists: some rule could let them in."""
        return self.source is not None and may_let_in(self.ruleset, self.identity)

    def found(self, operation: Operation) -> Source:
        """The data source. Raises the denial of `operation` if the caller may not know of it."""
        if self.source is None or not self.is_known:
            self.refuse(operation)
        return self.source

    def refuse(
        self,
        operation: Operation,
        request: DecisionRequest | None = None,
        notes: RuleOutcomes | None = None,
        took: float = 0.0,
        because: Reason = NOT_REACHED,
    ) -> NoReturn:
        """Raise `LoginRequired` if a login could help, `Denied` otherwise, and log the denial.

        `notes`: the outcome of each rule. None if no rule was evaluated; `because` says why.
        """
        failure = self._denial(operation)
        if self.trail is not None and self.source is not None:
            if notes is None:
                notes = self._unevaluated(operation, because)
            if keeps():
                event = self._event(self.trail, operation, request, notes, took, self.is_known)
                events.denial(event, failure)
            failure.request_id = self.trail.request_id
        # For a data source that does not exist, the denial is logged with all other failures.
        raise failure

    def _unevaluated(self, operation: Operation, because: Reason) -> RuleOutcomes:
        """The outcome of each rule if none was evaluated."""
        return [
            (
                rule,
                broken(rule.broken)
                if rule.broken
                else exclusion_reason(rule, self.identity) or because,
            )
            for rule in self.ruleset.by_operation[operation]
        ]

    def _denial(self, operation: Operation) -> Failure:
        anonymous = self.identity.is_anonymous
        if self.source is None or not self.is_known:
            if anonymous:
                return LoginRequired(SIGN_IN)
            return Denied(self.reference, operation, self.reference)
        if anonymous and login_could_help(self.ruleset, self.identity, operation):
            return LoginRequired(SIGN_IN)
        return Denied(self.source.name, operation, self.source.id)

    def _granted(self, decision: Decision, request: DecisionRequest, began: float) -> Decision:
        took = perf_counter() - began
        if not decision.granted:
            self.refuse(decision.operation, request, decision.notes, took)
        if self.trail is not None and self.notes_grants:
            self.note_grant(decision, request, took, self.trail)
        return decision

    def note_grant(
        self, decision: Decision, request: DecisionRequest, took: float, trail: RequestLog
    ) -> None:
        """Log a grant, if it is sampled."""
        if is_sampled():
            events.grant(self._event(trail, decision.operation, request, decision.notes, took))

    def _event(
        self,
        trail: RequestLog,
        operation: Operation,
        request: DecisionRequest | None,
        notes: RuleOutcomes,
        took: float,
        is_known: bool = True,
    ) -> DecisionEvent:
        assert self.source is not None
        return DecisionEvent(
            trail, self.identity, self.source.id, operation, request, notes, took, is_known
        )

    def select(self, request: QueryRequest | EntryRequest) -> Decision:
        """Decide a read. Returns the decision if granted; raises the denial otherwise."""
        began = perf_counter()
        return self._granted(
            decide_select(self.ruleset, self.identity, request, self.scripts), request, began
        )

    def delete(self, request: QueryRequest | EntryRequest) -> Decision:
        """Decide a delete. Returns the decision if granted; raises the denial otherwise."""
        began = perf_counter()
        return self._granted(
            decide_delete(self.ruleset, self.identity, request, self.scripts), request, began
        )

    def insert(self, request: Insert) -> Decision:
        """Decide a create. Returns the decision if granted; raises the denial otherwise."""
        began = perf_counter()
        if self.source is not None and self.source.login is not None:
            # Rules decide on the row as it will be stored.
            request = replace(
                request, rows=[composed_row(self.source, row) for row in request.rows]
            )
        return self._granted(
            decide_insert(self.ruleset, self.identity, request, self.scripts), request, began
        )

    def update(self, request: Update) -> Decision:
        """Decide an update. Returns the decision if granted; raises the denial otherwise."""
        began = perf_counter()
        if self.source is not None and self.source.login is not None:
            changes = [
                replace(change, submitted=composed_row(self.source, change.submitted))
                for change in request.changes
            ]
            request = replace(request, changes=changes)
        return self._granted(
            decide_update(self.ruleset, self.identity, request, self.scripts), request, began
        )

    def missing(self, operation: Operation) -> NoReturn:
        """Raise the answer for an entry that does not exist.

        It is NotFound if the caller may see every entry, and otherwise the denial that an existing
        entry would get.
        """
        request = EntryRequest([None])
        if decide_select(self.ruleset, self.identity, request, self.scripts).granted:
            raise NotFound("there is no such entry")
        self.refuse(operation, because=ABSENT)

    def shown(self, stored: Data) -> Projection:
        """The columns of one entry that a select by id shows the caller; none if it is denied."""
        return shown_of(self.ruleset, self.identity, stored, self.scripts)

    def decides_early(self, *operations: Operation) -> bool:
        """Whether a write is decided before its data source is locked, and again under the lock.

        It is if a script may run, because no other request should wait for a script. It also is if
        no rule of one of the operations is for this identity, because such a caller must not hold a
        lock at all.
        """
        return self.ruleset.has_scripts or not all(
            may_let_in(self.ruleset, self.identity, operation) for operation in operations
        )

    def without_grant_log(self) -> Guard:
        """A guard for the second decision, under the lock, which does not log grants again."""
        return replace(self, notes_grants=False)

    def confirm_lookups(self) -> None:
        """Check that the look-ups of scripts still find what they found when the write was decided.

        Called once the write has been decided under the lock. Raises `Changed` if they do not.
        """
        if self.rechecks_lookups and isinstance(self.scripts, Scripts):
            self.scripts.confirm()

    def written(self) -> None:
        """Drop cached script verdicts after a write."""
        if isinstance(self.scripts, Scripts):
            self.scripts.forget()

    def some_rule(self, operation: Operation) -> None:
        """Raise the denial unless some rule of the operation could let this identity in."""
        if not may_let_in(self.ruleset, self.identity, operation):
            self.refuse(operation)


def find_guard(reference: int | str, identity: Identity, trail: RequestLog | None = None) -> Guard:
    """The guard of the data source that a client names. One query; two without cached rules."""
    return guard_of(reference, registry.find(reference), identity, trail)


def guard_of(
    reference: int | str, source: Source | None, identity: Identity, trail: RequestLog | None = None
) -> Guard:
    """The guard of a data source that has been read already."""
    if source is None:
        return Guard(reference, source, _NO_RULES, identity, trail=trail)
    rules = compiled_of(source)
    scripts = rules.scripts(source.id, None if trail is None else trail.budget)
    return Guard(reference, source, rules.ruleset, identity, scripts, trail)


_NO_RULES = compile_rules([], [])
