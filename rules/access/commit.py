"""A commit under the rules: many inserts, updates and deletes, all of them or none.

The rules run once for each operation, over all entries of that operation, on the state before. As
in `entries`, making a plan writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.select import parse_bool
from rowkeeper.datasources.store import StoredEntry

from ..engine.decide import may_let_in
from ..engine.requests import Change, EntryRequest, Insert, Update
from ..engine.rule import Operation
from ..engine.scripted import MAX_ROWS
from .entries import is_own
from .guard import Guard
from .parsing import entry_id_of, row_of


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
        needed: dict[Operation, bool] = {
            "insert": any(sent.id is None for sent in self.entries),
            "update": any(sent.id is not None for sent in self.entries),
            "delete": bool(self.delete) or not self.append,
        }
        return [operation for operation, is_needed in needed.items() if is_needed]

    @property
    def first_operation(self) -> Operation:
        """The operation that a denial names before any decision was made."""
        if any(sent.id is None for sent in self.entries):
            return "insert"
        if self.entries:
            return "update"
        return "delete" if self.delete or not self.append else "select"

    @property
    def keys(self) -> dict[str, None]:
        """Every column that is sent, once."""
        return dict.fromkeys(key for sent in self.entries for key in sent.row)


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """What a commit was decided to do: new rows, entries with their rows, and what is deleted."""

    rows: Sequence[dict[str, Any]]
    changes: Sequence[tuple[StoredEntry, dict[str, Any]]]
    gone: Sequence[int]
    # Every entry that is not sent, where all of them go.
    others: store.Others | None = None

    def columns_of_scripts(self, source: Source) -> list[str]:
        """The columns of the rows that the data source does not have yet."""
        known, rows = set(source.columns), [*self.rows, *(row for _, row in self.changes)]
        return list(dict.fromkeys(key for row in rows for key in row if key not in known))

    def carry_out(self, source: Source) -> list[int]:
        """Write it, inside `store.writing`. The IDs of the new entries, in the order sent."""
        if self.others is not None:
            self.others.delete()
        store.delete(source, self.gone)
        if self.changes:
            store.update(source, self.changes)
        made = store.insert(source, self.rows) if self.rows else []
        return [entry.id for entry in made]


def parse_bulk(body: dict[str, Any]) -> Commit:
    """The body of a bulk write: rows, which replace all others unless `append` is true.

    Raises `Malformed`, naming the place.
    """
    rows = _entries(body)
    sent = tuple(Sent(row_of(row, f"entries[{at}]")) for at, row in enumerate(rows))
    return Commit(sent, append=parse_bool(body, "append"))


def parse_commit(body: dict[str, Any]) -> Commit:
    """The body of a commit. Raises `Malformed`, naming the place."""
    entries = tuple(_sent(item, f"entries[{at}]") for at, item in enumerate(_entries(body)))
    delete = body.get("delete")
    if delete is not None and not isinstance(delete, list):
        raise Malformed("`delete` must be a list of IDs")
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
        raise Malformed("`entries` is missing; it must be a list, which can be empty")
    if not isinstance(body["entries"], list):
        raise Malformed("`entries` must be a list")
    return body["entries"]


def _sent(item: Any, place: str) -> Sent:
    if not isinstance(item, dict):
        raise Malformed(f'`{place}` must be an object such as {{"data": {{…}}}}')
    if "data" not in item:
        raise Malformed(f"`{place}.data` is missing; it must be the row")
    row = row_of(item["data"], f"`{place}.data`")
    raw_id = item.get("id")
    entry_id = None if raw_id is None else entry_id_of(raw_id, f"`{place}.id`")
    client_id = item.get("clientId")
    if isinstance(client_id, dict | list):
        raise Malformed(f"`{place}.clientId` must be text or a number")
    return Sent(row, entry_id, client_id)


def _refuse_twice(ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for entry_id in ids:
        if entry_id in seen:
            raise Malformed(f"the ID `{entry_id}` is listed twice")
        seen.add(entry_id)


def plan_commit(guard: Guard, source: Source, commit: Commit, lock: bool = False) -> CommitPlan:
    """Decide everything, on the state before. `lock`: lock the entries for the write.

    Raises the denial.
    """
    stored = store.fetch(source, [*commit.ids, *commit.delete], lock)
    inserts = [sent for sent in commit.entries if sent.id is None]
    rows = guard.insert(Insert([sent.row for sent in inserts], batch=True)).rows if inserts else ()
    changes = _changes(guard, commit, stored)
    if commit.append:
        return CommitPlan(rows, changes, _to_delete(guard, commit, stored))
    return CommitPlan(rows, changes, (), _others(guard, source, commit, lock))


def _to_delete(guard: Guard, commit: Commit, stored: dict[int, StoredEntry]) -> list[int]:
    """The ids of those entries that are to be deleted by id, decided."""
    if commit.delete:
        guard.some_rule("delete")
    deleted = {entry_id: stored[entry_id] for entry_id in commit.delete if entry_id in stored}
    if deleted:
        guard.delete(EntryRequest([entry.data for entry in deleted.values()], batch=True))
    return list(deleted)


def _others(guard: Guard, source: Source, commit: Commit, lock: bool) -> store.Others | None:
    """Every entry that is not sent, decided: one rule has to grant that all of them are deleted.

    They are read where a rule has to look at them, and then in pieces.
    """
    if commit.delete:
        guard.some_rule("delete")
    if not store.holds_others(source, commit.ids):
        return None
    if not may_let_in(guard.ruleset, guard.identity, "delete"):
        guard.refuse("delete")
    others = store.Others(source, commit.ids, lock)
    # Without the lock, what is iterated over twice may be another number of entries each time.
    once = not lock and guard.ruleset.scripted("delete")
    guard.delete(EntryRequest(others[: MAX_ROWS + 1] if once else others, batch=True))
    return others


def _changes(
    guard: Guard, commit: Commit, stored: dict[int, StoredEntry]
) -> Sequence[tuple[StoredEntry, dict[str, Any]]]:
    """The rows to write after the decision, each with the stored row."""
    # Neither before the other decisions nor after them all: that would tell which ids there are.
    if any(entry_id not in stored for entry_id in commit.ids):
        guard.missing("update")
    sent = [(item, stored[item.id]) for item in commit.entries if item.id is not None]
    if not sent:
        return []
    changes = [
        Change(item.row, entry.data, is_own(guard, entry.id), entry.id) for item, entry in sent
    ]
    decision = guard.update(Update(changes, replaces=not commit.extend, batch=True))
    return [(entry, row) for (_, entry), row in zip(sent, decision.rows, strict=True)]
