"""A queue for the writers of SQLite, which allows one at a time.

SQLite itself has no queue: a writer that finds the database locked sleeps and tries again, each
time after a longer pause, and later writers can overtake it. Here the threads of a process wait in
the order in which they came. Between processes, two locked files decide whose turn it is: a process
that has just written waits behind the one that holds `next`.

The queue affects only the order. SQLite's own lock still excludes writers that do not use it, such
as Django's admin or another program.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from ..errors import Busy
from .features import features_of
from .queue import Queue

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # pragma: no cover  (not on Windows)
    flock = None  # type: ignore[assignment]

# Seconds that a writer waits if the database's options have no `timeout`, as in SQLite's driver.
PATIENCE = 5.0
# Seconds between two attempts to lock a file, at first and at most.
_SHORT, _LONG = 0.0001, 0.0005
LOCKED = "the database is locked by other writers; try again later"


class Files:
    """Two files next to the database that the processes lock in turn."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._next = os.open(f"{path}-writers-next", flags, 0o666)
        self._now = os.open(f"{path}-writers", flags, 0o666)

    def enter(self, until: float) -> bool:
        """Wait for the turn of this process until a time; return whether it came."""
        if not _lock(self._next, until):
            return False
        try:
            return _lock(self._now, until)
        finally:
            flock(self._next, LOCK_UN)

    def leave(self) -> None:
        """Pass the turn to the process that holds `next`."""
        flock(self._now, LOCK_UN)

    def close(self) -> None:
        """Close both files."""
        for file in (self._next, self._now):
            with suppress(OSError):
                os.close(file)


def _lock(file: int, until: float) -> bool:
    pause = _SHORT
    while True:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError:
            if monotonic() > until:
                return False
            sleep(pause)
            pause = min(2 * pause, _LONG)
        else:
            return True


class _Mine(threading.local):
    """Whether this thread has the turn."""

    held = False


_mine = _Mine()
_queue = Queue()
_files: dict[str, Files | None] = {}


@contextmanager
def writing_in_turn(database: Any) -> Iterator[None]:
    """Hold the turn to write to a SQLite database, for a transaction that is about to begin.

    A thread that has the turn, or is in a transaction, continues at once, so that no thread waits
    for itself. On other databases, there is no wait. Raises `Busy` if the turn does not come in
    time.
    """
    if not features_of(database).has_one_writer or database.in_atomic_block or _mine.held:
        yield
        return
    seconds = float(database.settings_dict.get("OPTIONS", {}).get("timeout", PATIENCE))
    until = monotonic() + seconds
    queue = _queue
    if not queue.enter(seconds):
        raise Busy(LOCKED)
    files = None
    try:
        files = _files_of(database)
        if files is not None and not files.enter(until):
            files = None
            raise Busy(LOCKED)
        _mine.held = True
        yield
    finally:
        _mine.held = False
        if files is not None:
            files.leave()
        queue.leave()


def _files_of(database: Any) -> Files | None:
    """Return the files of a database; None if it is in memory, or files there cannot be locked."""
    path = str(database.settings_dict["NAME"])
    if path not in _files:
        found: Files | None = None
        if flock is not None and not database.is_in_memory_db():
            with suppress(OSError):
                found = Files(path)
        _files[path] = found
    return _files[path]


def _forked() -> None:
    """Reset in a forked process, which shares no turn and no locked file with its parent."""
    global _queue
    _queue = Queue()
    _mine.held = False
    for files in _files.values():
        if files is not None:
            files.close()
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
