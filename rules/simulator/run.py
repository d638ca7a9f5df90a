"""Simulate a request: each action follows the API's up to the point where it would write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Failure, Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may
from rowkeeper.datasources.query.joins import Reference
from rowkeeper.datasources.query.select import Delete, Select, parse_query
from rowkeeper.datasources.store import StoredEntry, normal_address
from rowkeeper.datasources.values.codec import dumps

from ..access.commit import parse_commit, plan_commit
from ..access.entries import (
    is_own,
    plan_delete,
    plan_delete_by_query,
    plan_insert,
    plan_update,
    read_entry,
)
from ..access.guard import Guard
from ..access.joins import JoinResolver, columns_of
from ..access.parsing import row_of
from ..access.select import SelectQuery, parse_body, plan_select
from ..analysis.near_miss import NearMiss, nearest
from ..api.entries import answer_select
from ..api.entry_answers import entry_value
from ..api.errors import answer, failure_of
from ..decision_log.query import SEEING_PEOPLE
from ..decision_log.records import RuleOutcomes
from ..engine.decide import (
    Decision,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from ..engine.reasons import ADDRESS, NOT_REACHED, Reason
from ..engine.requests import Change, DecisionRequest, EntryRequest, Update
from ..engine.rule import Operation
from .request import SimulatedRequest, object_of

# The time limit in seconds, the most entries in an answer, and the most changed requests to try.
SECONDS = 5.0
ENTRIES = 50
_MOST_TRIES, _MOST_TRIES_OF_SCRIPTS = 400, 12
DENIALS = ("datasource.access", "auth.required")
DECIDE: dict[Operation, Callable[..., Decision]] = {
    "select": decide_select,
    "insert": decide_insert,
    "update": decide_update,
    "delete": decide_delete,
}


@dataclass(frozen=True, slots=True)
class DryRunGuard(Guard):
    """A guard that records its decisions, and writes nothing to the decision log."""

    decisions: list[tuple[Decision, DecisionRequest | None]] = field(default_factory=list)

    def _granted(self, decision: Decision, request: DecisionRequest, began: float) -> Decision:
        self.decisions.append((decision, request))
        return Guard._granted(self, decision, request, began)

    def refuse(
        self,
        operation: Operation,
        request: DecisionRequest | None = None,
        notes: RuleOutcomes | None = None,
        took: float = 0.0,
        because: Reason = NOT_REACHED,
    ) -> NoReturn:
        """Refuse. If no rule was evaluated, record what each would have said."""
        if notes is None:
            notes = self._unevaluated(operation, because)
            self.decisions.append((Decision(False, operation, self.ruleset, notes=notes), request))
        Guard.refuse(self, operation, request, notes, took)


@dataclass(slots=True)
class Outcome:
    """The result of a simulation. `text`: the body of the answer; None if it needs a real write."""

    status: int = 200
    text: str | None = None
    decisions: list[tuple[Decision, DecisionRequest | None]] = field(default_factory=list)
    # The rows that would be stored, each with the id of its entry; None for a new entry.
    written: list[tuple[int | None, dict[str, Any]]] = field(default_factory=list)
    gone: int | None = None
    select: Select | None = None
    # Whether fewer entries are shown than the API would return.
    cut: bool = False
    miss: NearMiss | None = None
    # Why the API would refuse the request.
    failure: Failure | None = None
    # What a denial without a decision was about.
    about: tuple[Operation, DecisionRequest] | None = None


def simulate(
    guard: DryRunGuard,
    simulated: SimulatedRequest,
    user: Any,
    sees_entries: bool,
    reads: bool = True,
) -> Outcome:
    """Decide, and answer as the API would.

    `sees_entries`: the user may see what is stored. `reads`: read the rows of a query for the
    answer, and look for the nearest request that would be granted.
    """
    outcome = Outcome(decisions=guard.decisions)
    action = _Action(guard, simulated, user, sees_entries, reads, outcome)
    try:
        with store.read_time_limit(SECONDS):
            getattr(action, simulated.action)()
            return outcome
    except Failure as error:
        failure = outcome.failure = failure_of(error)
    response = answer(failure)
    outcome.status, outcome.text = response.status_code, response.content.decode()
    if reads and failure.code in DENIALS:
        with store.read_time_limit(SECONDS):
            outcome.miss = _nearest(guard, outcome)
    return outcome


def _nearest(guard: DryRunGuard, outcome: Outcome) -> NearMiss | None:
    last, request = guard.decisions[-1] if guard.decisions else (None, None)
    operation = None if last is None else last.operation
    if request is None and outcome.about is not None:
        operation, request = outcome.about
    if request is None or operation is None:
        return None

    def decide(identity: Identity, changed: Any) -> Decision:
        return DECIDE[operation](guard.ruleset, identity, changed, guard.scripts)

    most = _MOST_TRIES_OF_SCRIPTS if guard.ruleset.has_scripts else _MOST_TRIES
    return nearest(guard.ruleset, operation, guard.identity, request, decide, most)


@dataclass(frozen=True, slots=True)
class _Joinable(JoinResolver):
    """Joins of data sources whose entries the user of the simulator may see. Others are refused."""

    user: Any = None

    def guard(self, reference: Reference) -> Guard:
        found = JoinResolver.guard(self, reference)
        if found.source is None or not sees_entries_of(self.user, found.source):
            raise Malformed(
                "a join can be simulated where you may see the entries of what is joined"
            )
        return found


def sees_entries_of(user: Any, source: Source) -> bool:
    """Whether the user may see the entries of the data source."""
    model = DataSource(pk=source.id)
    return any(may(user, right, model) for right in SEEING_PEOPLE)


@dataclass(frozen=True, slots=True)
class _Action:
    """One action of the API, up to the point where it would write."""

    guard: DryRunGuard
    simulated: SimulatedRequest
    user: Any
    sees_entries: bool
    reads: bool
    outcome: Outcome

    def _body(self) -> dict[str, Any]:
        return object_of(self.simulated.body, "the body")

    def _answer(self, value: Any) -> None:
        self.outcome.text = dumps(value)

    # -- reads

    def select(self) -> None:
        if self.simulated.entry_id is not None:
            self._read_entry(self.simulated.entry_id)
            return
        others = _Joinable(self.guard, user=self.user)
        query = parse_body(self.guard, {**self._body(), "type": "select"}, others)
        assert isinstance(query, SelectQuery)
        request = self.outcome.select = query.select
        plan = plan_select(self.guard, query, others)
        if self.sees_entries and self.reads:
            cut = not request.count_only and (request.limit is None or request.limit > ENTRIES)
            if cut:
                plan = replace(plan, select=replace(request, limit=ENTRIES))
            self.outcome.text = answer_select(self.guard, plan).getvalue().decode()
            self.outcome.cut = cut

    def _read_entry(self, entry_id: int) -> None:
        stored, shown = read_entry(self.guard, entry_id)
        self._answer(entry_value(self.guard.found("select"), stored, shown))

    # -- writes

    def insert(self) -> None:
        plan = plan_insert(self.guard, row_of(self._body(), "the body"))
        self._refuse_addresses(plan.source, "insert", [(None, plan.row)])
        self.outcome.written = [(None, plan.row)]
        shown = plan.shown(self.guard).of(plan.row)
        self._answer({"id": None, "data": shown, "dataSourceId": plan.source.id})

    def update(self) -> None:
        entry_id, row = self._entry_id(), row_of(self._body(), "the body")
        there = self._stored(entry_id)
        if there is not None:
            change = Change(row, there.data, is_own(self.guard, entry_id), entry_id)
            self.outcome.about = "update", Update([change])
        plan = plan_update(self.guard, entry_id, row)
        self._refuse_addresses(plan.source, "update", [(entry_id, plan.row)])
        self.outcome.written = [(entry_id, plan.row)]
        after = replace(plan.before, data=plan.row)
        value = entry_value(plan.source, after, plan.shown(self.guard, plan.row))
        self._answer({**value, "updatedAt": None})

    def delete(self) -> None:
        if self.simulated.entry_id is None:
            self._delete_by_query()
            return
        there = self._stored(self.simulated.entry_id)
        if there is not None:
            self.outcome.about = "delete", EntryRequest([there.data])
        plan_delete(self.guard, self.simulated.entry_id)
        self.outcome.gone = 1
        self._answer({})

    def _delete_by_query(self) -> None:
        request = parse_query({**self._body(), "type": "delete"}, columns_of(self.guard))
        assert isinstance(request, Delete)
        if self.guard.ruleset.scripted("delete") and not self.sees_entries:
            raise Malformed(
                "a script receives the rows of a delete, and you do not have "
                "permission to see the entries"
            )
        plan = plan_delete_by_query(self.guard, request)
        if self.sees_entries and self.reads:
            self.outcome.gone = store.count(plan.source, plan.where)
            self._answer({"deletedCount": self.outcome.gone})

    def commit(self) -> None:
        request = parse_commit(self._body())
        source = self.guard.found(request.first_operation)
        plan = plan_commit(self.guard, source, request)
        written = [(entry.id, row) for entry, row in plan.changes]
        self.outcome.written = [*written, *((None, row) for row in plan.rows)]
        gone = plan.gone if plan.others is None else plan.others.ids()
        self._refuse_addresses(source, request.first_operation, self.outcome.written, gone=gone)
        self.outcome.gone = len(plan.gone if plan.others is None else plan.others)

    def _entry_id(self) -> int:
        if self.simulated.entry_id is None:
            raise Malformed("an update needs the ID of an entry")
        return self.simulated.entry_id

    def _stored(self, entry_id: int) -> StoredEntry | None:
        assert self.guard.source is not None
        return store.fetch(self.guard.source, [entry_id]).get(entry_id)

    def _refuse_addresses(
        self,
        source: Source,
        operation: Operation,
        rows: Iterable[tuple[int | None, dict[str, Any]]],
        gone: Iterable[int] = (),
    ) -> None:
        """Refuse a write that gives two entries of a sign-in data source the same email."""
        # Whether an email is taken discloses something about entries.
        if source.login is None or not self.sees_entries:
            return
        rows, leaving = list(rows), set(gone)
        own = {entry_id for entry_id, _ in rows}
        seen: set[str] = set()
        for _, row in rows:
            address = normal_address(row.get(source.login.email_column))
            if address is None:
                continue
            there = {key for key, _ in store.login_rows(source.id, source.login, address)}
            if address in seen or there - own - leaving:
                self.guard.refuse(operation, because=ADDRESS)
            seen.add(address)
