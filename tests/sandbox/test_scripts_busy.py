"""Scripts under load: those that never end stop nobody else, and workers that die take no write
along and let nobody in. The full numbers are in `python -m benchmarks.busy`.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from django.db import connection

from rowkeeper.rules.sandbox import runner
from rowkeeper.rules.sandbox.runner import close_pool
from tests.support.calls import SourceApi, data_source, failure_of

pytestmark = pytest.mark.django_db(transaction=True)

FOREVER = "while True:\n    pass"
BUSY = (503, "server.busy")
OPEN = {"type": ["select"], "allow": "all"}


@pytest.fixture
def few(settings: Any) -> Iterator[None]:
    """Two workers, and half a second for each script."""
    limits = {"SECONDS": 0.5, "WORKERS": 2, "QUEUE": 2, "WAIT_SECONDS": 0.2}
    settings.ROWKEEPER = {"SCRIPTS": limits}
    yield
    close_pool()


def together(asks: list[Callable[[], Any]]) -> list[Any]:
    """What each gives, all begun at once, each in a thread with a connection of its own."""
    start = Barrier(len(asks))

    def ask(function: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(asks)) as threads:
        return list(threads.map(ask, asks))


def test_scripts_that_never_end_stop_nobody_else(few: None) -> None:
    loops = data_source("Loops", ["A"], [{"A": 1}], [{"script": FOREVER}, OPEN])
    plain = data_source("Plain", ["A"], [{"A": 1}], [OPEN])
    honest = data_source("Honest", ["A"], [{"A": 1}], [{"script": "return {'granted': True}"}])
    ended = Event()

    def others() -> list[tuple[int, str | None]]:
        answers = []
        while not ended.is_set():
            answers.append(failure_of(SourceApi(plain).query()))
        return answers

    def loop() -> Any:
        return SourceApi(loops).query()

    def all_loops() -> list[Any]:
        try:
            return together([loop] * 20)
        finally:
            ended.set()

    answers, seen = together([all_loops, others])
    # Whoever got a worker was told to sign in, as nobody was; the others to come again.
    kinds = Counter(failure_of(answer) for answer in answers)
    assert set(kinds) == {(401, "auth.required"), BUSY} and kinds[BUSY] >= 10, kinds
    for answer in answers:
        assert ("Retry-After" in answer.headers) is (answer.status_code == 503)
    assert len(seen) > 5 and set(seen) == {(200, None)}
    # It recovers by itself.
    while failure_of(SourceApi(honest).query()) == BUSY:
        pass
    assert failure_of(SourceApi(honest).query()) == (200, None)


WRITES = """
if type == "insert":
    query.By = "script"
    return {"granted": query.Name != "no"}
if type == "update":
    query.By = "script"
    return {"granted": entry.data.Name != "no"}
"""


def test_workers_that_die_lose_no_write_and_let_nobody_in(few: None, settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"WORKERS": 2, "WAIT_SECONDS": 5.0}}
    model = data_source("Rows", ["Name", "By"], [{"Name": "no"}], [{"script": WRITES}])
    asking, ended = SourceApi(model), Event()
    kept = asking.ids()[0]
    chance, killed = random.Random(5), []

    def kill() -> None:
        while not ended.wait(0.05):
            pool = runner._pool
            there = [] if pool is None else [*pool._busy, *pool._idle]
            # One that has begun: else the pool takes a rest before it starts another.
            workers = [worker for worker in there if worker.walls]
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers).pid, signal.SIGKILL)
                    killed.append(1)

    def ask(number: int) -> Callable[[], Any]:
        sends: list[tuple[str, str, Any]] = [
            ("PUT", "/data", {"Name": f"n{number}"}),
            ("PUT", "/data", {"Name": "no"}),
            ("PUT", f"/data/{kept}", {"Name": "taken"}),
            ("POST", "/data/query", {}),
        ]
        return lambda: failure_of(SourceApi(model).send(*sends[number % 4]))

    killer = Thread(target=kill)
    killer.start()
    try:
        answers: list[Any] = []
        while len(answers) < 40 or (len(killed) < 5 and len(answers) < 2_000):
            answers += together([ask(len(answers) + number) for number in range(4)])
    finally:
        ended.set()
        killer.join()
    inserted = [number for number, answer in enumerate(answers) if answer == (200, None)]
    assert inserted and all(number % 4 == 0 for number in inserted)
    assert set(answers) <= {(200, None), (401, "auth.required"), BUSY}
    rows = list(model.entries.order_by("id").values_list("data", flat=True))
    assert rows[0] == {"Name": "no"}
    written = [{"Name": f"n{number}", "By": "script"} for number in inserted]
    assert sorted(rows[1:], key=str) == sorted(written, key=str)
    assert len(killed) >= 5
