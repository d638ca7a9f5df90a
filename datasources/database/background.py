"""A thread of a process that writes what requests leave in memory, so that no request waits for it.

What waits has to be bounded by whoever collects it. It is lost if the process is killed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from multiprocessing.util import Finalize
from time import monotonic

from django.db import DatabaseError

from .connection import connection

logger = logging.getLogger("rowkeeper.worker")

# Seconds between two rounds, seconds that a process waits for the last one when it ends, and
# seconds after which a round is made without a call of `wake`.
PAUSE = 1.0
LAST_PAUSE = 3.0
IDLE = 60.0


class Worker:
    """A daemon thread that is started by the first `wake`, and does `work` soon after each.

    `work` gets whether this is the last round of the process. A `DatabaseError` that it raises is
    logged, and the work is tried again in the next round. A forked process has to call `reset`.
    """

    def __init__(
        self, name: str, work: Callable[[bool], None], pause: Callable[[], float] = lambda: PAUSE
    ) -> None:
        self._name, self._work, self._pause = name, work, pause
        self.reset()

    def reset(self) -> None:
        """Start anew, without a thread."""
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Have the work done soon. Takes no time."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._start()
        self._wake.set()

    def close(self) -> None:
        """Have the work done once more, and wait for it: the process is about to end."""
        thread = self._thread
        self._stop.set()
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(LAST_PAUSE)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the process is about to end
            return
        # Where a process ends: the interpreter's own way, and that of `multiprocessing`.
        Finalize(None, self.close, exitpriority=10)

    def _run(self) -> None:
        last = False
        while not last:
            if self._wake.wait(IDLE):
                self._stop.wait(self._pause())
            self._wake.clear()
            last = self._stop.is_set()
            self._round(last)
            # It may come from a pool, and requests need it more.
            connection.close()

    def _round(self, last: bool) -> None:
        """Do the work, or log why not; the thread lives on."""
        began = monotonic()
        try:
            self._work(last)
        except DatabaseError as error:
            logger.info(
                "%s: the database did not take it after %.1f s, next try later: %s",
                self._name,
                monotonic() - began,
                error,
            )
        except Exception:
            logger.exception("%s: a fault", self._name)
