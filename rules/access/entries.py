"""One entry under the rules: read, insert, update and delete, and delete by query.

A plan is what the rules allow and what would be stored. Making one writes nothing, so the simulator
and `explain` stop there. The API makes the plan inside the transaction that carries it out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.select import Delete, Projection
from rowkeeper.datasources.query.where import Node
from rowkeeper.datasources.store import StoredEntry

from ..engine.decide import answered
from ..engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from ..engine.rule import Operation
from .guard import Guard
from .joins import apply_view


def stored_entry(
    guard: Guard, entry_id: int, operation: Operation, lock: bool = False
) -> StoredEntry:
    """The stored entry. Raises `NotFound` or a denial if there is none: see `Guard.missing`."""
    if guard.source is None:
        guard.refuse(operation)
    if guard.trail is not None:
        guard.trail.entry_id = entry_id
    stored = store.fetch(guard.source, [entry_id], lock).get(entry_id)
    if stored is None:
        guard.missing(operation)
    return stored


def is_own(guard: Guard, entry_id: int) -> bool:
    """Whether an entry is the row of the user whose session this is."""
    identity = guard.identity
    return (
        guard.source is not None
        and identity.entry_id == entry_id
        and identity.source_id == guard.source.id
    )


def read_entry(guard: Guard, entry_id: int) -> tuple[StoredEntry, Projection]:
    """An entry, and the columns of it that the caller may see. Raises the denial."""
    stored = stored_entry(guard, entry_id, "select")
    return stored, guard.select(EntryRequest([stored.data])).shown


# -- insert


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """A new entry. `sent`: the row of the client; `row`: the row to be stored."""

    source: Source
    sent: dict[str, Any]
    row: dict[str, Any]

    def shown(self, guard: Guard) -> Projection:
        """The columns to answer: those that were sent."""
        return answered(guard.ruleset, guard.identity, self.sent, None, self.row)


def plan_insert(guard: Guard, sent: dict[str, Any]) -> InsertPlan:
    """Decide the insert of a row. Raises the denial."""
    row = guard.insert(Insert([sent])).rows[0]
    return InsertPlan(guard.found("insert"), sent, row)


# -- update


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """An entry and the row to be stored in its place."""

    source: Source
    before: StoredEntry
    # The columns of the client.
    sent: dict[str, Any]
    row: dict[str, Any]
    # The columns that the caller could see before the update.
    shown_before: Projection

    @property
    def columns_of_scripts(self) -> list[str]:
        """The columns that are neither declared, nor stored, nor sent: a script added them."""
        known = {*self.source.columns, *self.before.data, *self.sent}
        return [column for column in self.row if column not in known]

    def shown(self, guard: Guard, data: dict[str, Any]) -> Projection:
        """The columns to answer of the stored `data`: those that were sent, and those that the
        caller could see before and can see now.
        """
        first, scripts = self.shown_before, guard.scripts
        return answered(guard.ruleset, guard.identity, self.sent, first, data, scripts)

    def shown_without_scripts(self, guard: Guard) -> Projection:
        """The columns to answer if no script can be run: those that were sent."""
        return answered(guard.ruleset, guard.identity, self.sent, None, self.row)


def plan_update(
    guard: Guard, entry_id: int, sent: dict[str, Any], lock: bool = False
) -> UpdatePlan:
    """Decide the update of an entry by the columns sent. `lock`: lock its row for the write.

    Raises the denial, or as `stored_entry` if there is no such entry.
    """
    source = guard.found("update")
    before = stored_entry(guard, entry_id, "update", lock)
    change = Change(sent, before.data, is_own(guard, entry_id), entry_id)
    row = guard.update(Update([change])).rows[0]
    return UpdatePlan(source, before, sent, row, guard.shown(before.data))


# -- delete


def plan_delete(guard: Guard, entry_id: int, lock: bool = False) -> StoredEntry:
    """Decide the delete of an entry, and return it. `lock`: lock its row for the write.

    Raises the denial, or as `stored_entry` if there is no such entry.
    """
    guard.found("delete")
    stored = stored_entry(guard, entry_id, "delete", lock)
    guard.delete(EntryRequest([stored.data]))
    return stored


@dataclass(slots=True)
class FittingRows:
    """The rows that a delete by query is about, read at most once, when a script needs them."""

    source: Source
    where: Node
    lock: bool
    _found: dict[int, StoredEntry] | None = None

    @property
    def ids(self) -> Collection[int] | None:
        """The IDs of the rows that were read; None if none were."""
        return None if self._found is None else self._found.keys()

    def read(self, limit: int) -> Sequence[dict[str, Any]]:
        """The data of the first `limit` rows."""
        if self._found is None:
            self._found = store.fetch_where(self.source, self.where, self.lock, limit)
        return [entry.data for entry in self._found.values()]


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """The entries that a delete by query deletes: those that `where` fits.

    `ids`: only these, as a script has decided on these; None: all.
    """

    source: Source
    where: Node
    ids: Collection[int] | None


def plan_delete_by_query(guard: Guard, query: Delete, lock: bool = False) -> DeletePlan:
    """Decide a delete by query. `lock`: lock the rows that a script reads. Raises the denial."""
    where, written = apply_view(guard, "delete", query)
    source = guard.found("delete")
    rows = FittingRows(source, where, lock)
    request = QueryRequest(where)
    if guard.ruleset.scripted("delete"):
        request = QueryRequest(where, written=written, rows=rows.read)
    decision = guard.delete(request)
    return DeletePlan(source, decision.where(where), rows.ids)
