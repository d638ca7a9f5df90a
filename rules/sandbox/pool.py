"""The workers of one process of the web server: some warm, a bounded queue before them.

A thread of its own starts and buries them. The kernel kills a worker when the thread that started
it ends, and threads that serve requests may end early.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from .limits import Limits
from .process import NotStarted, Worker

logger = logging.getLogger("rowkeeper.scripts")

Start: TypeAlias = Callable[[Limits], Worker]
_RETRY_SECONDS = 1.0


class NoWorker(Exception):
    """No worker could be had within the bounds."""


class Pool:
    """Hands out workers, each to one thread at a time."""

    def __init__(self, limits: Limits, start: Start = Worker) -> None:
        self.limits = limits
        self._start = start
        self._lock = threading.Lock()
        # For who waits for a worker, and for the thread that keeps them.
        self._free = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._idle: list[Worker] = []
        # Since when each works; for one that is yet to begin, for ever.
        self._busy: dict[Worker, float] = {}
        self._wanted = 0
        self._waiting = 0
        self._dead: list[Worker] = []
        self._failure: tuple[float, str] | None = None
        self._closed = False
        self._keeper: threading.Thread | None = None

    # -- for who runs a script

    def acquire(self) -> Worker:
        """A worker that is ready. Raises `NoWorker`, at once where waiting would not help."""
        failures = 0
        while True:
            worker = self._take()
            if worker.walls and worker.is_silent():
                return worker
            if worker.walls:
                self.discard(worker)
                continue
            try:
                worker.await_walls(time.monotonic() + self.limits.start_seconds)
            except NotStarted as error:
                self.discard(worker)
                failures += 1
                # One may have been killed by chance; two mean that none will begin.
                if failures == 2:
                    self._fail(str(error))
                    raise NoWorker(str(error)) from error
            else:
                self._mark_busy(worker)
                return worker

    def release(self, worker: Worker) -> None:
        """It has done its work: others may have it, unless it is worn out."""
        with self._lock:
            worker.runs += 1
            worker.busy_seconds += time.monotonic() - self._busy.pop(worker)
            if not (self._closed or self._is_worn(worker)):
                self._idle.append(worker)
                self._free.notify()
                return
        self.discard(worker)

    def discard(self, worker: Worker) -> None:
        """End it, with all that its script may still be doing, and have another one made."""
        worker.kill()
        with self._lock:
            self._busy.pop(worker, None)
            if not self._closed:
                self._dead.append(worker)
                self._work.notify()
                self._want()
                return
        worker.reap()

    def close(self) -> None:
        """End all workers, and leave no zombie. Who is at work with one hears nothing more."""
        with self._lock:
            self._closed = True
            idle, busy, dead = self._idle, list(self._busy), self._dead
            self._idle, self._dead = [], []
            self._free.notify_all()
            self._work.notify_all()
        for worker in (*idle, *dead):
            worker.kill()
        for worker in busy:
            worker.strike()
        for worker in (*idle, *busy, *dead):
            worker.reap()

    def leave_to_parent(self) -> None:
        """In a fork: these are another process's workers."""
        for worker in (*self._idle, *self._busy, *self._dead):
            worker.leave_to_parent()

    # -- waiting

    def _take(self) -> Worker:
        arrived = time.monotonic()
        with self._lock:
            self._refuse_after_failure()
            while not self._idle:
                if self._closed:
                    raise NoWorker("the server is going down")
                self._ask_for_one()
                self._wait(arrived)
            worker = self._idle.pop()
            self._busy[worker] = time.monotonic() if worker.walls else float("inf")
            if not self._idle:
                # The next one to come, or the one after a breach, is not to wait for a start.
                self._want()
            return worker

    def _ask_for_one(self) -> None:
        """Have a worker started, if there may be one more and none is on its way to this one."""
        if self._wanted <= self._waiting:
            self._want()

    def _wait(self, arrived: float) -> None:
        """Wait for a turn. Raises `NoWorker` where the bounds of waiting are reached."""
        if self._waiting >= self.limits.queue:
            raise NoWorker("too many requests wait for a worker")
        now = time.monotonic()
        if self._wanted > self._waiting:
            left = arrived + self.limits.start_seconds - now
        else:
            if self._all_stuck(now):
                raise NoWorker("all workers are busy with scripts that take long")
            left = arrived + self.limits.wait_seconds - now
        if left <= 0:
            raise NoWorker("no worker became free in time")
        self._waiting += 1
        try:
            # Not to the end: what was on its way may have become somebody else's.
            self._free.wait(min(left, self._long))
        finally:
            self._waiting -= 1
        self._refuse_after_failure()

    def _all_stuck(self, now: float) -> bool:
        """Whether every worker has been at one script for so long that waiting is no use.

        Those that are yet to begin do not count: beside scripts that never end there is nearly
        always one, in the place of the last that was killed, and it is somebody's already.
        """
        begun = [since for since in self._busy.values() if since < float("inf")]
        return bool(begun) and all(now - since > self._long for since in begun)

    @property
    def _long(self) -> float:
        return self.limits.wait_seconds / 2

    def _mark_busy(self, worker: Worker) -> None:
        with self._lock:
            self._busy[worker] = time.monotonic()

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            when, why = self._failure
            if time.monotonic() - when < _RETRY_SECONDS:
                raise NoWorker(why)
            self._failure = None

    def _fail(self, why: str) -> None:
        logger.error("no worker for scripts: %s", why)
        with self._lock:
            self._failure = (time.monotonic(), why)
            self._free.notify_all()

    # -- keeping

    def _is_worn(self, worker: Worker) -> bool:
        limits = self.limits
        return (
            worker.runs >= limits.worker_runs
            or time.monotonic() - worker.born >= limits.worker_seconds
            or worker.busy_seconds >= limits.cpu_seconds - limits.seconds - 1
        )

    def _want(self) -> None:
        if self._closed or self._number() >= self.limits.workers:
            return
        self._wanted += 1
        self._work.notify()
        if self._keeper is None:
            self._keeper = threading.Thread(
                target=self._keep, name="rowkeeper-scripts", daemon=True
            )
            self._keeper.start()

    def _number(self) -> int:
        return len(self._idle) + len(self._busy) + self._wanted

    def _keep(self) -> None:
        """What the thread does: start who is wanted, bury who is dead or idle for too long."""
        while True:
            with self._lock:
                if not (self._wanted or self._dead or self._closed):
                    self._work.wait(min(self.limits.worker_seconds, 60.0))
                if self._closed:
                    return
                dead, self._dead = [*self._dead, *self._take_expired()], []
                wanted = self._wanted > 0
            if wanted:
                self._start_one()
            for worker in dead:
                worker.kill()
                worker.reap()

    def _take_expired(self) -> list[Worker]:
        expired = [worker for worker in self._idle if worker.walls and self._is_worn(worker)]
        self._idle = [worker for worker in self._idle if worker not in expired]
        return expired

    def _start_one(self) -> None:
        try:
            worker = self._start(self.limits)
        except Exception as error:
            with self._lock:
                self._wanted = 0
            self._fail(str(error))
            return
        with self._lock:
            self._wanted -= 1
            if not self._closed:
                # At the far end: what is warm goes first.
                self._idle.insert(0, worker)
                self._free.notify()
                return
        worker.kill()
        worker.reap()
