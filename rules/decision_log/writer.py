"""Writes the journal to the database in batches, and deletes expired decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.connection import alias, atomic
from rowkeeper.datasources.models import DataSource

from ..models import LoggedDecision, LoggedRefusal
from .records import NO_SOURCE, Record

# Rows deleted at once, since other writers wait for it in SQLite.
_AT_ONCE = 500
# The most that the clock of another process may be ahead.
_AHEAD = timedelta(minutes=5)


def write(records: list[Record]) -> None:
    """Store records, except those of deleted data sources. Raises `DatabaseError`."""
    try:
        with atomic():
            _insert(records)
    except IntegrityError:  # a data source was deleted in between
        with atomic():
            _insert(records)


def _insert(records: list[Record]) -> None:
    refusals = [record for record in records if record.source_id == NO_SOURCE]
    if refusals:
        LoggedRefusal.objects.bulk_create([_refusal(record) for record in refusals])
        records = [record for record in records if record.source_id != NO_SOURCE]
    wanted = {record.source_id for record in records}
    there = set(DataSource.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    LoggedDecision.objects.bulk_create(
        [_row(record) for record in records if record.source_id in there]
    )


def _row(record: Record) -> LoggedDecision:
    return LoggedDecision(
        data_source_id=record.source_id,
        at=record.at,
        request_id=record.request_id,
        status=record.status,
        operation=record.operation,
        address=record.address,
        entry_id=record.entry_id,
        columns=list(record.columns),
        kind=record.kind,
        token_id=record.token_id,
        person=record.person,
        app_id=record.app_id,
        rule=record.rule,
        rule_name=record.rule_name,
        trace=[list(line) for line in record.lines],
        took=record.took,
        count=record.count,
    )


def _refusal(record: Record) -> LoggedRefusal:
    return LoggedRefusal(
        at=record.at,
        request_id=record.request_id,
        count=record.count,
        status=record.status,
        code=record.code,
        step=record.step,
        network=record.network,
        kind=record.kind,
        token_id=record.token_id,
        person=record.person,
    )


def purge() -> None:
    """Delete decisions that are older, or more, than the settings allow."""
    for model in (LoggedDecision, LoggedRefusal):
        _purge_old(model)
    logged = LoggedDecision.objects.order_by().values_list("data_source", flat=True).distinct()
    for source_id in list(logged):
        _purge_excess(LoggedDecision.objects.filter(data_source_id=source_id))
    _purge_excess(LoggedRefusal.objects.all())


def _purge_old(model: type[LoggedDecision] | type[LoggedRefusal]) -> None:
    """Delete by the time of each row, in whatever order rows were written, as clocks can jump.

    A time in the future is changed to now, so that such a row expires as well.
    """
    now = timezone.now()
    rows: QuerySet[Any] = model._default_manager.all()
    rows.filter(at__gt=now + _AHEAD).update(at=now)
    oldest = now - timedelta(days=setting("DECISION_LOG_DAYS"))
    old = rows.filter(at__lt=oldest).order_by("at")
    while _delete(rows, list(old.values_list("pk", flat=True)[:_AT_ONCE])):
        pass


def _purge_excess(rows: QuerySet[Any]) -> None:
    """Delete rows beyond `DECISION_LOG_ROWS`: the oldest ones of the callers with the most rows.

    All callers without a credential count as one. A flood therefore displaces its own rows.
    """
    keep = setting("DECISION_LOG_ROWS")
    if not rows.order_by("-pk")[keep : keep + 1]:
        return
    caller = [F("kind"), F("token_id"), F("person")]
    place = Window(RowNumber(), partition_by=caller, order_by=F("pk").desc())
    ranked = rows.annotate(place=place).order_by("place", "-pk").values_list("pk", flat=True)
    excess = list(ranked[keep:])
    for at in range(0, len(excess), _AT_ONCE):
        _delete(rows, excess[at : at + _AT_ONCE])


def _delete(rows: QuerySet[Any], keys: list[int]) -> bool:
    """Delete these rows. Returns whether there may be more."""
    if keys:
        rows.model._default_manager.filter(pk__in=keys)._raw_delete(alias())
    return len(keys) == _AT_ONCE
