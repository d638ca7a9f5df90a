"""Writes of many entries, `commit` and bulk `POST data`: all of them are stored, or none.

The rules run once for each operation, over all entries of that operation, on the state before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from django.http import HttpResponse
from rest_framework.request import Request

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.select import parse_bool
from rowkeeper.datasources.query.where import EVERYTHING
from rowkeeper.datasources.store import StoredEntry
from rowkeeper.datasources.values.codec import dumps

from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..engine.decide import Decision, decide_select, may_let_in
from ..engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from ..engine.rule import Operation
from ..engine.scripted import MAX_ROWS
from .answering import ENTRIES_OMITTED, after_write
from .base import text_answer
from .bodies import entry_id_of, row_of
from .entries import Entries, refused_addresses
from .entry_answers import is_own
from .once import Once, ids_of, is_unchanged, replayed, runs_of
from .preconditions import refuse_precondition
from .switches import BULK_SWITCHES, COMMIT_SWITCHES, with_switches


@dataclass(frozen=True, slots=True)
class Sent:
    """One entry of a commit: new where `id` is None."""

    row: dict[str, Any]
    id: int | None = None
    client_id: Any = None


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit asks for."""

    entries: tuple[Sent, ...]
    delete: tuple[int, ...] = ()
    # Keep the entries that are not sent.
    append: bool = False
    # Merge the columns that are sent, rather than replace the row.
    extend: bool = False
    returns: bool = True

    @property
    def ids(self) -> list[int]:
        """The entries that are to be changed."""
        return [sent.id for sent in self.entries if sent.id is not None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be written."""
        return self.append and not self.entries and not self.delete

    @property
    def operations(self) -> list[Operation]:
        """What some rule has to let the caller do, if the entries are there."""
        asked: dict[Operation, bool] = {
            "insert": any(sent.id is None for sent in self.entries),
            "update": any(sent.id is not None for sent in self.entries),
            "delete": bool(self.delete) or not self.append,
        }
        return [operation for operation, is_asked in asked.items() if is_asked]

    @property
    def keys(self) -> dict[str, None]:
        """Every column that is sent, once."""
        return dict.fromkeys(key for sent in self.entries for key in sent.row)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a commit was decided to do: new rows, entries with their rows, and what is deleted."""

    rows: Sequence[dict[str, Any]]
    changes: Sequence[tuple[StoredEntry, dict[str, Any]]]
    gone: Sequence[int]
    # Every entry that is not sent, where all of them go.
    others: store.Others | None = None


# Decides what a select without a where shows the caller.
See: TypeAlias = Callable[[], Decision]


class EntriesAndCommits(Entries):
    """One entry at a time, and many."""

    def bulk(self, request: Request, reference: str) -> HttpResponse:
        """`POST data`: rows; without `append` they replace everything."""
        refuse_precondition(request._request)
        body = self._body(request, reference, ("insert",))
        body = with_switches(request._request, body, BULK_SWITCHES)
        rows = _entries(body)
        ask = Commit(
            tuple(Sent(row_of(row, f"entries[{at}]")) for at, row in enumerate(rows)),
            append=parse_bool(body, "append"),
        )
        once = Once.of(request._request, self.identity(request))
        return self.decided(request, reference, lambda: self._run(request, reference, ask, once))

    def commit(self, request: Request, reference: str) -> HttpResponse:
        """`POST commit`: inserts, updates and deletes together."""
        refuse_precondition(request._request)
        body = self._body(request, reference, ("insert", "update", "delete"))
        ask = parse_commit(with_switches(request._request, body, COMMIT_SWITCHES))
        once = Once.of(request._request, self.identity(request))
        return self.decided(request, reference, lambda: self._run(request, reference, ask, once))

    def _body(
        self, request: Request, reference: str, operations: tuple[Operation, ...]
    ) -> dict[str, Any]:
        """The body. One over the usual limit is read from those who have a credential, and whom a
        rule of one of these operations could let in.
        """

        def fits() -> bool:
            guard = self.guard(request, reference)
            return any(may_let_in(guard.ruleset, guard.identity, each) for each in operations)

        return self.bulk_body(request, fits)

    def _run(self, request: Request, reference: str, ask: Commit, once: Once) -> HttpResponse:
        guard = self.guard(request, reference)
        source = guard.found(first_operation(ask))
        if ask.is_empty:
            return _nothing_written(guard, source, ask, once)
        if guard.decides_early(*ask.operations):
            decided(guard, source, ask, lock=False)
            guard = guard.without_grant_log()
        confirm = once.confirm(self.confirm(request))
        see = partial(_seen, guard)
        try:
            with (
                refused_addresses(guard, first_operation(ask)),
                store.writing(source, ask.keys, True, confirm=confirm) as columns,
            ):
                made = _carry_out(guard, source, ask, columns)
                if once.key is not None:
                    once.keep({"made": runs_of(made)}, guard)
        except Repeated as repeated:
            if not is_unchanged(repeated, guard):
                decided(guard, source, ask, lock=False)
            made = list(ids_of(repeated.outcome["made"]))
            return replayed(text_answer(_answer(source, ask, see, made)))
        once.clean_up()
        return text_answer(_answer(source, ask, see, made))


def parse_commit(body: dict[str, Any]) -> Commit:
    """The body of a commit. Raises `Malformed`, naming the place."""
    entries = tuple(_sent(item, f"entries[{at}]") for at, item in enumerate(_entries(body)))
    delete = body.get("delete")
    if delete is not None and not isinstance(delete, list):
        raise Malformed("`delete` is a list of ids")
    ids = tuple(entry_id_of(item, f"`delete[{at}]`") for at, item in enumerate(delete or ()))
    commit = Commit(
        entries,
        ids,
        append=parse_bool(body, "append"),
        extend=parse_bool(body, "extend"),
        returns=parse_bool(body, "returnEntries", default=True),
    )
    _refuse_twice([*commit.ids, *ids])
    return commit


def _entries(body: dict[str, Any]) -> list[Any]:
    if "entries" not in body:
        raise Malformed("`entries` is missing; it is a list, which may be empty")
    if not isinstance(body["entries"], list):
        raise Malformed("`entries` is a list")
    return body["entries"]


def _sent(item: Any, place: str) -> Sent:
    if not isinstance(item, dict):
        raise Malformed(f'`{place}` is an object such as {{"data": {{…}}}}')
    if "data" not in item:
        raise Malformed(f"`{place}.data` is missing; it is the row")
    row = row_of(item["data"], f"`{place}.data`")
    raw_id = item.get("id")
    entry_id = None if raw_id is None else entry_id_of(raw_id, f"`{place}.id`")
    client_id = item.get("clientId")
    if isinstance(client_id, dict | list):
        raise Malformed(f"`{place}.clientId` is text or a number")
    return Sent(row, entry_id, client_id)


def _refuse_twice(ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for entry_id in ids:
        if entry_id in seen:
            raise Malformed(f"the id `{entry_id}` is named twice")
        seen.add(entry_id)


def first_operation(ask: Commit) -> Any:
    """The operation that a denial names where no decision was made yet."""
    if any(sent.id is None for sent in ask.entries):
        return "insert"
    if ask.entries:
        return "update"
    return "delete" if ask.delete or not ask.append else "select"


def _nothing_written(guard: Guard, source: Source, ask: Commit, once: Once) -> HttpResponse:
    """Answer a commit that writes nothing. Readers may send it, so it takes no lock and stores no
    key. Raises `KeyReused`.
    """
    once.seen()
    see = partial(_seen, guard)
    if ask.returns:
        # Unlike after a write, a decision that cannot be made fails the request.
        seen = see()
        return text_answer(_answer(source, ask, lambda: seen))
    return text_answer(_answer(source, ask, see))


def _carry_out(guard: Guard, source: Source, ask: Commit, columns: list[str]) -> list[int]:
    """Decide everything on the state before, then write. `columns` are those that are new. The ids
    of the new entries, in the order in which they were sent.
    """
    plan = decided(guard, source, ask, lock=True)
    guard.confirm_lookups()
    if guard.ruleset.has_scripts:
        columns += _made_by_scripts(source, [*plan.rows, *(row for _, row in plan.changes)])
    if plan.others is not None:
        plan.others.delete()
    store.delete(source, plan.gone)
    if plan.changes:
        store.update(source, plan.changes)
    made = store.insert(source, plan.rows) if plan.rows else []
    guard.written()
    return [entry.id for entry in made]


def _seen(guard: Guard) -> Decision:
    return decide_select(guard.ruleset, guard.identity, QueryRequest(EVERYTHING), guard.scripts)


def decided(guard: Guard, source: Source, ask: Commit, lock: bool) -> Plan:
    """Everything that is to be decided, on the state before; `lock` for whoever writes then.

    Raises the denial.
    """
    stored = store.fetch(source, [*ask.ids, *ask.delete], lock)
    inserts = [sent for sent in ask.entries if sent.id is None]
    rows = guard.insert(Insert([sent.row for sent in inserts], batch=True)).rows if inserts else ()
    changes = _changes(guard, ask, stored)
    if ask.append:
        return Plan(rows, changes, _to_delete(guard, ask, stored))
    return Plan(rows, changes, (), _others(guard, source, ask, lock))


def _made_by_scripts(source: Source, rows: Iterable[dict[str, Any]]) -> list[str]:
    """The columns of rows that the data source does not have."""
    known = set(source.columns)
    return list(dict.fromkeys(key for row in rows for key in row if key not in known))


def _to_delete(guard: Guard, ask: Commit, stored: dict[int, StoredEntry]) -> list[int]:
    """The ids of those entries that are to be deleted by id, decided."""
    if ask.delete:
        guard.some_rule("delete")
    doomed = {entry_id: stored[entry_id] for entry_id in ask.delete if entry_id in stored}
    if doomed:
        guard.delete(EntryRequest([entry.data for entry in doomed.values()], batch=True))
    return list(doomed)


def _others(guard: Guard, source: Source, ask: Commit, lock: bool) -> store.Others | None:
    """Every entry that is not sent, decided: one rule has to grant that all of them are deleted.

    They are read where a rule has to look at them, and then in pieces.
    """
    if ask.delete:
        guard.some_rule("delete")
    if not store.holds_others(source, ask.ids):
        return None
    if not may_let_in(guard.ruleset, guard.identity, "delete"):
        guard.refuse("delete")
    others = store.Others(source, ask.ids, lock)
    # Without the lock, what is iterated over twice may be another number of entries each time.
    once = not lock and guard.ruleset.scripted("delete")
    guard.delete(EntryRequest(others[: MAX_ROWS + 1] if once else others, batch=True))
    return others


def _changes(
    guard: Guard, ask: Commit, stored: dict[int, StoredEntry]
) -> Sequence[tuple[StoredEntry, dict[str, Any]]]:
    """The rows that are to be written, decided, each beside what was stored."""
    # Neither before the other decisions nor after them all: that would tell which ids there are.
    if any(entry_id not in stored for entry_id in ask.ids):
        guard.missing("update")
    sent = [(item, stored[item.id]) for item in ask.entries if item.id is not None]
    if not sent:
        return []
    changes = [
        Change(item.row, entry.data, is_own(guard, entry.id), entry.id) for item, entry in sent
    ]
    decision = guard.update(Update(changes, replaces=not ask.extend, batch=True))
    return [(entry, row) for (_, entry), row in zip(sent, decision.rows, strict=True)]


def _answer(source: Source, ask: Commit, see: See, made: Sequence[int] = ()) -> str:
    """What a select without a where shows the caller, and which new entry got which id.

    It says so if the entries could not be read, as all of it is stored by now.
    """
    news = [sent for sent in ask.entries if sent.id is None]
    pairs = [
        {"clientId": sent.client_id, "id": made}
        for sent, made in zip(news, made, strict=True)
        if sent.client_id is not None
    ]
    entries = after_write(lambda: _visible(source, see())) if ask.returns else ""
    said = f'"entries":[{entries or ""}],"clientIds":{dumps(pairs)}'
    return f"{{{said}}}" if entries is not None else f'{{{said},"{ENTRIES_OMITTED}":true}}'


def _visible(source: Source, seen: Decision) -> str:
    if not seen.granted:
        return ""
    return ",".join(store.stream(source, seen.where(EVERYTHING), seen.shown))
