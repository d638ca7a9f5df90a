"""Entries over HTTP. Each action parses, plans what the rules allow, and carries it out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.etags import entry_tag
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import AddressTaken, Malformed
from rowkeeper.datasources.query.column_names import column_of
from rowkeeper.datasources.query.select import Delete, Projection, Select
from rowkeeper.datasources.query.where import EVERYTHING
from rowkeeper.datasources.store import Found, StoredEntry, extended
from rowkeeper.datasources.store.extended import Page
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable, problem_with_name

from ..access import plan_cache
from ..access.entries import (
    UpdatePlan,
    plan_delete,
    plan_delete_by_query,
    plan_insert,
    plan_update,
    read_entry,
)
from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..access.joins import JoinResolver, columns_of
from ..access.plan_cache import CachedPlan
from ..access.select import SelectPlan, parse_body, plan_select
from ..engine.reasons import ADDRESS
from ..engine.requests import QueryRequest
from ..engine.rule import Operation
from .answering import after_write
from .base import Endpoint, json_answer, text_answer, trail_of
from .bodies import entry_id_in, json_body, repeatable_body, row_body
from .entry_answers import (
    entry_answer,
    inserted_before,
    kept_entry,
    updated_before,
)
from .idempotent import IdempotentRequest, is_unchanged, replayed
from .optimistic import optimistic_select
from .preconditions import Precondition, refuse_precondition
from .responses import Grant, Streamed, entries_answer
from .switches import QUERY_SWITCHES, with_switches

NO_COLUMNS: tuple[str, ...] = ()
MAX_INDEXES = 20


class Entries(Endpoint):
    """The rows of one data source."""

    def query(self, request: Request, reference: str) -> HttpResponse | Streamed:
        """`POST data/query`: select, or delete by query."""
        entries = optimistic_select(request._request, reference, trail_of(request._request))
        if entries is not None:
            return text_answer(f'{{"entries":[{entries}]}}')
        self.identity(request)
        plan = self._cached_plan(request, reference)
        if plan is not None:
            return answer_select(*plan, request)
        body = with_switches(request._request, json_body(request._request), QUERY_SWITCHES)
        return self.run_write(request, reference, lambda: self._query(request, reference, body))

    def _cached_plan(self, request: Request, reference: str) -> tuple[Guard, SelectPlan] | None:
        """The plan of an earlier select with the same body, if nothing has changed since."""
        known = self.caller(request).cached
        text = None if known is None else repeatable_body(request._request)
        if known is None or text is None:
            return None
        guard = self.guard(request, reference)
        found = plan_cache.plans.get(known, text, guard)
        if found is None:
            return None
        plan = found.plan
        guard.note_grant(plan.decision, plan.query, plan.took, trail_of(request._request))
        return guard, plan

    def _query(
        self, request: Request, reference: str, body: dict[str, Any]
    ) -> HttpResponse | Streamed:
        guard = self.guard(request, reference)
        others = JoinResolver(guard)
        query = parse_body(guard, body, others)
        if isinstance(query, Delete):
            refuse_precondition(request._request)
            self.repeatable = False
            return self._delete_by_query(request, guard, query)
        plan = plan_select(guard, query, others)
        known = self.caller(request).cached
        text = None if known is None else repeatable_body(request._request)
        if known is not None and text is not None:
            plan_cache.plans.keep(known, text, CachedPlan(plan))
        return answer_select(guard, plan, request)

    def list(self, request: Request, reference: str) -> HttpResponse | Streamed:
        """`GET data`: all entries that the caller can see, streamed."""
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
        stored, shown = read_entry(guard, wanted)
        return entry_answer(guard.found("select"), stored, shown)

    def insert(self, request: Request, reference: str) -> HttpResponse:
        """`PUT data`: one new row."""
        refuse_precondition(request._request)
        row = row_body(request._request)
        idempotent = IdempotentRequest.of(request._request, self.identity(request), row)
        write = partial(self._insert, request, reference, row, idempotent)
        return self.run_write(request, reference, write)

    def _insert(
        self, request: Request, reference: str, row: dict[str, Any], idempotent: IdempotentRequest
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        plan = plan_insert(guard, row)
        confirm = idempotent.confirm(self.confirm(request))
        try:
            with (
                refused_addresses(guard, "insert"),
                store.writing(plan.source, plan.row, confirm=confirm),
            ):
                guard.confirm_lookups()
                made = store.insert(plan.source, [plan.row])[0]
                idempotent.keep(kept_entry(made), guard)
        except Repeated as repeated:
            return replayed(inserted_before(guard, plan, repeated))
        idempotent.clean_up()
        return entry_answer(plan.source, made, plan.shown(guard))

    def update(self, request: Request, reference: str, entry_id: str) -> HttpResponse:
        """`PUT data/:entryId`: merge the submitted columns."""
        wanted = entry_id_in(entry_id)
        precondition = Precondition.of(request._request)
        row = row_body(request._request)
        idempotent = IdempotentRequest.of(request._request, self.identity(request), row)
        write = partial(self._update, request, reference, wanted, row, precondition, idempotent)
        return self.run_write(request, reference, write)

    def _update(
        self,
        request: Request,
        reference: str,
        wanted: int,
        row: dict[str, Any],
        precondition: Precondition,
        idempotent: IdempotentRequest,
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found("update")
        if guard.decides_early("update"):
            plan_update(guard, wanted, row)
            guard = guard.without_grant_log()
        confirm = idempotent.confirm(self.confirm(request))
        try:
            with refused_addresses(guard, "update"):
                after, plan = _updated(
                    guard, source, wanted, row, confirm, precondition, idempotent
                )
        except Repeated as repeated:
            return replayed(updated_before(guard, wanted, row, repeated))
        idempotent.clean_up()
        return entry_answer(source, after, _shown_after(guard, plan, after))

    def destroy(self, request: Request, reference: str, entry_id: str) -> HttpResponse:
        """`DELETE data/:entryId`. The body is not read."""
        wanted = entry_id_in(entry_id)
        precondition = Precondition.of(request._request)
        idempotent = IdempotentRequest.of(request._request, self.identity(request))
        write = partial(self._destroy, request, reference, wanted, precondition, idempotent)
        return self.run_write(request, reference, write)

    def _destroy(
        self,
        request: Request,
        reference: str,
        wanted: int,
        precondition: Precondition,
        idempotent: IdempotentRequest,
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found("delete")
        if guard.decides_early("delete"):
            plan_delete(guard, wanted)
            guard = guard.without_grant_log()
        confirm = idempotent.confirm(self.confirm(request))
        try:
            with store.writing(source, NO_COLUMNS, confirm=confirm):
                stored = plan_delete(guard, wanted, lock=True)
                precondition.check(entry_tag(stored.updated_at))
                guard.confirm_lookups()
                store.delete(source, [stored.id])
                idempotent.keep({}, guard)
        except Repeated as repeated:
            if not is_unchanged(repeated, guard):
                plan_delete(guard, wanted)
            return replayed(json_answer({}))
        idempotent.clean_up()
        return json_answer({})

    def _delete_by_query(self, request: Request, guard: Guard, query: Delete) -> HttpResponse:
        idempotent = IdempotentRequest.of(request._request, guard.identity)
        plan, scripted = plan_delete_by_query(guard, query), guard.ruleset.scripted("delete")
        if scripted:
            guard = guard.without_grant_log()
        confirm = idempotent.confirm(self.confirm(request))
        try:
            with store.writing(plan.source, NO_COLUMNS, confirm=confirm):
                if scripted:
                    # Scripts decide on the rows, so they decide again once these are locked.
                    plan = plan_delete_by_query(guard, query, lock=True)
                guard.confirm_lookups()
                count = store.delete_where(plan.source, plan.where, plan.ids)
                idempotent.keep({"deletedCount": count}, guard)
        except Repeated as repeated:
            return replayed(json_answer(repeated.outcome))
        idempotent.clean_up()
        return json_answer({"deletedCount": count})

    def indexes(self, request: Request, reference: str, names: str) -> HttpResponse:
        """`GET indexes/A,B`: the distinct values of columns, from the entries that the caller can
        see.
        """
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
    guard: Guard, plan: SelectPlan, request: Request | None = None
) -> HttpResponse | Streamed:
    """Run a select. `request` is the request whose authorization must last until the end of a
    streamed response.
    """
    source, query, where, shown = plan.source, plan.select, plan.where, plan.shown
    if query.distinct or query.aggregate is not None:
        return text_answer(_selected(query, extended.select_aggregate(source, query, where, shown)))
    if plan.joined or query.after is not None:
        return text_answer(
            _page(query, extended.select_page(source, query, where, shown, plan.joined))
        )
    if store.is_long(query) and not (query.count_only or query.with_total):
        grant = None
        if request is not None:
            grant = Grant(request._request, guard, plan.query, plan.decision)
        again = None if grant is None else grant.again
        return entries_answer(store.pages(source, query, where, shown, again), grant)
    return text_answer(_selected(query, store.select(source, query, where, shown)))


def _selected(query: Select, found: Found) -> str:
    if query.count_only:
        return f'{{"count":{found.total}}}'
    entries = f'"entries":[{",".join(found.entries)}]'
    if not query.with_total:
        return f"{{{entries}}}"
    page = {"total": found.total, "limit": query.limit, "offset": query.offset}
    return f'{{{entries},"pagination":{dumps(page)}}}'


def _page(query: Select, page: Page) -> str:
    """The response of one page, with a cursor if it was requested."""
    if query.after is None or query.count_only:
        return _selected(query, Found(page.entries, page.total))
    total = {} if page.total is None else {"total": page.total}
    pagination = {**total, "limit": query.limit, "next": page.following}
    return f'{{"entries":[{",".join(page.entries)}],"pagination":{dumps(pagination)}}}'


def _updated(
    guard: Guard,
    source: Source,
    entry_id: int,
    row: dict[str, Any],
    confirm: store.Confirm,
    precondition: Precondition,
    idempotent: IdempotentRequest,
) -> tuple[StoredEntry, UpdatePlan]:
    """Write an entry. Returns the stored entry and the executed plan.

    If a script added a column, the write is repeated under the lock for changes of the whole data
    source, which must be taken before the lock of any entry.
    """
    for whole in (False, True):
        with store.writing(source, row, whole, confirm=confirm) as transaction:
            plan = plan_update(guard, entry_id, row, lock=True)
            precondition.check(entry_tag(plan.before.updated_at))
            new = plan.columns_of_scripts
            if whole or not new:
                transaction.add_columns(new)
                guard.confirm_lookups()
                after = store.update(source, [(plan.before, plan.row)])[0]
                idempotent.keep(kept_entry(after), guard)
                guard.written()
                return after, plan
    raise AssertionError("the second time is the last")


def _shown_after(guard: Guard, plan: UpdatePlan, after: StoredEntry) -> Projection:
    """The columns that the response for an updated entry contains.

    Scripts decide on them after the transaction. If they cannot be run, the response contains the
    columns that were sent.
    """
    if not guard.ruleset.has_scripts:
        return plan.shown(guard, after.data)
    shown = after_write(lambda: plan.shown(guard, after.data))
    return plan.shown_without_scripts(guard) if shown is None else shown


@contextmanager
def refused_addresses(guard: Guard, operation: Operation) -> Iterator[None]:
    """Replace the failure for two rows with the same email address with the ordinary denial."""
    try:
        yield
    except AddressTaken:
        guard.refuse(operation, because=ADDRESS)


def _index_columns(names: str) -> list[str]:
    """Parse `A,B`. The URL has been decoded once, and a comma inside a name was encoded twice."""
    columns = [re.sub("%2[Cc]", ",", name) for name in names.split(",")]
    if len(columns) > MAX_INDEXES:
        raise Malformed(f"{len(columns)} columns are named; at most {MAX_INDEXES} are allowed")
    for name in columns:
        problem = problem_with_name(name)
        if problem:
            raise Malformed(f"the column `{printable(name)}` {problem}")
    return list(dict.fromkeys(columns))
