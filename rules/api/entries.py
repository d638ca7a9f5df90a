"""Entries over HTTP, guarded by the rules only. Each action is: parse, decide, run, answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.etags import entry_tag
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import AddressTaken, Malformed
from rowkeeper.datasources.query.column_names import column_of
from rowkeeper.datasources.query.joins import Join, left_names, parse_joins
from rowkeeper.datasources.query.select import Delete, Projection, Select, parse_query
from rowkeeper.datasources.query.where import EVERYTHING, Budget, Node
from rowkeeper.datasources.store import Found, StoredEntry, extended
from rowkeeper.datasources.store.extended import Page
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable, problem_with_name

from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..access.joins import JoinResolver, apply_view, columns_of
from ..engine.decide import Decision, answered
from ..engine.reasons import ADDRESS
from ..engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from ..engine.rule import Operation
from .answering import after_write
from .base import Endpoint, json_answer, text_answer, trail_of
from .bodies import entry_id_in, json_body, row_body
from .entry_answers import (
    entry_answer,
    inserted_before,
    is_own,
    kept_entry,
    stored_entry,
    updated_before,
)
from .foresight import foreseen
from .once import Once, is_unchanged, replayed
from .preconditions import Precondition, refuse_precondition
from .responses import Grant, Streamed, entries_answer
from .switches import QUERY_SWITCHES, with_switches

NO_COLUMNS: tuple[str, ...] = ()
MAX_INDEXES = 20


class Entries(Endpoint):
    """The rows of one data source."""

    def query(self, request: Request, reference: str) -> HttpResponse | Streamed:
        """`POST data/query`: select, or delete by query."""
        early = foreseen(request._request, reference)
        entries = None if early is None else early.entries(trail_of(request._request))
        if entries is not None:
            return text_answer(f'{{"entries":[{entries}]}}')
        self.identity(request)
        body = with_switches(request._request, json_body(request._request), QUERY_SWITCHES)
        return self.decided(request, reference, lambda: self._query(request, reference, body))

    def _query(
        self, request: Request, reference: str, body: dict[str, Any]
    ) -> HttpResponse | Streamed:
        guard = self.guard(request, reference)
        budget = Budget()
        ask = parse_query(body, columns_of(guard), budget)
        if isinstance(ask, Delete):
            refuse_precondition(request._request)
            self.repeatable = False
            return self._delete_by_query(request, guard, ask)
        others = JoinResolver(guard)
        joins = parse_joins(body.get("join"), columns_of(guard), others.columns, budget)
        return answer_select(guard, ask, joins, others, request)

    def list(self, request: Request, reference: str) -> HttpResponse | Streamed:
        """`GET data`: every entry that may be seen, streamed."""
        guard = self.guard(request, reference)
        query = QueryRequest(EVERYTHING)
        decision = guard.select(query)
        grant = Grant(request._request, guard, query, decision)
        source, where = guard.found("select"), decision.where(EVERYTHING)
        parts = store.pages(source, Select(), where, decision.shown, grant.again)
        return entries_answer(parts, grant)

    def retrieve(self, request: Request, reference: str, entry_id: str) -> HttpResponse:
        """`GET data/:entryId`."""
        wanted = entry_id_in(entry_id)
        guard = self.guard(request, reference)
        stored = stored_entry(guard, wanted, "select")
        decision = guard.select(EntryRequest([stored.data]))
        return entry_answer(guard.found("select"), stored, decision.shown)

    def insert(self, request: Request, reference: str) -> HttpResponse:
        """`PUT data`: one new row."""
        refuse_precondition(request._request)
        row = row_body(request._request)
        once = Once.of(request._request, self.identity(request), row)
        write = partial(self._insert, request, reference, row, once)
        return self.decided(request, reference, write)

    def _insert(
        self, request: Request, reference: str, row: dict[str, Any], once: Once
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        decision = guard.insert(Insert([row]))
        source = guard.found("insert")
        confirm = once.confirm(self.confirm(request))
        try:
            with (
                refused_addresses(guard, "insert"),
                store.writing(source, decision.rows[0], confirm=confirm),
            ):
                guard.confirm_lookups()
                made = store.insert(source, decision.rows)[0]
                once.keep(kept_entry(made), guard)
        except Repeated as repeated:
            # The decision has just been made again.
            return replayed(inserted_before(guard, row, decision.rows[0], repeated))
        once.clean_up()
        shown_columns = answered(guard.ruleset, guard.identity, row, None, made.data, guard.scripts)
        return entry_answer(source, made, shown_columns)

    def update(self, request: Request, reference: str, entry_id: str) -> HttpResponse:
        """`PUT data/:entryId`: merges the columns that are sent."""
        wanted = entry_id_in(entry_id)
        precondition = Precondition.of(request._request)
        row = row_body(request._request)
        once = Once.of(request._request, self.identity(request), row)
        write = partial(self._update, request, reference, wanted, row, precondition, once)
        return self.decided(request, reference, write)

    def _update(
        self,
        request: Request,
        reference: str,
        wanted: int,
        row: dict[str, Any],
        precondition: Precondition,
        once: Once,
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found("update")
        if guard.decides_early("update"):
            _may_update(guard, stored_entry(guard, wanted, "update"), row)
            guard = guard.without_grant_log()
        confirm = once.confirm(self.confirm(request))
        try:
            with refused_addresses(guard, "update"):
                after, first = _updated(guard, source, wanted, row, confirm, precondition, once)
        except Repeated as repeated:
            return replayed(updated_before(guard, wanted, row, repeated))
        once.clean_up()
        return entry_answer(source, after, _shown_after(guard, row, first, after))

    def destroy(self, request: Request, reference: str, entry_id: str) -> HttpResponse:
        """`DELETE data/:entryId`. The body is not read."""
        wanted = entry_id_in(entry_id)
        precondition = Precondition.of(request._request)
        once = Once.of(request._request, self.identity(request))
        write = partial(self._destroy, request, reference, wanted, precondition, once)
        return self.decided(request, reference, write)

    def _destroy(
        self,
        request: Request,
        reference: str,
        wanted: int,
        precondition: Precondition,
        once: Once,
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found("delete")
        if guard.decides_early("delete"):
            guard.delete(EntryRequest([stored_entry(guard, wanted, "delete").data]))
            guard = guard.without_grant_log()
        confirm = once.confirm(self.confirm(request))
        try:
            with store.writing(source, NO_COLUMNS, confirm=confirm):
                stored = stored_entry(guard, wanted, "delete", lock=True)
                guard.delete(EntryRequest([stored.data]))
                precondition.check(entry_tag(stored.updated_at))
                guard.confirm_lookups()
                store.delete(source, [stored.id])
                once.keep({}, guard)
        except Repeated as repeated:
            if not is_unchanged(repeated, guard):
                guard.delete(EntryRequest([stored_entry(guard, wanted, "delete").data]))
            return replayed(json_answer({}))
        once.clean_up()
        return json_answer({})

    def _delete_by_query(self, request: Request, guard: Guard, ask: Delete) -> HttpResponse:
        once = Once.of(request._request, guard.identity)
        where, written = apply_view(guard, "delete", ask)
        source = guard.found("delete")
        scripted = guard.ruleset.scripted("delete")
        held = Held(source, where, lock=True)
        query = (
            QueryRequest(where, written=written, rows=held.rows)
            if scripted
            else QueryRequest(where)
        )
        decision: Decision | None = None
        if scripted:
            guard.delete(replace(query, rows=Held(source, where, lock=False).rows))
            guard = guard.without_grant_log()
        else:
            decision = guard.delete(query)
        confirm = once.confirm(self.confirm(request))
        try:
            with store.writing(source, NO_COLUMNS, confirm=confirm):
                decision = decision or guard.delete(query)
                guard.confirm_lookups()
                count = store.delete_where(source, decision.where(where), held.ids)
                once.keep({"deletedCount": count}, guard)
        except Repeated as repeated:
            return replayed(json_answer(repeated.outcome))
        once.clean_up()
        return json_answer({"deletedCount": count})

    def indexes(self, request: Request, reference: str, names: str) -> HttpResponse:
        """`GET indexes/A,B`: the distinct values of columns, of the entries that may be seen."""
        columns = _index_columns(names)
        guard = self.guard(request, reference)
        meant = {name: column_of(name, columns_of(guard)) for name in columns}
        decision = guard.select(QueryRequest(EVERYTHING, (*columns, *meant.values())))
        source, where = guard.found("select"), decision.where(EVERYTHING)
        return json_answer(
            {
                "indexes": {
                    name: store.distinct(source, where, column) if column in source.columns else []
                    for name, column in meant.items()
                }
            }
        )


def answer_select(
    guard: Guard,
    ask: Select,
    joins: tuple[Join, ...],
    others: JoinResolver,
    request: Request | None = None,
) -> HttpResponse | Streamed:
    """Decide a select by query, and run it. Raises the denial. `request`: whose right is to last
    until the end of a long answer.
    """
    where, written = apply_view(guard, "select", ask)
    names = (*ask.names(), *left_names(joins))
    query = QueryRequest(where, names, tuple(ask.paths()), written)
    decision = guard.select(query)
    source, shown_columns = guard.found("select"), decision.shown
    where = decision.where(where)
    if ask.distinct or ask.aggregate is not None:
        return text_answer(
            _selected(ask, extended.select_aggregate(source, ask, where, shown_columns))
        )
    if joins or ask.after is not None:
        joined = others.decided(joins)
        return text_answer(
            _page(ask, extended.select_page(source, ask, where, shown_columns, joined))
        )
    if store.is_long(ask) and not (ask.count_only or ask.with_total):
        grant = None if request is None else Grant(request._request, guard, query, decision)
        again = None if grant is None else grant.again
        parts = store.pages(source, ask, where, shown_columns, again)
        return entries_answer(parts, grant)
    return text_answer(_selected(ask, store.select(source, ask, where, shown_columns)))


def _selected(ask: Select, found: Found) -> str:
    if ask.count_only:
        return f'{{"count":{found.total}}}'
    entries = f'"entries":[{",".join(found.entries)}]'
    if not ask.with_total:
        return f"{{{entries}}}"
    page = {"total": found.total, "limit": ask.limit, "offset": ask.offset}
    return f'{{{entries},"pagination":{dumps(page)}}}'


def _page(ask: Select, page: Page) -> str:
    """The answer of a page, with a cursor if one was asked for."""
    if ask.after is None or ask.count_only:
        return _selected(ask, Found(page.entries, page.total))
    total = {} if page.total is None else {"total": page.total}
    told = {**total, "limit": ask.limit, "next": page.following}
    return f'{{"entries":[{",".join(page.entries)}],"pagination":{dumps(told)}}}'


@dataclass(slots=True)
class Held:
    """The rows that a delete by query is about, read once where a script sees them.

    `ids`: then no others are deleted, whatever has come meanwhile.
    """

    source: Source
    where: Node
    lock: bool
    found: dict[int, StoredEntry] | None = None

    @property
    def ids(self) -> Collection[int] | None:
        """None where nothing was read."""
        return None if self.found is None else self.found.keys()

    def rows(self, limit: int) -> Sequence[dict[str, Any]]:
        """Their data, of so many at most."""
        if self.found is None:
            self.found = store.fetch_where(self.source, self.where, self.lock, limit)
        return [entry.data for entry in self.found.values()]


def _updated(
    guard: Guard,
    source: Source,
    entry_id: int,
    row: dict[str, Any],
    confirm: store.Confirm,
    precondition: Precondition,
    once: Once,
) -> tuple[StoredEntry, Projection]:
    """Write an entry; it as it is stored now, and the columns that were shown before.

    Where a script has made a column, all is done again, behind the others who write the whole:
    that lock comes before any entry's.
    """
    for whole in (False, True):
        with store.writing(source, row, whole, confirm=confirm) as columns:
            before = stored_entry(guard, entry_id, "update", lock=True)
            written, first = _may_update(guard, before, row)
            precondition.check(entry_tag(before.updated_at))
            known = {*source.columns, *before.data, *row}
            new = [key for key in written if key not in known]
            if whole or not new:
                columns += new
                guard.confirm_lookups()
                after = store.update(source, [(before, written)])[0]
                once.keep(kept_entry(after), guard)
                guard.written()
                return after, first
    raise AssertionError("the second time is the last")


def _shown_after(
    guard: Guard, row: dict[str, Any], first: Projection, after: StoredEntry
) -> Projection:
    """The columns to answer of an entry that was updated. Where scripts say what is shown, they are
    asked after the transaction; if they cannot be, what was sent is answered.
    """
    answer = partial(answered, guard.ruleset, guard.identity, row)
    if not guard.ruleset.has_scripts:
        return answer(first, after.data)
    shown = after_write(lambda: answer(first, after.data, guard.scripts))
    return answer(None, after.data) if shown is None else shown


def _may_update(
    guard: Guard, before: StoredEntry, row: dict[str, Any]
) -> tuple[dict[str, Any], Projection]:
    """The row to be stored in place of an entry's, and the columns of it that are shown now.

    Raises the denial.
    """
    change = Change(row, before.data, is_own(guard, before.id), before.id)
    written = guard.update(Update([change])).rows[0]
    return written, guard.shown(before.data)


@contextmanager
def refused_addresses(guard: Guard, operation: Operation) -> Iterator[None]:
    """Two rows of one address get the ordinary denial, in place of the failure that says why."""
    try:
        yield
    except AddressTaken:
        guard.refuse(operation, because=ADDRESS)


def _index_columns(names: str) -> list[str]:
    """`A,B`; the URL has been decoded once, and a comma inside a name was encoded twice."""
    columns = [re.sub("%2[Cc]", ",", name) for name in names.split(",")]
    if len(columns) > MAX_INDEXES:
        raise Malformed(f"{len(columns)} columns are named; at most {MAX_INDEXES} are answered")
    for name in columns:
        problem = problem_with_name(name)
        if problem:
            raise Malformed(f"the column `{printable(name)}` {problem}")
    return list(dict.fromkeys(columns))
