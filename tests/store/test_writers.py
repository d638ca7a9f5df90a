"""Writers of SQLite go in the order in which they came, in one process and between processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from rowkeeper.datasources.database import sqlite_writers
from rowkeeper.datasources.database.connection import alias, atomic, database
from rowkeeper.datasources.database.sqlite_writers import Files, Queue, writing_in_turn
from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.models import DataSource

only_sqlite = pytest.mark.skipif(
    "connections['default'].vendor != 'sqlite'", reason="PostgreSQL takes many writers at once"
)


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds, two seconds at most."""
    until = time.monotonic() + 2
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_threads_go_in_the_order_in_which_they_came() -> None:
    queue, order = Queue(), list[int]()
    assert queue.enter(1)

    def write(number: int) -> None:
        assert queue.enter(5)
        order.append(number)
        queue.leave()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_for(lambda number=number: len(queue._waiting) == number + 1)
    queue.leave()
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert queue.enter(0.01)


def test_the_turn_that_does_not_come_in_time_is_given_up() -> None:
    queue = Queue()
    assert queue.enter(1) and not queue.enter(0.01)
    queue.leave()
    assert queue.enter(0.01)


def test_a_process_that_has_written_waits_behind_another_one(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    mine, other = Files(path), Files(path)
    order: list[str] = []
    assert mine.enter(time.monotonic() + 1)

    def write() -> None:
        assert other.enter(time.monotonic() + 5)
        order.append("other")
        other.leave()

    thread = threading.Thread(target=write)
    thread.start()
    # The other one holds `next`, and waits for this one to end.
    wait_for(
        lambda: (
            not sqlite_writers._lock(mine._next, 0)
            or sqlite_writers.flock(mine._next, sqlite_writers.LOCK_UN)
        )
    )
    mine.leave()
    assert mine.enter(time.monotonic() + 5)
    order.append("mine")
    mine.leave()
    thread.join()
    assert order == ["other", "mine"]
    mine.close()
    other.close()


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    mine, other = Files(path), Files(path)
    assert mine.enter(time.monotonic() + 1)
    assert not other.enter(time.monotonic() + 0.02)
    mine.leave()
    assert other.enter(time.monotonic() + 1)
    mine.close()
    other.close()


@only_sqlite
@pytest.mark.django_db(transaction=True)
def test_transactions_begin_in_turn() -> None:
    order: list[int] = []
    ended: list[str] = []

    def write(number: int) -> None:
        with atomic():
            order.append(number)
            DataSource.objects.create(name=f"T{number}")
        connections[alias()].close()

    with atomic():
        DataSource.objects.create(name="First")
        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda number=number: len(sqlite_writers._queue._waiting) == number + 1)
        # A nested transaction, and a thread that has the turn, wait for nobody.
        with atomic(), writing_in_turn(database()):
            ended.append("nested")
    for thread in threads:
        thread.join()
    assert order == list(range(6)) and ended == ["nested"]
    assert DataSource.objects.count() == 7


@only_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_writer_that_waits_too_long_is_told_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {**database().settings_dict.get("OPTIONS", {}), "timeout": 0.05}
    monkeypatch.setitem(database().settings_dict, "OPTIONS", options)
    assert sqlite_writers._queue.enter(1)
    try:
        with pytest.raises(Busy, match="locked by other writers"), atomic():
            pass
    finally:
        sqlite_writers._queue.leave()
    with pytest.raises(ValueError), atomic():
        raise ValueError
    with atomic():
        pass


def test_a_forked_process_has_a_queue_of_its_own() -> None:
    before = sqlite_writers._queue
    sqlite_writers._files["x"] = None
    try:
        sqlite_writers._forked()
        assert sqlite_writers._queue is not before and not sqlite_writers._files
    finally:
        sqlite_writers._files.pop("x", None)
