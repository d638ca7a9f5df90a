"""The answer for one entry, also for a write that was carried out before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpResponse

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.etags import entry_tag
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.store import StoredEntry
from rowkeeper.datasources.values.codec import dumps

from ..access.guard import Guard
from ..access.idempotency import Repeated
from ..engine.decide import answered
from ..engine.requests import Change, Update
from ..engine.rule import Operation
from .base import text_answer
from .once import is_unchanged
from .preconditions import with_tag


def entry_answer(source: Source, stored: StoredEntry, shown_columns: Projection) -> HttpResponse:
    """The response with one entry and its `ETag`."""
    answer = text_answer(entry_text(source, stored, shown_columns))
    with_tag(answer, entry_tag(stored.updated_at))
    return answer


def entry_value(source: Source, stored: StoredEntry, shown_columns: Projection) -> dict[str, Any]:
    """An entry as it is answered."""
    return {
        "id": stored.id,
        "data": shown_columns.of(stored.data),
        "dataSourceId": source.id,
        "createdAt": iso_time(stored.created_at),
        "updatedAt": iso_time(stored.updated_at),
    }


def entry_text(source: Source, stored: StoredEntry, shown_columns: Projection) -> str:
    """An entry as the JSON text of an answer."""
    return dumps(entry_value(source, stored, shown_columns))


def iso_time(moment: datetime) -> str:
    """A time in UTC, in ISO 8601 with milliseconds and `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def stored_entry(
    guard: Guard, entry_id: int, operation: Operation, lock: bool = False
) -> StoredEntry:
    """The stored entry; raises what a missing one is answered with."""
    if guard.source is None:
        guard.refuse(operation)
    if guard.trail is not None:
        guard.trail.entry_id = entry_id
    stored = store.fetch(guard.source, [entry_id], lock).get(entry_id)
    if stored is None:
        guard.missing(operation)
    return stored


def is_own(guard: Guard, entry_id: int) -> bool:
    """Whether an entry is the row that the session itself stands for."""
    identity = guard.identity
    return (
        guard.source is not None
        and identity.entry_id == entry_id
        and identity.source_id == guard.source.id
    )


# -- writes that were carried out before


def kept_entry(stored: StoredEntry) -> dict[str, Any]:
    """What is kept of an entry that was written, to answer the same request again."""
    return {
        "id": stored.id,
        "createdAt": stored.created_at.isoformat(),
        "updatedAt": stored.updated_at.isoformat(),
    }


def inserted_before(
    guard: Guard, sent: Mapping[str, Any], row: dict[str, Any], repeated: Repeated
) -> HttpResponse:
    """The answer of an insert that was carried out before: `row` is what it stored."""
    stored = _as_written(repeated, row)
    shown = answered(guard.ruleset, guard.identity, sent, None, row, guard.scripts)
    return entry_answer(guard.found("insert"), stored, shown)


def updated_before(
    guard: Guard, entry_id: int, sent: dict[str, Any], repeated: Repeated
) -> HttpResponse:
    """The answer of an update that was carried out before: what was sent, and what a select of
    the entry shows the caller now.

    Raises the denial if the update would no longer be granted.
    """
    source = guard.found("update")
    if not is_unchanged(repeated, guard):
        before = stored_entry(guard, entry_id, "update")
        change = Change(sent, before.data, is_own(guard, entry_id), entry_id)
        guard.update(Update([change]))
    now = store.fetch(source, [entry_id]).get(entry_id)
    held = {} if now is None else now.data
    stored = _as_written(repeated, held)
    shown = Projection(frozenset()) if now is None else guard.shown(held)
    columns = {*sent, *(column for column in held if shown.shows(column))}
    if now is None or now.updated_at != stored.updated_at:
        stored = _as_written(repeated, {**held, **sent})
    return entry_answer(source, stored, Projection(frozenset(columns), source.secret))


def _as_written(repeated: Repeated, row: dict[str, Any]) -> StoredEntry:
    kept = repeated.outcome
    made, written = (datetime.fromisoformat(kept[key]) for key in ("createdAt", "updatedAt"))
    return StoredEntry(kept["id"], row, made, written)
