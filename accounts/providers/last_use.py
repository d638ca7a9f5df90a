"""When a credential was last used: written at most once a minute, by a background thread.

A request only adds an entry in memory, so that a transaction that has locked the database or the
row of the credential does not delay requests that read.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta

from django.db import DatabaseError, models
from django.utils import timezone

from rowkeeper.datasources.database.background import Worker
from rowkeeper.datasources.database.connection import atomic, connection

EVERY = timedelta(minutes=1)
# More credentials than this are not used at the same time; if so, the next request records them.
MAX_WAITING = 10_000
# Model, column of the time, id of the row.
_Key = tuple[type[models.Model], str, int]


class LastUses:
    """Pending uses of credentials: written in the background, or only by `flush`."""

    def __init__(self) -> None:
        self.background = True
        self._worker = Worker("last use of credentials", lambda last: self.flush())
        self.reset()

    def reset(self) -> None:
        """Drop pending uses: at the start, in a forked process, and between tests."""
        self._lock = threading.Lock()
        self._waiting: dict[_Key, datetime] = {}
        self._worker.reset()

    def note(self, model: type[models.Model], column: str, key: int, now: datetime) -> None:
        """Record that the credential in a row was used. Neither blocks nor raises."""
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.setdefault((model, column, key), now)
        if self.background:
            self._worker.wake()

    def flush(self) -> None:
        """Write the pending uses. Raises `DatabaseError`, and keeps them pending then."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            _write(waiting)
        except DatabaseError:
            with self._lock:
                self._waiting = {**self._waiting, **waiting}
            raise


def _write(waiting: dict[_Key, datetime]) -> None:
    """Run one statement for each row, unless another process wrote it within the last minute.

    A time in the future, from a clock that was wrong, is overwritten.
    """
    quote, time = connection.ops.quote_name, connection.ops.adapt_datetimefield_value
    latest = timezone.now() + EVERY
    with atomic(), connection.cursor() as cursor:
        # In one order in all processes, which prevents deadlocks on the rows.
        for (model, column, key), at in sorted(
            waiting.items(), key=lambda item: (item[0][0]._meta.db_table, item[0][2])
        ):
            name = quote(column)
            cursor.execute(
                f"UPDATE {quote(model._meta.db_table)} SET {name} = %s WHERE id = %s "  # noqa: S608
                f"AND ({name} IS NULL OR {name} NOT BETWEEN %s AND %s)",
                [time(at), key, time(at - EVERY), time(latest)],
            )


last_uses = LastUses()
os.register_at_fork(after_in_child=last_uses.reset)
