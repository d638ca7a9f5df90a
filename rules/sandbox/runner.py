"""One run of a script, seen from outside: it gets a worker and always ends with a verdict.

The clock runs here, and includes look-ups. Anything but the verdict of a run within its limits is
an error, and therefore a denial.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from rowkeeper.datasources.caching import Cache
from rowkeeper.rules.sandbox.protocol import Budget, ScriptCall, ScriptVerdict

from . import messages
from .limits import Limits, current_limits
from .lookups import LookupFailed, Lookups
from .pool import Claim, NoWorker, Pool
from .process import Breach, Gone, Lost, TooLate, Worker
from .strikes import strikes
from .worker.policy import check

logger = logging.getLogger("rowkeeper.scripts")

# How many workers are tried if they end before the script begins.
_ATTEMPTS: Final = 3


def run_script(
    call: ScriptCall,
    lookups: Lookups,
    source_id: int | None = None,
    budget: Budget | None = None,
) -> ScriptVerdict:
    """Run the script of a rule. Never raises an `Exception`.

    `source_id`: the data source of the rule, which has a limited share of the workers.
    `budget`: the seconds that the scripts of the request have used of those that they share.
    Waiting for a worker does not count.
    """
    started = time.monotonic()
    try:
        verdict = _run(call, lookups, current_limits(), source_id, budget or Budget())
    except NoWorker as error:
        verdict = ScriptVerdict(False, error=messages.one_line(str(error)), busy=True)
    except Exception:
        logger.exception("a script could not be run")
        verdict = ScriptVerdict(
            False, error=("could not be run: an error on the server, see its log")
        )
    return replace(verdict, milliseconds=(time.monotonic() - started) * 1_000)


def _run(
    call: ScriptCall,
    lookups: Lookups,
    limits: Limits,
    source_id: int | None,
    budget: Budget,
) -> ScriptVerdict:
    left = limits.seconds - budget.used
    if left <= 0:
        return ScriptVerdict(False, error=used_up(limits.seconds))
    unfit = _unfit(call, limits)
    if unfit:
        return ScriptVerdict(False, error=unfit)
    try:
        job = messages.job(call, limits)
    except (TypeError, ValueError, RecursionError) as error:
        return ScriptVerdict(False, error=f"the input of the script is not valid JSON: {error}")
    if len(job) > limits.input_bytes:
        return ScriptVerdict(False, error="the input of the script is too large")
    pool = pool_for(limits)
    claim = Claim(source_id, strikes.is_last(source_id, call.source))
    for _ in range(_ATTEMPTS):
        worker = pool.acquire(claim)
        exchange = _Exchange(worker, call, lookups, limits, left)
        healthy = False
        began = time.monotonic()
        try:
            verdict = exchange.hold(job)
            healthy = not exchange.ended
            if verdict.broke_limit:
                strikes.add(source_id, call.source)
            return verdict
        except Gone:
            continue
        finally:
            budget.used += time.monotonic() - began
            (pool.release if healthy else pool.discard)(worker)
    raise NoWorker("the workers end before they have started")


class _Exchange:
    """The messages between the web process and a worker, from the job to the verdict."""

    def __init__(
        self,
        worker: Worker,
        call: ScriptCall,
        lookups: Lookups,
        limits: Limits,
        seconds: float,
    ) -> None:
        self._worker, self._call, self._lookups, self._limits = worker, call, lookups, limits
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._lines: list[str] = []
        # Whether the worker has to be discarded: it broke a limit, or sent an invalid message.
        self.ended = True

    def hold(self, job: str) -> ScriptVerdict:
        """Send the job and return the verdict. Raises `Gone` if the script has not begun."""
        try:
            self._worker.send(job, self._deadline)
            verdict = self._until_verdict()
        except TooLate:
            verdict = self._too_late()
        except Breach as breach:
            error = messages.one_line(str(breach))
            is_its_own = not isinstance(breach, Lost)
            verdict = ScriptVerdict(False, error=error, broke_limit=is_its_own)
        return replace(verdict, lookups=tuple(self._lines))

    def _too_late(self) -> ScriptVerdict:
        most = self._limits.seconds
        error = f"took longer than {most:g} seconds" if self._seconds >= most else used_up(most)
        # A script that had little time left may only have been delayed by others.
        return ScriptVerdict(False, error=error, broke_limit=self._seconds >= most / 2)

    def _until_verdict(self) -> ScriptVerdict:
        while True:
            message = self._worker.receive(self._limits.output_bytes, self._deadline)
            said = messages.read(message, self._limits)
            if "ask" not in said:
                verdict = messages.verdict(said, self._call, self._limits)
                self.ended = said.get("ended", False) is not False
                return replace(verdict, broke_limit=self.ended)
            answer = self._answer(messages.question(said, self._limits))
            try:
                self._worker.send(answer, self._deadline)
            except Gone as error:
                raise Lost("the worker has ended") from error

    def _answer(self, question: messages.Question) -> str:
        """The answer to a look-up, as a message. Raises `Breach` beyond the limits."""
        if len(self._lines) >= self._limits.lookups:
            raise Breach(f"made more than {self._limits.lookups} look-ups")
        try:
            found = self._look_up(question)
        except LookupFailed as error:
            self._lines.append(question.line(str(error)))
            return messages.encoded({"error": messages.one_line(str(error))})
        answer = messages.encoded({"found": found})
        if len(answer) > self._limits.input_bytes:
            self._lines.append(question.line("too large"))
            return messages.encoded({"error": "the result is too large; request fewer rows"})
        return answer

    def _look_up(self, question: messages.Question) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TooLate
        if question.ask == "count":
            number = self._lookups.count(question.source, question.where, left)
            self._lines.append(question.line(str(number)))
            return number
        records = self._lookups.find(
            question.source, question.where, question.limit, question.offset, left
        )
        if len(records) > question.limit:
            raise RuntimeError("a look-up returned more than was requested")
        self._lines.append(question.line(f"{len(records)} found"))
        return records


def used_up(seconds: float) -> str:
    """The error of a script that has no time left."""
    return f"the scripts of the request took longer than {seconds:g} seconds in total"


# -- scripts that are not run


# The problems of a script, by the digest of its text.
_checked: Cache[bytes, list[str]] = Cache("checked scripts", 1_000)


def _unfit(call: ScriptCall, limits: Limits) -> str | None:
    """Why the call cannot run, or None. The check is the one that a save makes."""
    problems = _problems(call.source)
    if problems:
        return messages.one_line(f"is not valid: {problems[0]}")
    number = len(call.query) if call.operation == "delete" else 0
    if isinstance(call.query, list) and number > limits.delete_entries:
        most = limits.delete_entries
        return f"would delete {number:,} entries; scripts can decide on at most {most:,}"
    return None


def _problems(source: str) -> list[str]:
    """The problems that `check` finds, cached by the digest of the text."""
    digest = sha256(source.encode("utf-8", "surrogatepass")).digest()
    problems = _checked.get(digest)
    if problems is None:
        problems = [str(problem) for problem in check(source)[:1]]
        _checked.put(digest, problems)
    return problems


# -- the pool of this process


_pool: Pool | None = None
_pool_lock = threading.Lock()


def pool_for(limits: Limits) -> Pool:
    """The pool of this process, with these limits; created when the first script runs."""
    global _pool
    pool = _pool
    if pool is not None and pool.limits is limits:
        return pool
    with _pool_lock:
        if _pool is None or _pool.limits != limits:
            if _pool is not None:
                _pool.close()
            _pool = Pool(limits)
        return _pool


def close_pool() -> None:
    """Close this process's pool. The next script creates a new one."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def _forget_pool() -> None:
    """In a forked process: drop the pool, whose workers belong to the parent."""
    global _pool, _pool_lock
    _pool_lock = threading.Lock()
    strikes.clear()
    pool, _pool = _pool, None
    if pool is not None:
        pool.leave_to_parent()


atexit.register(close_pool)
os.register_at_fork(after_in_child=_forget_pool)
