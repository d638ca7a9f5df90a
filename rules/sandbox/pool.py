"""The workers of one web server process: a few running ones, and a bounded queue.

A separate thread starts and reaps them. The kernel kills a worker when the thread that started it
ends, and threads that serve requests may end early.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .limits import Limits
from .process import NotStarted, Worker

logger = logging.getLogger("rowkeeper.scripts")

Start: TypeAlias = Callable[[Limits], Worker]
_RETRY_SECONDS = 1.0


class NoWorker(Exception):
    """No worker is available within the limits."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom a worker is for: a script of this data source. None: no share is counted.

    `last`: the script has broken its limits repeatedly, so that others go first.
    """

    source_id: int | None = None
    last: bool = False


ANY_SOURCE = Claim()


class Pool:
    """Hands out workers, each to one thread at a time.

    The scripts of one data source get at most half of the workers and of the queue, so that endless
    scripts leave room for those of others. Scripts that go last share a quarter of the workers, and
    do not wait.
    """

    def __init__(self, limits: Limits, start: Start = Worker) -> None:
        self.limits = limits
        self._start = start
        self._lock = threading.Lock()
        # Conditions for requests that wait for a worker, and for the thread that manages workers.
        self._free = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._idle: list[Worker] = []
        # {worker: when its run began}; infinity for a worker that is still starting.
        self._busy: dict[Worker, float] = {}
        # {worker: whom it is for}.
        self._claims: dict[Worker, Claim] = {}
        self._wanted = 0
        # Waiting requests by data source, and how many of them wait for a worker to be started.
        self._waiting: Counter[int | None] = Counter()
        self._expecting = 0
        self._dead: list[Worker] = []
        self._failure: tuple[float, str] | None = None
        self._closed = False
        self._keeper: threading.Thread | None = None

    # -- for requests that run a script

    def acquire(self, claim: Claim = ANY_SOURCE) -> Worker:
        """Wait for a worker that is ready. Raises `NoWorker`, at once if waiting cannot help."""
        failures = 0
        while True:
            worker = self._take(claim)
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
                # The first may have been killed by chance. After the second, assume that none can
                # start.
                if failures == 2:
                    self._fail(str(error))
                    raise NoWorker(str(error)) from error
            else:
                self._mark_busy(worker)
                return worker

    def release(self, worker: Worker) -> None:
        """Return a worker after a run. It can be used again unless it is worn out."""
        with self._lock:
            worker.runs += 1
            worker.busy_seconds += time.monotonic() - self._busy.pop(worker)
            self._claims.pop(worker, None)
            # All of them, since the first may belong to a data source that has used up its share.
            self._free.notify_all()
            if not (self._closed or self._is_worn(worker)):
                self._idle.append(worker)
                return
        self.discard(worker)

    def discard(self, worker: Worker) -> None:
        """Kill a worker together with whatever its script still runs, and start a replacement."""
        worker.kill()
        with self._lock:
            self._busy.pop(worker, None)
            self._claims.pop(worker, None)
            self._free.notify_all()
            if not self._closed:
                self._dead.append(worker)
                self._work.notify()
                self._want()
                return
        worker.reap()

    def close(self) -> None:
        """Kill and reap all workers. Threads that use one get no further messages."""
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
        """In a forked process: let go of the workers, which belong to the parent."""
        for worker in (*self._idle, *self._busy, *self._dead):
            worker.leave_to_parent()

    # -- waiting

    def _take(self, claim: Claim) -> Worker:
        arrived = time.monotonic()
        with self._lock:
            self._refuse_after_failure()
            while (has_share := self._has_share(claim)) or not self._idle:
                if self._closed:
                    raise NoWorker("the server is shutting down")
                if claim.last and (has_share or self._number() >= self.limits.workers):
                    raise NoWorker(
                        "the script repeatedly broke its limits, so it waits until "
                        "other scripts have finished"
                    )
                if not has_share:
                    self._request_worker()
                self._wait(arrived, claim, has_share)
            worker = self._idle.pop()
            self._busy[worker] = time.monotonic() if worker.walls else float("inf")
            self._claims[worker] = claim
            if not self._idle:
                # Have another worker ready, for the next request or after this one breaks a limit.
                self._want()
            return worker

    def _has_share(self, claim: Claim) -> bool:
        """Whether this data source, or the scripts that go last, have used up their share."""
        claims = self._claims.values()
        if claim.last and sum(held.last for held in claims) >= max(1, self.limits.workers // 4):
            return True
        if claim.source_id is None:
            return False
        own = sum(held.source_id == claim.source_id for held in claims)
        return own >= max(1, self.limits.workers // 2)

    def _request_worker(self) -> None:
        """Start a worker, if the limit allows one and none is being started for this request."""
        if self._wanted <= self._expecting:
            self._want()

    def _wait(self, arrived: float, claim: Claim, has_share: bool) -> None:
        """Wait for a worker. Raises `NoWorker` if the limits of waiting are reached."""
        self._refuse_in_queue(claim)
        now = time.monotonic()
        if self._wanted > self._expecting and not has_share:
            left = arrived + self.limits.start_seconds - now
        else:
            if self._all_stuck(now, claim, has_share):
                raise NoWorker("all workers are busy with slow scripts")
            left = arrived + self.limits.wait_seconds - now
        if left <= 0:
            raise NoWorker("no worker was free in time")
        self._waiting[claim.source_id] += 1
        self._expecting += not has_share
        try:
            # Not for all of the time: the expected worker may go to another request.
            self._free.wait(min(left, self._long))
        finally:
            self._expecting -= not has_share
            self._waiting[claim.source_id] -= 1
            if not self._waiting[claim.source_id]:
                del self._waiting[claim.source_id]
        self._refuse_after_failure()

    def _refuse_in_queue(self, claim: Claim) -> None:
        most = self.limits.queue
        own = most if claim.source_id is None else max(min(1, most), most // 2)
        if self._waiting.total() >= most or self._waiting[claim.source_id] >= own:
            raise NoWorker("too many requests are waiting for a worker")

    def _all_stuck(self, now: float, claim: Claim, has_share: bool) -> bool:
        """Whether waiting is useless: all workers for this claim have been running for too long.

        Workers that are still starting do not count. With endless scripts there is nearly always
        one, which replaces the last one that was killed, and is taken already.
        """
        begun = [
            since
            for worker, since in self._busy.items()
            if since < float("inf")
            and not (has_share and self._claims[worker].source_id != claim.source_id)
        ]
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

    # -- managing workers

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
        """The thread's loop: start wanted workers, and reap those that are dead or too old."""
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
                # At the end that is used last, since workers that have run are faster.
                self._idle.insert(0, worker)
                self._free.notify_all()
                return
        worker.kill()
        worker.reap()
