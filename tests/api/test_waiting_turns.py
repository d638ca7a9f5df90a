"""Turns: those who wait for one hold few threads, for a short time, and in order."""

from __future__ import annotations

import runpy
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.test import override_settings

from project import serve
from rowkeeper.datasources.database import waiting
from rowkeeper.datasources.errors import Busy

ONE: dict[object, int] = {"key": 1}
STUCK: dict[object, int] = {"stuck": 1}


@pytest.fixture(autouse=True)
def _few_threads() -> Iterator[None]:
    with override_settings(ROWKEEPER={"HELD_THREADS": 8}):
        yield
    assert not waiting._taken
    assert not waiting._waiters


def refused_or_held(
    source_id: int, until: threading.Event, entered: threading.Semaphore | None = None
) -> bool:
    """Hold a writer's turn until an event; whether there was one."""
    try:
        with waiting.writers_turn(source_id):
            if entered is not None:
                entered.release()
            until.wait(30)
    except Busy:
        return False
    return True


@pytest.mark.parametrize("threads", [2, 3, 4, 6, 8, 16])
def test_writers_and_long_answers_leave_a_thread_to_reads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers of three data sources wait for locks, and clients do not read their answers."""
    served(threads, monkeypatch)
    end = threading.Event()

    def send() -> bool:
        shares: dict[object, int] = {"send": max(1, threads // 2)}
        try:
            waiting.take(shares, "much")
        except Busy:
            return False
        end.wait(30)
        waiting.give(shares)
        return True

    with ThreadPoolExecutor(threads) as pool:
        try:
            held = [pool.submit(refused_or_held, n % 3, end) for n in range(threads)]
            held += [pool.submit(send) for _ in range(threads)]
            held += [pool.submit(refused_or_held, n % 3, end) for n in range(threads)]
            # A read, behind all of them.
            assert pool.submit(int).result(10) == 0
        finally:
            end.set()
        answers = [done.result() for done in held]
    assert 0 < sum(answers) < len(answers)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8, 16])
def test_writers_of_one_source_leave_turns_to_those_of_others(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(threads, monkeypatch)
    end, entered = threading.Event(), threading.Semaphore(0)
    with ThreadPoolExecutor(threads) as pool:
        stuck = [pool.submit(refused_or_held, 1, end, entered) for _ in range(threads)]
        for _ in range(threads // 2 if threads > 7 else 1):
            assert entered.acquire(timeout=10)
        try:
            with waiting.writers_turn(2):
                assert threads > 3
        except Busy:
            assert threads <= 3
        finally:
            end.set()
        assert any(done.result() for done in stuck)


def test_eight_writers_of_one_source_are_not_refused_by_the_server_of_make_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served(serve.THREADS, monkeypatch)
    end, entered = threading.Event(), threading.Semaphore(0)
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(refused_or_held, 1, end, entered) for _ in range(8)]
        for _ in range(8):
            assert entered.acquire(timeout=10)
        end.set()
        assert all(done.result() for done in held)


def test_more_writers_wait_for_as_long_as_turns_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served(8, monkeypatch)
    monkeypatch.setattr(waiting, "QUICK", 10.0)
    monkeypatch.setattr(waiting, "LONGEST", 30.0)
    short = threading.Event()
    short.set()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: refused_or_held(1, short), range(200)))


def test_those_who_would_take_the_threads_of_reads_do_not_wait_for_what_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served(8, monkeypatch)
    monkeypatch.setattr(waiting, "LONGEST", 30.0)
    end, entered = threading.Event(), threading.Semaphore(0)
    with ThreadPoolExecutor(12) as pool:
        try:
            held = [pool.submit(refused_or_held, 1, end, entered) for _ in range(4)]
            for _ in range(4):
                assert entered.acquire(timeout=10)
            # One of them waits in patience.
            others = [pool.submit(refused_or_held, 1, end) for _ in range(5)]
            while sum(done.done() for done in others) < 4:
                time.sleep(0.01)
        finally:
            end.set()
        assert all(done.result() for done in held)
        assert sorted(done.result() for done in others) == [False] * 4 + [True]


def test_a_thread_with_a_turn_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    served(1, monkeypatch)
    with waiting.writers_turn(1), waiting.writers_turn(2):
        assert waiting._taken[waiting.WRITING] == 1


def served(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say that so many threads answer requests, as a server does."""
    monkeypatch.setattr(waiting, "_of_server", waiting._Server())
    waiting.served_by(threads)
    monkeypatch.setattr(settings, "ROWKEEPER", {"HELD_THREADS": None})
    assert waiting.threads() == threads


def test_gunicorn_says_how_many_threads_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    served(8, monkeypatch)
    says = runpy.run_path("gunicorn.conf.py")["post_worker_init"]
    config = SimpleNamespace(threads=3)
    says(SimpleNamespace(tpool=None, cfg=config))
    assert waiting.threads() == 8
    says(SimpleNamespace(tpool=object(), cfg=config))
    assert waiting.threads() == 3


def test_turns_are_given_in_order_and_a_newcomer_does_not_overtake() -> None:
    waiting.take(ONE, "much")
    order: list[int] = []

    def ask(number: int) -> None:
        waiting.take(ONE, "much")
        order.append(number)
        waiting.give(ONE)

    with override_settings(ROWKEEPER={"HELD_THREADS": 40}), ThreadPoolExecutor(8) as pool:
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
    assert waiting.LONGEST * 0.9 < took < waiting.LONGEST + 0.5


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
