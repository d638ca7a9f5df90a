"""Limits how long a request waits: for PostgreSQL, for a client that does not read, for its turn.

PostgreSQL has its own time limits for statements and locks. They do not help if the server is
frozen or the network is down, so a thread watches the waits of requests. It closes the connection
of a request that takes longer than `ROWKEEPER["DATABASE_SECONDS"]`, and cancels the statement of a
client that has disconnected, if the web server passes its socket on (gunicorn does).
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from ..conf import setting
from ..errors import Busy

# Seconds between two checks of the waits.
EVERY = 1.0
# The most seconds that a request waits for its turn.
LONGEST = 3.0
# Seconds that a request waits without any turn being given back, if reads may need its thread.
QUICK = 0.03
# The keys of turns: those of writers, and those of all requests that hold their threads.
WRITING, HELD = "write", "held"
# The event that the client has closed its side. Not every system has it.
_HUNG_UP: int = getattr(select, "POLLRDHUP", 0)
_log = logging.getLogger("rowkeeper.database")


class _Serving(threading.local):
    """The state of the request that this thread answers."""

    active = False
    # The socket of a client that waits for rows, if the server passes it on.
    client: socket.socket | None = None
    # Whether this thread has the turn of a writer.
    writes: bool = False


_serving = _Serving()


@dataclass(slots=True, eq=False)
class _Wait:
    """The current wait for PostgreSQL on a connection: since when, and for which client.

    It is reused for all waits on the connection.
    """

    database: Any
    since: float = 0.0
    client: socket.socket | None = None
    cancelled: bool = False
    # Held to end the wait, and to cancel or cut it, because a later wait is another request's.
    lock: threading.Lock = field(default_factory=threading.Lock)


class Watch:
    """The thread that watches the waits of this process."""

    def __init__(self) -> None:
        self.waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Called when a connection is made, which is after processes fork."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rowkeeper-waits", daemon=True)
            with suppress(RuntimeError):  # the process is about to end
                self._thread.start()

    def _run(self) -> None:
        while True:
            sleep(EVERY)
            self.look()

    def look(self) -> None:
        """End the waits that took too long, or whose client has disconnected."""
        most = setting("DATABASE_SECONDS")
        for wait in list(self.waits):
            with wait.lock:
                if wait not in self.waits:
                    continue
                late = monotonic() - wait.since > most
                left = wait.client is not None and not wait.cancelled and _has_left(wait.client)
                if late or left:
                    self._end(wait, late)

    def _end(self, wait: _Wait, late: bool) -> None:
        if late:
            _log.warning("the database did not respond in time; the connection was closed")
            _shut(wait.database)
            return
        wait.cancelled = True
        with suppress(Exception):
            _cancel(wait.database)


watch = Watch()


def _forked() -> None:
    watch.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_forked)


def _shut(held: Any) -> None:
    """Shut down the socket of a thread that waits, so that the driver's wait ends."""
    with suppress(OSError), socket.socket(fileno=os.dup(held.fileno())) as other:
        other.shutdown(socket.SHUT_RDWR)


def _cancel(held: Any) -> None:
    if hasattr(held, "cancel_safe"):
        held.cancel_safe(timeout=2.0)
    else:
        held.cancel()


def _has_left(client: socket.socket) -> bool:
    if not _HUNG_UP:
        return False
    try:
        looking = select.poll()
        looking.register(client.fileno(), _HUNG_UP)
        return bool(looking.poll(0))
    except (OSError, ValueError):
        return False


def bound(connection: Any) -> None:
    """Watch what the driver waits for on this PostgreSQL connection while a request is answered.

    Called when the connection is made, and each time that it comes from a pool.
    """
    held = connection.connection
    if not hasattr(held, "wait") or "wait" in vars(held):
        return
    wait: Callable[..., Any] = held.wait
    # The driver lets one thread at a time use a connection.
    mine = _Wait(held)

    def bounded(*args: Any, **words: Any) -> Any:
        if not _serving.active:
            return wait(*args, **words)
        mine.since, mine.client, mine.cancelled = monotonic(), _serving.client, False
        watch.waits.add(mine)
        try:
            return wait(*args, **words)
        finally:
            with mine.lock:
                watch.waits.discard(mine)

    held.wait = bounded
    watch.start()


def begin(environ: Any) -> None:
    """Begin a request, and set the client's time limit for sending and reading."""
    _serving.active, _serving.client = True, None
    client = (environ or {}).get("gunicorn.socket")
    if client is None:
        return
    with suppress(OSError):
        client.settimeout(setting("CLIENT_SECONDS"))
    # A client that closes its side after sending may still wait, so a write is not cancelled.
    is_query = str(environ.get("PATH_INFO", "")).endswith("/data/query")
    if is_query or environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
        _serving.client = client


def end() -> None:
    """End a request."""
    _serving.active, _serving.client = False, None


# -- turns


@dataclass(slots=True, eq=False)
class _Waiter:
    """A thread that waits for a turn of each of its keys."""

    shares: Mapping[object, int]
    is_patient: bool = False
    granted: threading.Event = field(default_factory=threading.Event)


_turns = threading.Lock()
_taken: Counter[object] = Counter()
# When a turn was last taken or given back, by `time.monotonic`.
_moved: dict[object, float] = {}
# In order of arrival.
_waiters: list[_Waiter] = []


def threads() -> int:
    """Return how many threads of this process answer requests."""
    half = setting("HELD_THREADS")
    return 2 * int(half) if half else _of_server.threads


def served_by(count: int) -> None:
    """Set how many threads of this process answer requests, as the web server states."""
    _of_server.threads = max(1, count)


@dataclass(slots=True)
class _Server:
    threads: int = 8


_of_server = _Server()


def _most() -> tuple[int, int]:
    """Return how many threads may be held at once, and how many more may wait the longer time.

    Threads are held by writers and long answers together. Of two or more threads, at least one is
    left to reads.
    """
    count = threads()
    spare = max(1, count // 8)
    held = max(1, count - 2 * spare)
    return held, max(0, min(spare, count - held - 1))


@contextmanager
def writers_turn(source_id: int) -> Iterator[None]:
    """Hold one of the threads for writers, which are five eighths of all.

    One data source has at most half of all threads, and leaves one to others. A thread that has a
    turn continues at once; see `take` for how long others wait. Raises `Busy`.
    """
    if _serving.writes:
        yield
        return
    count = threads()
    most = max(1, count * 5 // 8)
    shares: dict[object, int] = {
        WRITING: most,
        (WRITING, source_id): max(1, min(count // 2, most - 1)),
    }
    take(shares, "too many writes are waiting")
    _serving.writes = True
    try:
        yield
    finally:
        _serving.writes = False
        give(shares)


def take(shares: Mapping[object, int], what: str) -> None:
    """Take a turn for each of these keys; `give` gives them back.

    `shares` are the most turns that can be held for each key. Turns are given in order of arrival.
    A waiting request holds a thread, too. A few may wait up to `LONGEST`, and reads have other
    threads. All others wait only while turns are given back within `QUICK`, so that their threads
    soon become free. Raises `Busy` at once or after that time, with a message that begins with
    `what`.
    """
    held, patient = _most()
    waiter = _Waiter({**shares, HELD: held})
    with _turns:
        _waiters.append(waiter)
        _grant()
        if not waiter.granted.is_set():
            is_patient = sum(each.is_patient for each in _waiters) < patient
            waiter.is_patient = is_patient
    try:
        _wait(waiter, what)
    except BaseException:
        with _turns:
            is_waiting = waiter in _waiters
            if is_waiting:
                _waiters.remove(waiter)
        if not is_waiting:
            give(shares)
        raise


def _wait(waiter: _Waiter, what: str) -> None:
    until = monotonic() + LONGEST
    patience = LONGEST if waiter.is_patient else QUICK
    while not waiter.granted.is_set():
        with _turns:
            full = [_moved[key] for key, most in waiter.shares.items() if _taken[key] >= most]
            left = min([until, *(moved + patience for moved in full)]) - monotonic()
        if not waiter.granted.wait(max(left, 0)) and left <= 0:
            raise Busy(f"{what}; try again later")


def give(shares: Mapping[object, int]) -> None:
    """Give the turns back; they go to the requests that have waited the longest."""
    with _turns:
        for key in (*shares, HELD):
            _taken[key] -= 1
            _moved[key] = monotonic()
            if _taken[key] <= 0:
                del _taken[key], _moved[key]
        _grant()


def _grant() -> None:
    """Give available turns to the waiters, in order of arrival."""
    for waiter in list(_waiters):
        if _fits(waiter.shares):
            _waiters.remove(waiter)
            _taken.update(list(waiter.shares))
            _moved.update(dict.fromkeys(waiter.shares, monotonic()))
            waiter.granted.set()


def _fits(shares: Mapping[object, int]) -> bool:
    return all(_taken[key] < most for key, most in shares.items())
