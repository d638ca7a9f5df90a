"""Writes of many entries, `commit` and bulk `POST data`: all of them are stored, or none.

The rules run once for each operation, over all entries of that operation, on the state before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.where import EVERYTHING
from rowkeeper.datasources.values.codec import dumps

from ..access.commit import Commit, parse_bulk, parse_commit, plan_commit
from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..engine.decide import Decision, decide_select, may_let_in
from ..engine.requests import QueryRequest
from ..engine.rule import Operation
from .answering import ENTRIES_OMITTED, after_write
from .base import text_answer
from .entries import Entries, refused_addresses
from .idempotent import IdempotentRequest, ids_of, is_unchanged, replayed, runs_of
from .preconditions import refuse_precondition
from .switches import BULK_SWITCHES, COMMIT_SWITCHES, with_switches

# Decides what a select without a where shows the caller.
See: TypeAlias = Callable[[], Decision]


class EntriesAndCommits(Entries):
    """Endpoints that write single entries and several entries."""

    def bulk(self, request: Request, reference: str) -> HttpResponse:
        """`POST data`: add rows. Without `append`, they replace all entries."""
        refuse_precondition(request._request)
        body = self._body(request, reference, ("insert",))
        body = with_switches(request._request, body, BULK_SWITCHES)
        commit = parse_bulk(body)
        idempotent = IdempotentRequest.of(request._request, self.identity(request))
        return self.run_write(
            request, reference, lambda: self._run(request, reference, commit, idempotent)
        )

    def commit(self, request: Request, reference: str) -> HttpResponse:
        """`POST commit`: inserts, updates and deletes in one transaction."""
        refuse_precondition(request._request)
        body = self._body(request, reference, ("insert", "update", "delete"))
        commit = parse_commit(with_switches(request._request, body, COMMIT_SWITCHES))
        idempotent = IdempotentRequest.of(request._request, self.identity(request))
        return self.run_write(
            request, reference, lambda: self._run(request, reference, commit, idempotent)
        )

    def _body(
        self, request: Request, reference: str, operations: tuple[Operation, ...]
    ) -> dict[str, Any]:
        """The body. It can be over the usual limit if the caller has a credential and a rule of one
        of these operations could let them in.
        """

        def fits() -> bool:
            guard = self.guard(request, reference)
            return any(may_let_in(guard.ruleset, guard.identity, each) for each in operations)

        return self.bulk_body(request, fits)

    def _run(
        self, request: Request, reference: str, commit: Commit, idempotent: IdempotentRequest
    ) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found(commit.first_operation)
        if commit.is_empty:
            return _nothing_written(guard, source, commit, idempotent)
        if guard.decides_early(*commit.operations):
            plan_commit(guard, source, commit)
            guard = guard.without_grant_log()
        confirm = idempotent.confirm(self.confirm(request))
        see = partial(_seen, guard)
        try:
            with (
                refused_addresses(guard, commit.first_operation),
                store.writing(source, commit.keys, True, confirm=confirm) as transaction,
            ):
                made = _carry_out(guard, source, commit, transaction)
                if idempotent.key is not None:
                    idempotent.keep({"made": runs_of(made)}, guard)
        except Repeated as repeated:
            if not is_unchanged(repeated, guard):
                plan_commit(guard, source, commit)
            made = list(ids_of(repeated.outcome["made"]))
            return replayed(text_answer(_answer(source, commit, see, made)))
        idempotent.clean_up()
        return text_answer(_answer(source, commit, see, made))


def _nothing_written(
    guard: Guard, source: Source, commit: Commit, idempotent: IdempotentRequest
) -> HttpResponse:
    """Answer a commit that writes nothing. Callers who can read may send it, so it takes no lock
    and stores no key. Raises `KeyReused`.
    """
    idempotent.seen()
    see = partial(_seen, guard)
    if commit.returns:
        # Unlike after a write, a decision that cannot be made fails the request.
        seen = see()
        return text_answer(_answer(source, commit, lambda: seen))
    return text_answer(_answer(source, commit, see))


def _carry_out(
    guard: Guard, source: Source, commit: Commit, transaction: store.WriteTransaction
) -> list[int]:
    """Decide everything on the state before, then write.

    Returns the IDs of the new entries, in the order in which they were sent.
    """
    plan = plan_commit(guard, source, commit, lock=True)
    guard.confirm_lookups()
    if guard.ruleset.has_scripts:
        transaction.add_columns(plan.columns_of_scripts(source))
    made = plan.carry_out(source)
    guard.written()
    return made


def _seen(guard: Guard) -> Decision:
    return decide_select(guard.ruleset, guard.identity, QueryRequest(EVERYTHING), guard.scripts)


def _answer(source: Source, commit: Commit, see: See, made: Sequence[int] = ()) -> str:
    """The result of a select without a where, and the IDs of the new entries by `clientId`.

    The response says if the entries could not be read, because everything is stored by then.
    """
    news = [sent for sent in commit.entries if sent.id is None]
    pairs = [
        {"clientId": sent.client_id, "id": made}
        for sent, made in zip(news, made, strict=True)
        if sent.client_id is not None
    ]
    entries = after_write(lambda: _visible(source, see())) if commit.returns else ""
    said = f'"entries":[{entries or ""}],"clientIds":{dumps(pairs)}'
    return f"{{{said}}}" if entries is not None else f'{{{said},"{ENTRIES_OMITTED}":true}}'


def _visible(source: Source, seen: Decision) -> str:
    if not seen.granted:
        return ""
    return ",".join(store.stream(source, seen.where(EVERYTHING), seen.shown))
