"""The pool: bounded, replaced, killed at random. Whatever happens to workers lets nobody in."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from rowkeeper.rules.sandbox import runner
from rowkeeper.rules.sandbox.limits import Limits, current_limits, limits_from
from rowkeeper.rules.sandbox.pool import NoWorker, Pool
from rowkeeper.rules.sandbox.process import Worker
from rowkeeper.rules.sandbox.protocol import ScriptVerdict
from rowkeeper.rules.sandbox.runner import close_pool, pool_for
from rowkeeper.rules.sandbox.worker.boot import COMMAND
from tests.support.sandboxing import FOREVER, GRANTS, USER, Users, ask, limits


def workers_of(pool: Pool) -> list[Worker]:
    with pool._lock:
        return [*pool._idle, *pool._busy]


def the_pool() -> Pool:
    return pool_for(current_limits())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wait_until(met: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_workers_are_used_again() -> None:
    with limits(workers=1):
        ask(GRANTS)
        (worker,) = workers_of(the_pool())
        for _ in range(5):
            assert ask(GRANTS).granted
        assert workers_of(the_pool()) == [worker] and worker.runs == 6


def test_a_worker_is_replaced_after_so_many_runs() -> None:
    with limits(workers=1, worker_runs=3):
        pids = set()
        for _ in range(9):
            assert ask(GRANTS).granted
            pids.update(worker.pid for worker in workers_of(the_pool()))
        assert len(pids) >= 3
        wait_until(lambda: sum(map(is_running, pids)) <= 1)


def test_a_worker_is_replaced_after_so_many_seconds() -> None:
    with limits(workers=1, worker_seconds=0.3):
        ask(GRANTS)
        pids = {worker.pid for worker in workers_of(the_pool())}
        wait_until(lambda: not any(map(is_running, pids)))
        assert ask(GRANTS).granted


def test_a_breach_costs_the_worker_and_nobody_else() -> None:
    with limits(workers=2, seconds=0.3):
        ask(GRANTS)
        before = {worker.pid for worker in workers_of(the_pool()) if worker.walls}
        assert ask(FOREVER).error == "took longer than 0.3 seconds"
        assert ask(GRANTS).granted
        wait_until(lambda: not any(map(is_running, before)))


def test_an_error_of_a_script_keeps_the_worker() -> None:
    with limits(workers=1):
        ask(GRANTS)
        (worker,) = workers_of(the_pool())
        assert ask("raise ValueError('x')").error == "line 1: ValueError: x"
        assert workers_of(the_pool()) == [worker]


@pytest.mark.slow
def test_three_seconds() -> None:
    """The limit as it is delivered, for a script that catches whatever it can."""
    start = time.monotonic()
    verdict = ask(FOREVER)
    assert 2.9 < time.monotonic() - start < 4
    assert not verdict.granted and verdict.error == "took longer than 3 seconds"
    assert ask(GRANTS).granted


# -- too many at once


def test_the_overflow_is_told_at_once_and_the_rest_go_on() -> None:
    """200 requests, each with a script that never ends; others are answered all along."""
    with limits(workers=2, queue=4, seconds=1.0, wait_seconds=0.1):
        assert ask(GRANTS).granted
        took: list[float] = []

        def one(_: int) -> ScriptVerdict:
            start = time.monotonic()
            verdict = ask(FOREVER)
            if verdict.busy:
                took.append(time.monotonic() - start)
            return verdict

        with ThreadPoolExecutor(200) as threads:
            verdicts = list(threads.map(one, range(200)))
        assert not any(verdict.granted for verdict in verdicts)
        busy = [verdict for verdict in verdicts if verdict.busy]
        assert len(busy) >= 150 and all(verdict.error for verdict in busy)
        took.sort()
        assert took[len(took) // 2] < 1, "half of the overflow waited for a second"
        wait_until(lambda: ask(GRANTS).granted)
        assert len(workers_of(the_pool())) <= 2


def test_a_short_queue_is_waited_in() -> None:
    with limits(workers=1, queue=8, wait_seconds=5):
        with ThreadPoolExecutor(8) as threads:
            assert all(verdict.granted for verdict in threads.map(ask, [GRANTS] * 40))
        assert len(workers_of(the_pool())) == 1


def test_two_scripts_run_at_once() -> None:
    """Each waits in a look-up until the other has begun."""
    meeting = threading.Barrier(2, timeout=3)

    class Meeting(Users):
        def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
            meeting.wait()
            return 1

    with limits(workers=2), ThreadPoolExecutor(2) as threads:
        script = 'return {"granted": DataSources("x").count() == 1}'
        runs = [threads.submit(ask, script, Meeting()) for _ in range(2)]
        assert all(run.result().granted for run in runs)


# -- workers that do not begin, end, or lie


def started_with(program: str) -> Callable[[Limits], Worker]:
    return lambda limits: Worker(limits, program)


@pytest.fixture
def pool_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    """Puts a pool of one's own in the place of this process's."""
    pools: list[Pool] = []

    def make(program: str = COMMAND, **names: Any) -> Pool:
        pool = Pool(Limits(**names), started_with(program))
        pools.append(pool)
        monkeypatch.setattr(runner, "pool_for", lambda limits: pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


LIE = """
import json, os, struct, sys, time
def send(text):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    os.write(fd, struct.pack("!I", len(text)) + text)
def read():
    length = struct.unpack("!I", os.read(fd, 4))[0]
    return json.loads(os.read(fd, length))
fd = int(sys.argv[1])
send({"walls": ["none"]})
while True:
    job = read()
    SAY
"""
LIES = {
    "nothing at all": "os._exit(0)",
    "no JSON": "send(b'granted')",
    "no object": "send([True])",
    "half a message": "os.write(fd, b'\\0\\0\\0\\x10{\"gran'); os._exit(0)",
    "half a length": "os.write(fd, b'\\0\\0'); os._exit(0)",
    "a length beyond all limits": "os.write(fd, b'\\xff\\xff\\xff\\xff')",
    "nested without end": "send(b'[' * 100000 + b']' * 100000)",
    "objects without end": "send(b'{\"a\":' * 100000 + b'1' + b'}' * 100000)",
    "NaN": "send(b'{\"granted\": NaN}')",
    "an integer of many digits": "send(b'{\"granted\": ' + b'9' * 10000 + b'}')",
    "text that is not UTF-8": 'send(b\'{"granted": true, "printed": "\\xff"}\')',
    "a failure of the worker itself": "send({'failed': 'MemoryError: '})",
    "values without end": "send(b'{\"granted\": true, \"x\": [' + b'[],' * 5000000 + b'1]}')",
    "values without end in the query": (
        "send(b'{\"granted\": true, \"query\": \"{' + b'\\\\u002c' * 1100000 + b'}\"}')"
    ),
    "include of half a character": 'send(b\'{"granted": true, "include": ["\\\\ud800"]}\')',
    "include of NUL": "send({'granted': True, 'include': ['\\0']})",
    "granted that is 1": "send({'granted': 1})",
    "granted that is text": "send({'granted': 'true'})",
    "an error and a grant": "send({'granted': True, 'error': 'x'})",
    "include that is text": "send({'granted': True, 'include': 'Email'})",
    "include of numbers": "send({'granted': True, 'include': [1]})",
    "exclude of lists": "send({'granted': True, 'exclude': [[]]})",
    "printed that is a list": "send({'granted': True, 'printed': []})",
    "a query that is no text": "send({'granted': True, 'query': {}})",
    "a query that is not valid JSON": "send({'granted': True, 'query': 'x'})",
    "a query that is a list": "send({'granted': True, 'query': '[]'})",
    "a query that is nothing": "send({'granted': True, 'query': 'null'})",
    "a query with infinity": "send({'granted': True, 'query': '{\"a\": 1e999}'})",
    "a query with NaN": "send({'granted': True, 'query': '{\"a\": NaN}'})",
    "a query nested deeply": "send({'granted': True, 'query': '{\"a\":' * 150 + '1' + '}' * 150})",
    "a look-up that is none": "send({'ask': 'drop', 'source': 'x', 'where': {}})",
    "a look-up of a list": "send({'ask': 'find', 'source': ['x'], 'where': {}})",
    "a look-up of True": "send({'ask': 'find', 'source': True, 'where': {}})",
    "a look-up without where": "send({'ask': 'find', 'source': 'x'})",
    "a look-up of too many": "send({'ask': 'find', 'source': 'x', 'where': {}, 'limit': 10**6})",
    "a look-up before all": "send({'ask': 'find', 'source': 'x', 'where': {}, 'offset': -1})",
    "look-ups for ever": "[send({'ask': 'count', 'source': 'x', 'where': {}}) for i in 'x' * 60]",
    "nothing, for ever": "time.sleep(60)",
    "drop by drop": "[(os.write(fd, b'\\0'), time.sleep(0.05)) for i in range(999)]",
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_worker_says_is_not_believed(lie: str, pool_of: Callable[..., Pool]) -> None:
    pool_of(LIE.replace("SAY", LIES[lie]), seconds=0.5, workers=2)
    start = time.monotonic()
    with limits(seconds=0.5):
        verdict = ask(GRANTS)
    assert not verdict.granted, verdict
    assert time.monotonic() - start < 10
    assert not verdict.error or verdict.error.isprintable()


@pytest.mark.parametrize("said", ["{}", "{'failed': 'x'}", "{'granted': None}", "{'note': ''}"])
def test_what_is_no_verdict_ends_the_evaluation(said: str, pool_of: Callable[..., Pool]) -> None:
    """Were it a "no", a later and wider rule would be asked."""
    pool_of(LIE.replace("SAY", f"send({said})"))
    assert ask(GRANTS).error == "sent a malformed message"


def test_what_swells_is_not_read(pool_of: Callable[..., Pool]) -> None:
    pool_of(LIE.replace("SAY", LIES["values without end"]))
    assert ask(GRANTS).error == "answered with more than 1,000,000 values"


def test_what_a_worker_says_was_printed_is_cut(pool_of: Callable[..., Pool]) -> None:
    pool_of(LIE.replace("SAY", "send({'granted': True, 'printed': 'x' * 1000000})"))
    assert len(ask(GRANTS).printed) == 10_001


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([{}, {}], "[{}]"),
        ([{}, {}], "[{}, {}, {}]"),
        ([{}, {}], "[{}, 1]"),
        ([{}, {}], "{}"),
        ([], "[{}]"),
    ],
)
def test_rows_are_neither_won_nor_lost(query: Any, said: str, pool_of: Callable[..., Pool]) -> None:
    pool_of(LIE.replace("SAY", f"send({{'granted': True, 'query': {said!r}}})"))
    assert not ask(GRANTS, operation="insert", query=query).granted


def test_a_verdict_that_nobody_asked_for_is_nobodys(pool_of: Callable[..., Pool]) -> None:
    """One that lies in wait for the next run costs its worker."""
    twice = "send({'granted': False}); send({'granted': True})"
    pool = pool_of(LIE.replace("SAY", twice), workers=1)
    pids = set()
    for _ in range(5):
        assert not ask(GRANTS).granted
        wait_until(lambda: not all(w.is_silent() for w in workers_of(pool) if w.walls))
        pids.update(worker.pid for worker in workers_of(pool))
    assert len(pids) == 5


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os, time; time.sleep(60)", "took longer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        (LIE.replace('{"walls": ["none"]}', '{"failed": "no wall\\n"}'), "no wall"),
    ],
)
def test_workers_that_do_not_begin(
    program: str, why: str, pool_of: Callable[..., Pool], caplog: pytest.LogCaptureFixture
) -> None:
    pool_of(program, start_seconds=0.5)
    verdict = ask(GRANTS)
    assert not verdict.granted and verdict.busy and verdict.error is not None
    assert why in verdict.error and verdict.error.isprintable()
    assert "no worker for scripts" in caplog.text
    # The next ones do not try again and again.
    start = time.monotonic()
    assert ask(GRANTS).busy and time.monotonic() - start < 0.2


def test_no_python(pool_of: Callable[..., Pool]) -> None:
    pool_of(python="/nowhere/python")
    verdict = ask(GRANTS)
    assert (
        verdict.busy
        and verdict.error == "`/nowhere/python` cannot be run: No such file or directory"
    )


def test_a_look_up_that_fails_for_its_own_reasons(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Users):
        def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
            raise RuntimeError("secret of the database")

    script = 'try:\n    DataSources("x").count()\nexcept:\n    pass\nreturn {"granted": True}'
    verdict = ask(script, Broken())
    assert (
        not verdict.granted
        and verdict.error == "could not be run: an error on the server, see its log"
    )
    assert "secret of the database" in caplog.text
    assert ask(GRANTS).granted


def test_what_is_no_json_does_not_run() -> None:
    for user in ({"a": float("nan")}, {"a": {1}}, {"a": b"x"}):
        assert "is not valid JSON" in (ask(GRANTS, user=user).error or "")
    with limits(input_bytes=10_000):
        verdict = ask(GRANTS, query={"a": "x" * 10_000})
        assert verdict.error == "the input of the script is too large"


def test_a_delete_of_too_many() -> None:
    with limits(delete_entries=10):
        assert ask(GRANTS, operation="delete", query=[{}] * 10).granted
        verdict = ask(GRANTS, operation="delete", query=[{}] * 11)
        assert not verdict.granted
        assert verdict.error == "would delete 11 entries; scripts can decide on at most 10"


# -- killed at random


def died(ended: list[tuple[bool, ScriptVerdict]]) -> int:
    """How many scripts ended with their worker."""
    return sum(verdict.error is not None for _, verdict in ended)


def test_killing_workers_grants_nothing() -> None:
    """Half of the scripts deny; workers are killed all the while; no denial turns into a grant."""
    script = (
        "n = sum(range(20000))\n"
        'if query.may:\n    query.by = user.Email\n    return {"granted": True}\n'
        'return {"granted": False}'
    )
    chance = random.Random(7)
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            workers = [worker for worker in workers_of(the_pool()) if worker.walls]
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers).pid, signal.SIGKILL)
            time.sleep(chance.random() * 0.1)

    def one(number: int) -> tuple[bool, ScriptVerdict]:
        may = number % 2 == 0
        return may, ask(script, query={"may": may}, operation="insert")

    with limits(workers=3, wait_seconds=10, queue=100):
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            ended: list[tuple[bool, ScriptVerdict]] = []
            until = time.monotonic() + 30
            with ThreadPoolExecutor(6) as threads:
                # Until workers that ran one were killed: nobody misses the idle ones.
                while len(ended) < 300 or (died(ended) < 3 and time.monotonic() < until):
                    ended += threads.map(one, range(100))
        finally:
            over.set()
            killer.join()
        wait_until(lambda: ask(GRANTS).granted)
    for may, verdict in ended:
        assert may or not verdict.granted
        if verdict.granted:
            assert verdict.query == {"may": True, "by": USER["Email"]}
        elif may:
            assert verdict.error
    granted = sum(verdict.granted for _, verdict in ended)
    assert granted >= 50 and died(ended) >= 1, (granted, died(ended))


# -- nothing is left behind


def test_nothing_of_one_run_is_seen_in_the_next() -> None:
    """One worker; what a run defines, changes and keeps is not there for the next."""
    with limits(workers=1):
        first = ask(
            "def f(x=[]):\n    x.append(1)\n    return x\n"
            "len = sum\nkept = [user]\nuser.Email = 'x'\nuser.kept = kept\nprint('mine')\n"
            "d = {}\nd['d'] = d\nf()\nreturn {'granted': len(f()) == 2}"
        )
        assert first.granted and first.printed == "mine\n"
        (worker,) = workers_of(the_pool())
        second = ask(
            "def f(x=[]):\n    x.append(1)\n    return x\n"
            "return {'granted': len([1, 2]) == 2 and not user.kept and f() == [1]}"
        )
        assert second.granted and second.printed == ""
        assert ask("return {'granted': bool(kept)}").error
        assert workers_of(the_pool()) == [worker], "it was the same worker"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_web_process_does_not_grow() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rows = [{"Name": f"row {n}", "Age": n} for n in range(20)]
    scripts = [
        "for row in query:\n    row.By = user.Email\nreturn {'granted': True}",
        "raise ValueError('x')",
    ]

    def some(number: int) -> None:
        for n in range(number):
            ask(f"{scripts[n % 2]}  # {n % 30}", operation="insert", query=rows)

    some(100)
    gc.collect()
    before, descriptors = resident(), len(os.listdir("/proc/self/fd"))
    some(500)
    gc.collect()
    assert resident() - before < 5_000_000
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2


def test_a_closed_pool_leaves_nobody() -> None:
    with limits(workers=2):
        ask(GRANTS)
        pids = [worker.pid for worker in workers_of(the_pool())]
        close_pool()
        assert pids and not any(map(is_running, pids))


def test_a_pool_that_is_closed_under_a_script() -> None:
    with limits(workers=1, seconds=3), ThreadPoolExecutor(1) as threads:
        running = threads.submit(ask, FOREVER)
        wait_until(lambda: any(worker.walls for worker in workers_of(the_pool())))
        time.sleep(0.1)
        pool = the_pool()
        pids = [worker.pid for worker in workers_of(pool)]
        pool.close()
        assert not running.result(timeout=2).granted
        wait_until(lambda: not any(map(is_running, pids)))
        with pytest.raises(NoWorker):
            pool.acquire()


PROCESS = """
import json, os, sys, threading, time
from django.conf import settings
settings.configure()
from rowkeeper.rules.sandbox.protocol import ScriptCall
from rowkeeper.rules.sandbox import run
from rowkeeper.rules.sandbox.limits import current_limits
from rowkeeper.rules.sandbox.runner import pool_for

def ask(script):
    return run(ScriptCall(script, "select", None, {}), None)

def pids():
    pool = pool_for(current_limits())
    return sorted(worker.pid for worker in [*pool._idle, *pool._busy])

GRANTS, FOREVER = "return {'granted': True}", "while True: pass"
assert ask(GRANTS).granted
while len(pids()) < 2:
    time.sleep(0.01)
"""
ENDS = {
    "by itself": "print(json.dumps(pids()))",
    "killed": "print(json.dumps(pids()), flush=True); os.kill(os.getpid(), 9)",
    "while a script runs": (
        "threading.Thread(target=ask, args=[FOREVER], daemon=True).start(); "
        "time.sleep(0.3); print(json.dumps(pids()), flush=True); os._exit(1)"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_workers_end_with_the_web_process(end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS + ENDS[end]],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    pids = json.loads(done.stdout or done.stderr)
    assert len(pids) >= 2
    wait_until(lambda: not any(map(is_running, pids)), 5)


FORKED = """
mine = pids()
child = os.fork()
if child == 0:
    ok = ask(GRANTS).granted and not set(pids()) & set(mine)
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert pids() == mine and ask(GRANTS).granted and set(mine) <= set(pids())
print("both")
"""


def test_a_forked_web_process_has_workers_of_its_own() -> None:
    """As under a server that loads the site and forks then; the parent keeps what it has."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS + FORKED],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "both\n", done.stderr


def test_threads_that_end_do_not_take_workers_along() -> None:
    """The kernel kills a worker with the thread that started it: no thread of a request is that."""
    with limits(workers=1):
        thread = threading.Thread(target=ask, args=[GRANTS])
        thread.start()
        thread.join()
        (worker,) = workers_of(the_pool())
        time.sleep(0.1)
        assert ask(GRANTS).granted and workers_of(the_pool()) == [worker]


# -- settings


def test_limits_are_read_from_the_settings() -> None:
    assert current_limits() == Limits()
    with limits(seconds=1.5, workers=7):
        assert current_limits() == Limits(seconds=1.5, workers=7)
    assert current_limits() == Limits()


@pytest.mark.parametrize(
    "given",
    [
        {"SECOND": 1},
        {"seconds": 1},
        {"SECONDS": "3"},
        {"SECONDS": -1},
        {"WORKERS": 1.5},
        {"QUEUE": True},
    ],
)
def test_limits_that_are_none(given: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="ROWKEEPER"):
        limits_from(given)


def test_the_rows_of_a_look_up_follow_the_settings() -> None:
    script = 'return {"granted": len(DataSources("x").find(%s)) == 2}'
    with limits(lookup_rows=2):
        assert ask(script % "").granted and ask(script % "limit=2").granted
        error = "line 1: LookupError: `limit` must be a whole number from 0 to 2"
        assert ask(script % "limit=3").error == error


def test_sockets_are_not_inherited() -> None:
    """A program that the site starts does not get hold of a worker."""
    with limits(workers=1):
        ask(GRANTS)
        (worker,) = workers_of(the_pool())
        assert isinstance(worker._socket, socket.socket)
        assert not worker._socket.get_inheritable()


def test_nobody_waits_for_a_worker_that_is_somebody_elses() -> None:
    """Also where it was on its way when they came: the start has seconds, the wait has not."""
    with limits(seconds=2.0, workers=2, queue=16, wait_seconds=0.2):
        with ThreadPoolExecutor(8) as threads:
            verdicts = list(threads.map(lambda _: ask(FOREVER), range(8)))
        assert sum(verdict.busy for verdict in verdicts) == 6
