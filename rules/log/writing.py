"""From the journal to the database, in batches, and out of it again when their time is over."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError
from django.utils import timezone

from datasources.conf import setting
from datasources.db import alias
from datasources.models import DataSource

from ..models import LoggedDecision
from .records import Record

# Rows that go at once: whoever else writes to SQLite waits for it.
_AT_ONCE = 500


def write(records: list[Record]) -> None:
    """Store records, but those of data sources that are gone. Raises `DatabaseError`."""
    try:
        _insert(records)
    except IntegrityError:  # a data source went in between
        _insert(records)


def _insert(records: list[Record]) -> None:
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


def purge() -> None:
    """Delete what is older than the settings keep, and what is more than they keep."""
    _purge_old()
    logged = LoggedDecision.objects.order_by().values_list("data_source", flat=True).distinct()
    for source_id in list(logged):
        _purge_excess(source_id)


def _purge_old() -> None:
    """From the first on; ids grow with the time."""
    oldest = timezone.now() - timedelta(days=setting("DECISION_LOG_DAYS"))
    while True:
        first = LoggedDecision.objects.order_by("pk").values_list("pk", "at")[:_AT_ONCE]
        old = [key for key, at in first if at < oldest]
        _delete(old)
        if len(old) < _AT_ONCE:
            return


def _purge_excess(source_id: int) -> None:
    rows = LoggedDecision.objects.filter(data_source_id=source_id)
    keep = setting("DECISION_LOG_ROWS")
    last = rows.order_by("-pk").values_list("pk", flat=True)[keep : keep + 1]
    for boundary in list(last):
        while True:
            doomed = list(
                rows.filter(pk__lte=boundary).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]
            )
            _delete(doomed)
            if len(doomed) < _AT_ONCE:
                return


def _delete(keys: list[int]) -> None:
    if keys:
        doomed = LoggedDecision.objects.filter(pk__in=keys)
        doomed._raw_delete(alias())
