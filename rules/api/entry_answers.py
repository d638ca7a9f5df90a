"""The response for one entry, also for a write that was executed before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpResponse

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog.etags import entry_tag
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.store import StoredEntry
from rowkeeper.datasources.values.codec import dumps

from ..access.entries import InsertPlan, plan_update
from ..access.guard import Guard
from ..access.idempotency import Repeated
from .base import text_answer
from .idempotent import is_unchanged
from .preconditions import with_tag


def entry_answer(source: Source, stored: StoredEntry, shown_columns: Projection) -> HttpResponse:
    """The response with one entry and its `ETag`."""
    answer = text_answer(entry_text(source, stored, shown_columns))
    with_tag(answer, entry_tag(stored.updated_at))
    return answer


def entry_value(source: Source, stored: StoredEntry, shown_columns: Projection) -> dict[str, Any]:
    """An entry as the API returns it."""
    return {
        "id": stored.id,
        "data": shown_columns.of(stored.data),
        "dataSourceId": source.id,
        "createdAt": iso_time(stored.created_at),
        "updatedAt": iso_time(stored.updated_at),
    }


def entry_text(source: Source, stored: StoredEntry, shown_columns: Projection) -> str:
    """An entry as JSON text."""
    return dumps(entry_value(source, stored, shown_columns))


def iso_time(moment: datetime) -> str:
    """A time in UTC, in ISO 8601 with milliseconds and `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


# -- writes that were carried out before


def kept_entry(stored: StoredEntry) -> dict[str, Any]:
    """The data that is stored about a written entry, to answer the same request again."""
    return {
        "id": stored.id,
        "createdAt": stored.created_at.isoformat(),
        "updatedAt": stored.updated_at.isoformat(),
    }


def inserted_before(guard: Guard, plan: InsertPlan, repeated: Repeated) -> HttpResponse:
    """The response for an insert that was executed before and has been decided again."""
    return entry_answer(plan.source, _as_written(repeated, plan.row), plan.shown(guard))


def updated_before(
    guard: Guard, entry_id: int, sent: dict[str, Any], repeated: Repeated
) -> HttpResponse:
    """The response for an update that was executed before: the submitted columns, and what a select
    of the entry shows the caller now.

    Raises the denial if the update would no longer be granted.
    """
    source = guard.found("update")
    if not is_unchanged(repeated, guard):
        plan_update(guard, entry_id, sent)
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
