"""A background thread that writes what requests leave in memory, so that no request waits for it.

The code that collects the data has to limit its amount. It is lost if the process is killed.
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

# Seconds between two rounds, seconds that an ending process waits for the last round, and seconds
# after which a round runs without a call of `wake`.
PAUSE = 1.0
LAST_PAUSE = 3.0
IDLE = 60.0


class Worker:
    """A daemon thread that starts with the first `wake`, and calls `work` soon after each.

    `work` is passed whether this is the last round of the process. If it raises a `DatabaseError`,
    that is logged, and the next round tries again. A forked process has to call `reset`.
    """

    def __init__(
        self, name: str, work: Callable[[bool], None], pause: Callable[[], float] = lambda: PAUSE
    ) -> None:
        self._name, self._work, self._pause = name, work, pause
        self.reset()

    def reset(self) -> None:
        """Reset the state, without a thread."""
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Request that the work is done soon. Does not block."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._start()
        self._wake.set()

    def close(self) -> None:
        """Run the work once more and wait for it, because the process is about to end."""
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
        # A process ends by the interpreter's exit functions, or by those of `multiprocessing`.
        Finalize(None, self.close, exitpriority=10)

    def _run(self) -> None:
        last = False
        while not last:
            if self._wake.wait(IDLE):
                self._stop.wait(self._pause())
            self._wake.clear()
            last = self._stop.is_set()
            self._round(last)
            # The connection may come from a pool, where requests need it more.
            connection.close()

    def _round(self, last: bool) -> None:
        """Do the work, and log if it fails; the thread continues."""
        began = monotonic()
        try:
            self._work(last)
        except DatabaseError as error:
            logger.info(
                "%s: could not write to the database within %.1f s; will retry later: %s",
                self._name,
                monotonic() - began,
                error,
            )
        except Exception:
            logger.exception("%s: an error", self._name)
