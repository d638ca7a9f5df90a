"""Turns: those who wait for one hold few threads, for a short time, and in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import override_settings

from datasources import waiting
from datasources.errors import Busy

ONE: dict[object, int] = {"key": 1}
STUCK: dict[object, int] = {"stuck": 1}


@pytest.fixture(autouse=True)
def _few_threads() -> Iterator[None]:
    with override_settings(ROWKEEPER={"HELD_THREADS": 4}):
        yield
    assert not waiting._taken
    assert not waiting._waiters


def test_writers_of_one_source_leave_threads_to_its_neighbors() -> None:
    """A pool of 8 threads: many short writes of one source wait, and others are served soon."""
    end = time.monotonic() + 2.5
    served = 0

    def write() -> None:
        try:
            with waiting.turn("source", "much"):
                time.sleep(0.13)
        except Busy:
            time.sleep(0.01)

    def keep_writing(pool: ThreadPoolExecutor) -> None:
        while time.monotonic() < end:
            pool.submit(write).result()

    slowest = 0.0
    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(30) as clients:
        for _ in range(30):
            clients.submit(keep_writing, pool)
        time.sleep(0.2)
        while time.monotonic() < end - 0.5:
            began = time.monotonic()
            pool.submit(int).result()
            slowest = max(slowest, time.monotonic() - began)
            served += 1
            time.sleep(0.05)
    assert served > 5
    assert slowest < 0.5


def test_few_wait_and_the_others_are_refused_at_once() -> None:
    waiting.take(ONE, "much")

    def ask() -> tuple[float, bool]:
        began = time.monotonic()
        try:
            waiting.take(ONE, "much")
        except Busy:
            return time.monotonic() - began, False
        waiting.give(ONE)
        return time.monotonic() - began, True

    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask) for _ in range(12)]
        time.sleep(0.2)
        waiting.give(ONE)
        answers = [done.result() for done in asked]
    # Half of the 4.
    assert sum(got for _, got in answers) == 2
    assert max(took for took, got in answers if not got) < 0.15


def test_turns_are_given_in_order_and_a_newcomer_does_not_overtake() -> None:
    waiting.take(ONE, "much")
    order: list[int] = []

    def ask(number: int) -> None:
        waiting.take(ONE, "much")
        order.append(number)
        waiting.give(ONE)

    with override_settings(ROWKEEPER={"HELD_THREADS": 20}), ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(ask, number)
            time.sleep(0.02)
        waiting.give(ONE)
        # The turn belongs to the first waiter by now, whether it has woken up or not.
        ask(8)
    assert order == list(range(9))


def test_nobody_waits_longer_than_the_limit_while_turns_move() -> None:
    """A key whose turns move all the time, but never to this waiter: it waits for another too."""
    both: dict[object, int] = {"key": 1, "stuck": 1}
    waiting.take(STUCK, "much")
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            with waiting._turns:
                waiting._moved["stuck"] = time.monotonic()
            time.sleep(0.02)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        began = time.monotonic()
        with pytest.raises(Busy):
            waiting.take(both, "much")
        took = time.monotonic() - began
    finally:
        stop.set()
        mover.join()
        waiting.give(STUCK)
    assert waiting.PATIENCE < took < waiting.LONGEST + 0.5


def test_one_key_that_is_full_does_not_hold_up_those_who_need_another() -> None:
    first: dict[object, int] = {"all": 4, "first": 1}
    second: dict[object, int] = {"all": 4, "second": 1}
    waiting.take(first, "much")
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(waiting.take, first, "much")
        time.sleep(0.05)
        began = time.monotonic()
        waiting.take(second, "much")
        assert time.monotonic() - began < 0.2
        waiting.give(second)
        waiting.give(first)
        stuck.result()
        waiting.give(first)
