"""Load, decide, refuse: between a request and the engine. The viewsets ask nowhere else."""

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
    """The rules do not allow it. Tells neither which rule nor which value was at fault."""

    code = "datasource.access"

    def __init__(self, name: object, operation: Operation, reference: object) -> None:
        super().__init__(
            f'The security rules for the Data Source "{name}" do not allow this app to '
            f"{VERBS[operation]} data."
        )
        self.payload = {"dataSourceId": reference}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of a data source in one state, and who wrote the scripts in them."""

    # What they were compiled from.
    key: tuple[Any, ...]
    ruleset: Ruleset
    # The id of a Django user, by the text of the script.
    writers: dict[str, int | None]

    def scripts(self, source_id: int, budget: Budget | None = None) -> ScriptRun:
        """Runs them, for one request, whose scripts have used so much of their time."""
        if not self.ruleset.has_scripts:
            return NO_SCRIPTS
        return Scripts(self.writers, source_id=source_id, budget=budget)


# The last state of each data source's rules, by its id.
_compiled: Cache[int, Compiled] = Cache("compiled rules", 1_000)


def ruleset_of(source: Source) -> Ruleset:
    """The compiled rules."""
    return compiled_of(source).ruleset


def compiled_of(source: Source) -> Compiled:
    """The rules, kept until the rules, columns or definition are others.

    Rules that were read with another tag than the data source are not kept: they would be taken
    for the rules of that tag from then on.
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
    """Compile a list of rules for a data source as it is, whether they are stored or not."""
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
    """One identity before one data source, which may not exist."""

    # As the client sent it: a number or a name.
    reference: int | str
    source: Source | None
    ruleset: Ruleset
    identity: Identity
    # How the scripts among the rules are run.
    scripts: ScriptRun = NO_SCRIPTS
    # What is logged of the request; None for who only asks what would be.
    trail: RequestLog | None = None
    # Whether what is granted is logged as well, or denials only.
    notes_grants: bool = True
    # Whether the look-ups of scripts are made again before a write. They are not where the whole
    # write is decided under the lock of its data source: others, who write to what is looked up,
    # could keep it from ever being carried out.
    rechecks_lookups: bool = True

    @property
    def is_known(self) -> bool:
        """Whether the caller may know that the data source exists: some rule could let them in."""
        return self.source is not None and may_let_in(self.ruleset, self.identity)

    def found(self, operation: Operation) -> Source:
        """The data source. Raises the denial of `operation` where there is none to be known."""
        if self.source is None or not self.is_known:
            self.refuse(operation)
        return self.source

    def refuse(
        self,
        operation: Operation,
        ask: DecisionRequest | None = None,
        notes: RuleOutcomes | None = None,
        took: float = 0.0,
        because: Reason = NOT_REACHED,
    ) -> NoReturn:
        """Raise `LoginRequired` where a login could help, `Denied` otherwise; it is logged.

        `notes`: what each rule said. None: no rule was asked, `because` of something else.
        """
        failure = self._denial(operation)
        if self.trail is not None and self.source is not None:
            if notes is None:
                notes = self._unasked(operation, because)
            if keeps():
                event = self._event(self.trail, operation, ask, notes, took, self.is_known)
                events.denial(event, failure)
            failure.request_id = self.trail.request_id
        # Of a data source that does not exist: noted where all other refusals are.
        raise failure

    def _unasked(self, operation: Operation, because: Reason) -> RuleOutcomes:
        """What is said of each rule where none was asked."""
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

    def _granted(self, decision: Decision, ask: DecisionRequest, began: float) -> Decision:
        took = perf_counter() - began
        if not decision.granted:
            self.refuse(decision.operation, ask, decision.notes, took)
        if self.trail is not None and self.notes_grants:
            self.note_grant(decision, ask, took, self.trail)
        return decision

    def note_grant(
        self, decision: Decision, ask: DecisionRequest, took: float, trail: RequestLog
    ) -> None:
        """Some of what is granted is logged."""
        if is_sampled():
            events.grant(self._event(trail, decision.operation, ask, decision.notes, took))

    def _event(
        self,
        trail: RequestLog,
        operation: Operation,
        ask: DecisionRequest | None,
        notes: RuleOutcomes,
        took: float,
        is_known: bool = True,
    ) -> DecisionEvent:
        assert self.source is not None
        return DecisionEvent(
            trail, self.identity, self.source.id, operation, ask, notes, took, is_known
        )

    def select(self, ask: QueryRequest | EntryRequest) -> Decision:
        """The decision, granted. Raises the denial."""
        began = perf_counter()
        return self._granted(
            decide_select(self.ruleset, self.identity, ask, self.scripts), ask, began
        )

    def delete(self, ask: QueryRequest | EntryRequest) -> Decision:
        """The decision, granted. Raises the denial."""
        began = perf_counter()
        return self._granted(
            decide_delete(self.ruleset, self.identity, ask, self.scripts), ask, began
        )

    def insert(self, ask: Insert) -> Decision:
        """The decision, granted. Raises the denial."""
        began = perf_counter()
        if self.source is not None and self.source.login is not None:
            # As it will be stored: a rule decides on that.
            ask = replace(ask, rows=[composed_row(self.source, row) for row in ask.rows])
        return self._granted(
            decide_insert(self.ruleset, self.identity, ask, self.scripts), ask, began
        )

    def update(self, ask: Update) -> Decision:
        """The decision, granted. Raises the denial."""
        began = perf_counter()
        if self.source is not None and self.source.login is not None:
            changes = [
                replace(change, submitted=composed_row(self.source, change.submitted))
                for change in ask.changes
            ]
            ask = replace(ask, changes=changes)
        return self._granted(
            decide_update(self.ruleset, self.identity, ask, self.scripts), ask, began
        )

    def missing(self, operation: Operation) -> NoReturn:
        """For an entry that is not there: 404 where anyone let in may see every entry, else the
        denial that an existing one would get.
        """
        ask = EntryRequest([None])
        if decide_select(self.ruleset, self.identity, ask, self.scripts).granted:
            raise NotFound("there is no such entry")
        self.refuse(operation, because=ABSENT)

    def shown(self, stored: Data) -> Projection:
        """What a select of one entry by its id shows the caller; nothing where it is denied."""
        return shown_of(self.ruleset, self.identity, stored, self.scripts)

    def decides_early(self, *operations: Operation) -> bool:
        """Whether a write is decided before its data source is locked, and again under the lock:
        where a script may run, as nobody is to wait for it, and where no rule of one of the
        operations is for this identity, as such a caller is to hold no lock at all.
        """
        return self.ruleset.has_scripts or not all(
            may_let_in(self.ruleset, self.identity, operation) for operation in operations
        )

    def without_grant_log(self) -> Guard:
        """The guard that decides once more, under the lock: what it grants is logged already."""
        return replace(self, notes_grants=False)

    def confirm_lookups(self) -> None:
        """Check, once a write has been decided under the lock, that the look-ups of scripts find
        what they found. Raises `Changed`.
        """
        if self.rechecks_lookups and isinstance(self.scripts, Scripts):
            self.scripts.confirm()

    def written(self) -> None:
        """Something has been written: what scripts said of reads is asked anew."""
        if isinstance(self.scripts, Scripts):
            self.scripts.forget()

    def some_rule(self, operation: Operation) -> None:
        """Raises the denial unless some rule of the operation is for this identity."""
        if not may_let_in(self.ruleset, self.identity, operation):
            self.refuse(operation)


def find_guard(reference: int | str, identity: Identity, trail: RequestLog | None = None) -> Guard:
    """The guard of the data source that a client refers to; one query, two where rules are new."""
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
