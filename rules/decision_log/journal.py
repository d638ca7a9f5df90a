"""The journal: a bounded list of decisions in memory, and a thread that writes them.

A request runs no statement for it and does not wait. Decisions beyond the limits are counted
instead of listed, so that nobody can fill a disk by being denied. Each process has one journal; a
forked process starts with an empty one.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, time
from typing import TypeAlias

from django.db import DatabaseError

from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.background import Worker

from .records import Record

logger = logging.getLogger("rowkeeper.log")

MAX_WAITING = 5_000
BATCH = 200
# Seconds between two batches.
PAUSE = 1.0
PURGE_EVERY = 3_600

Write: TypeAlias = Callable[[list[Record]], None]
# Decisions with the same key are counted together: data source, minute, operation, status, code,
# kind of caller, and the caller (an API token or a person), or the network without a credential.
_Key: TypeAlias = tuple[int, int, str, int, str, str, int | None, str, str]


class Journal:
    """Records to be written: in the background, or by `flush` if `background` is False."""

    def __init__(self, write: Write, purge: Callable[[], None]) -> None:
        self._write, self._purge = write, purge
        self.background = True
        self._worker = Worker("decision log", self._round, lambda: PAUSE)
        self.reset()

    def reset(self) -> None:
        """Drop everything: at the start, in a forked process, and between tests."""
        self._lock = threading.Lock()
        self._worker.reset()
        self._purge_at: float | None = None
        self._waiting: list[Record] = []
        self._minute = 0
        self._listed: Counter[tuple[int, bool, bool]] = Counter()
        self._counted: dict[_Key, Record] = {}
        self.dropped = 0

    def add(self, record: Record, counted: Record | None = None) -> str:
        """Add a record. Returns the id that finds it in the log.

        This is the record's own id, or that of the record which counts similar decisions of this
        minute; empty if there is no room for either. `counted` replaces `record` in everything that
        affects the answer: the limit per minute, and the count. It has the same id.
        """
        with self._lock:
            found = self._taken(record, counted or record)
        if self.background:
            self._worker.wake()
        return found

    def _taken(self, record: Record, counted: Record) -> str:
        minute = int(record.at.timestamp()) // 60
        if minute != self._minute:
            self._close_minute()
            self._minute = minute
        # A flood of requests without a credential takes no room from callers who have one.
        share = counted.source_id, counted.granted, counted.kind == "anonymous"
        self._listed[share] += 1
        is_full = len(self._waiting) >= MAX_WAITING
        if is_full or self._listed[share] > setting("DECISION_LOG_PER_MINUTE"):
            return self._count(counted, minute)
        self._waiting.append(record)
        return record.request_id

    def _count(self, record: Record, minute: int) -> str:
        kind = record.source_id, minute, record.operation, record.status, record.code, record.kind
        is_anonymous = record.kind == "anonymous"
        if not is_anonymous:
            record = replace(record, network="")
        key: _Key = (*kind, record.token_id, record.person, record.network)
        # Networks without a credential leave half of the room to callers who have one.
        room = MAX_WAITING // 2 if is_anonymous else MAX_WAITING
        if key not in self._counted and len(self._counted) >= room:
            # Too many callers or networks: all others are counted as one.
            record = replace(record, token_id=None, person="", network="")
            key = (*kind, None, "", "")
        before = self._counted.get(key)
        if before is not None:
            self._counted[key] = replace(before, count=before.count + 1)
            return before.request_id
        if len(self._counted) >= MAX_WAITING * 2:
            self.dropped += 1
            return ""
        self._counted[key] = _counted(record)
        return record.request_id

    def _close_minute(self) -> None:
        """Turn the counts of a finished minute into records."""
        self._listed.clear()
        room = MAX_WAITING * 3 - len(self._waiting)
        counted = list(self._counted.values())
        self._waiting += counted[:room]
        self.dropped += len(counted[room:])
        self._counted = {}

    # -- towards the database

    def flush(self, everything: bool = True) -> None:
        """Write the pending records; with `everything`, also the counts of the current minute.

        Raises `DatabaseError`. Records that were not written then stay pending.
        """
        with self._lock:
            if everything or self._minute != _this_minute():
                self._close_minute()
            waiting, self._waiting = self._waiting, []
        while waiting:
            try:
                self._write(waiting[:BATCH])
            except DatabaseError:
                with self._lock:
                    self._waiting = (waiting + self._waiting)[: MAX_WAITING * 3]
                raise
            waiting = waiting[BATCH:]

    def _round(self, last: bool) -> None:
        """Write the pending records in the background thread, and purge from time to time."""
        if self._purge_at is None:
            # At a random time, so that processes that start together do not purge together.
            self._purge_at = monotonic() + random.uniform(60, 600)  # noqa: S311
        try:
            self.flush(everything=last)
            if monotonic() > self._purge_at:
                self._purge_at = monotonic() + PURGE_EVERY
                self._purge()
        finally:
            dropped, self.dropped = self.dropped, 0
            if dropped:
                logger.warning(
                    "%s decisions were not logged, because there were too many at once", dropped
                )

    def close(self) -> None:
        """Write the pending records before the process ends."""
        self._worker.close()


def _this_minute() -> int:
    return int(time()) // 60


def _counted(record: Record) -> Record:
    """A record without the details of a single request, as it is only counted."""
    return replace(
        record,
        entry_id=None,
        columns=(),
        app_id=None,
        rule=None,
        rule_name="",
        lines=(),
        took=0.0,
    )


def is_sampled() -> bool:
    """Whether this grant is one of those that are logged."""
    share: float = setting("DECISION_LOG_GRANTS")
    return share > 0 and (share >= 1 or random.random() < share) and keeps()  # noqa: S311


def keeps() -> bool:
    """Whether anything is logged at all."""
    return bool(setting("DECISION_LOG_DAYS") > 0)


def _make() -> Journal:
    from .writer import purge, write

    return Journal(write, purge)


journal = _make()
os.register_at_fork(after_in_child=journal.reset)
