"""Simulate a request: each action follows the API's up to the point where it would write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Failure, Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may
from rowkeeper.datasources.query.joins import Reference, left_names, parse_joins
from rowkeeper.datasources.query.select import Delete, Select, parse_query
from rowkeeper.datasources.query.where import Budget
from rowkeeper.datasources.store import StoredEntry, normal_address
from rowkeeper.datasources.values.codec import dumps

from ..access.guard import Guard
from ..access.joins import JoinResolver, apply_view, columns_of
from ..analysis.near_miss import NearMiss, nearest
from ..api.bodies import row_of
from ..api.commit import decided, first_operation, parse_commit
from ..api.entries import answer_select
from ..api.entry_answers import entry_value, is_own, stored_entry
from ..api.errors import answer, failure_of
from ..decision_log.query import SEEING_PEOPLE
from ..decision_log.records import RuleOutcomes
from ..engine.decide import (
    Decision,
    answered,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
)
from ..engine.reasons import ADDRESS, NOT_REACHED, Reason
from ..engine.requests import Change, DecisionRequest, EntryRequest, Insert, QueryRequest, Update
from ..engine.rule import Operation
from .request import Asked, object_of

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

    heard: list[tuple[Decision, DecisionRequest | None]] = field(default_factory=list)

    def _granted(self, decision: Decision, ask: DecisionRequest, began: float) -> Decision:
        self.heard.append((decision, ask))
        return Guard._granted(self, decision, ask, began)

    def refuse(
        self,
        operation: Operation,
        ask: DecisionRequest | None = None,
        notes: RuleOutcomes | None = None,
        took: float = 0.0,
        because: Reason = NOT_REACHED,
    ) -> NoReturn:
        """Refuse. If no rule was evaluated, record what each would have said."""
        if notes is None:
            notes = self._unasked(operation, because)
            self.heard.append((Decision(False, operation, self.ruleset, notes=notes), ask))
        Guard.refuse(self, operation, ask, notes, took)


@dataclass(slots=True)
class Outcome:
    """The result of a simulation. `text`: the body of the answer; None if it needs a real write."""

    status: int = 200
    text: str | None = None
    heard: list[tuple[Decision, DecisionRequest | None]] = field(default_factory=list)
    # The rows that would be stored, each with the id of its entry; None for a new entry.
    written: list[tuple[int | None, dict[str, Any]]] = field(default_factory=list)
    gone: int | None = None
    select: Select | None = None
    # Whether fewer entries are shown than the API would return.
    cut: bool = False
    miss: NearMiss | None = None
    # The request of a denial that was made without a decision.
    about: tuple[Operation, DecisionRequest] | None = None


def simulate(guard: DryRunGuard, asked: Asked, user: Any, sees_entries: bool) -> Outcome:
    """Decide, and answer as the API would. `sees_entries`: the user may see the stored entries."""
    outcome = Outcome(heard=guard.heard)
    action = _Action(guard, asked, user, sees_entries, outcome)
    try:
        with store.read_time_limit(SECONDS):
            getattr(action, asked.action)()
            return outcome
    except Failure as error:
        failure = failure_of(error)
    response = answer(failure)
    outcome.status, outcome.text = response.status_code, response.content.decode()
    if failure.code in DENIALS:
        with store.read_time_limit(SECONDS):
            outcome.miss = _nearest(guard, outcome)
    return outcome


def _nearest(guard: DryRunGuard, outcome: Outcome) -> NearMiss | None:
    last, ask = guard.heard[-1] if guard.heard else (None, None)
    operation = None if last is None else last.operation
    if ask is None and outcome.about is not None:
        operation, ask = outcome.about
    if ask is None or operation is None:
        return None

    def decide(identity: Identity, changed: Any) -> Decision:
        return DECIDE[operation](guard.ruleset, identity, changed, guard.scripts)

    most = _MOST_TRIES_OF_SCRIPTS if guard.ruleset.has_scripts else _MOST_TRIES
    return nearest(guard.ruleset, operation, guard.identity, ask, decide, most)


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
    asked: Asked
    user: Any
    sees_entries: bool
    outcome: Outcome

    def _body(self) -> dict[str, Any]:
        return object_of(self.asked.body, "the body")

    def _answer(self, value: Any) -> None:
        self.outcome.text = dumps(value)

    # -- reads

    def select(self) -> None:
        if self.asked.entry_id is not None:
            self._read_entry(self.asked.entry_id)
            return
        body = {**self._body(), "type": "select"}
        budget = Budget()
        ask = parse_query(body, columns_of(self.guard), budget)
        assert isinstance(ask, Select)
        others = _Joinable(self.guard, user=self.user)
        joins = parse_joins(body.get("join"), columns_of(self.guard), others.columns, budget)
        self.outcome.select = ask
        if self.sees_entries:
            cut = not ask.count_only and (ask.limit is None or ask.limit > ENTRIES)
            some = replace(ask, limit=ENTRIES) if cut else ask
            self.outcome.text = answer_select(self.guard, some, joins, others).getvalue().decode()
            self.outcome.cut = cut
            return
        where, written = apply_view(self.guard, "select", ask)
        names = (*ask.names(), *left_names(joins))
        self.guard.select(QueryRequest(where, names, tuple(ask.paths()), written))
        others.decided(joins)

    def _read_entry(self, entry_id: int) -> None:
        stored = stored_entry(self.guard, entry_id, "select")
        decision = self.guard.select(EntryRequest([stored.data]))
        self._answer(entry_value(self.guard.found("select"), stored, decision.shown))

    # -- writes

    def insert(self) -> None:
        row = row_of(self._body(), "the body")
        rows = self.guard.insert(Insert([row])).rows
        source = self.guard.found("insert")
        self._refuse_addresses(source, "insert", [(None, rows[0])])
        self.outcome.written = [(None, rows[0])]
        shown = answered(
            self.guard.ruleset, self.guard.identity, row, None, rows[0], self.guard.scripts
        )
        self._answer({"id": None, "data": shown.of(rows[0]), "dataSourceId": source.id})

    def update(self) -> None:
        entry_id, row = self._entry_id(), row_of(self._body(), "the body")
        source = self._source()
        before = store.fetch(source, [entry_id]).get(entry_id)
        if before is not None:
            change = Change(row, before.data, is_own(self.guard, entry_id), entry_id)
            self.outcome.about = "update", Update([change])
        self.guard.found("update")
        before = stored_entry(self.guard, entry_id, "update")
        after = self.guard.update(Update([change])).rows[0]
        self._refuse_addresses(source, "update", [(entry_id, after)])
        self.outcome.written = [(entry_id, after)]
        self._answer_update(source, before, row, after)

    def _answer_update(
        self, source: Source, before: StoredEntry, row: dict[str, Any], after: dict[str, Any]
    ) -> None:
        first = self.guard.shown(before.data)
        guard = self.guard
        shown = answered(guard.ruleset, guard.identity, row, first, after, guard.scripts)
        value = entry_value(source, replace(before, data=after), shown)
        self._answer({**value, "updatedAt": None})

    def delete(self) -> None:
        if self.asked.entry_id is None:
            self._delete_by_query()
            return
        entry_id, source = self.asked.entry_id, self._source()
        there = store.fetch(source, [entry_id]).get(entry_id)
        if there is not None:
            self.outcome.about = "delete", EntryRequest([there.data])
        self.guard.found("delete")
        stored = stored_entry(self.guard, entry_id, "delete")
        self.guard.delete(EntryRequest([stored.data]))
        self.outcome.gone = 1
        self._answer({})

    def _delete_by_query(self) -> None:
        ask = parse_query({**self._body(), "type": "delete"}, columns_of(self.guard))
        assert isinstance(ask, Delete)
        where, written = apply_view(self.guard, "delete", ask)
        source = self.guard.found("delete")
        if self.guard.ruleset.scripted("delete"):
            if not self.sees_entries:
                raise Malformed("a script sees the rows of a delete: you may not see the entries")
            rows = partial(_rows, source, where)
            decision = self.guard.delete(QueryRequest(where, written=written, rows=rows))
        else:
            decision = self.guard.delete(QueryRequest(where))
        if self.sees_entries:
            self.outcome.gone = store.count(source, decision.where(where))
            self._answer({"deletedCount": self.outcome.gone})

    def commit(self) -> None:
        ask = parse_commit(self._body())
        source = self.guard.found(first_operation(ask))
        plan = decided(self.guard, source, ask, lock=False)
        written = [(entry.id, row) for entry, row in plan.changes]
        self.outcome.written = [*written, *((None, row) for row in plan.rows)]
        gone = plan.gone if plan.others is None else plan.others.ids()
        self._refuse_addresses(source, first_operation(ask), self.outcome.written, gone=gone)
        self.outcome.gone = len(plan.gone if plan.others is None else plan.others)

    def _entry_id(self) -> int:
        if self.asked.entry_id is None:
            raise Malformed("an update is of an entry: its id is missing")
        return self.asked.entry_id

    def _source(self) -> Source:
        assert self.guard.source is not None
        return self.guard.source

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


def _rows(source: Source, where: Any, limit: int) -> list[dict[str, Any]]:
    return [entry.data for entry in store.fetch_where(source, where, limit=limit).values()]
