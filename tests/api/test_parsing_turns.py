"""Long bodies are parsed by one thread at a time."""

from __future__ import annotations

import time
from io import BytesIO
from threading import Event, Thread
from typing import Any

import pytest

from rowkeeper.datasources.database.queue import Queue
from rowkeeper.datasources.values import bulk
from rowkeeper.datasources.values.bulk import Limits, loads_bulk
from rowkeeper.rules.api import parsing_turns
from rowkeeper.rules.api.parsing_turns import in_turn

LIMITS = Limits(100_000, 1_000_000, 1_000_000)


def body_of(rows: int, end: bytes = b"]}") -> bytes:
    return b'{"entries":[' + b",".join([b'{"Name":"a"}'] * rows) + end


def parse(body: bytes) -> Any:
    with in_turn(BytesIO(body).read) as read:
        return loads_bulk(read, LIMITS)


def parse_at_once(bodies: list[bytes], monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[int]]:
    """How many of the bodies were being parsed at the same time, at most, and the lengths of the
    bodies in the order in which they were done.
    """
    under_way = most = 0
    done: list[int] = []
    scan = bulk.scan_once

    def counted(text: str, at: int) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.002)
        under_way -= 1
        return scan(text, at)

    def run(body: bytes) -> None:
        parse(body)
        done.append(len(body))

    monkeypatch.setattr(bulk, "scan_once", counted)
    threads = [Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return most, done


def test_long_bodies_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing_turns, "PATIENCE", 20.0)
    assert parse_at_once([body_of(30_000)] * 6, monkeypatch)[0] == 1


def test_short_bodies_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_at_once([body_of(10)] * 6, monkeypatch)[0] > 1


def test_a_body_waits_for_pieces_of_others_and_not_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever sends the longest bodies does not come first because they began first."""
    monkeypatch.setattr(parsing_turns, "PATIENCE", 20.0)
    long, short = body_of(90_000), body_of(2_000)
    _, done = parse_at_once([long, long, long, short], monkeypatch)
    assert done[0] == len(short) > parsing_turns.LONG


def test_who_has_waited_for_long_goes_on_without_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing_turns, "PATIENCE", 0.05)
    assert parsing_turns._queue.enter(0)
    try:
        assert len(parse(body_of(2_000))["entries"]) == 2_000
    finally:
        parsing_turns._queue.leave()
    assert parsing_turns._queue.enter(0)
    parsing_turns._queue.leave()


def test_a_client_that_takes_its_time_to_send_keeps_nobody_waiting() -> None:
    sent, asked = Event(), Event()
    parts = [b'{"entries":[' + b'{"Name":"a"},' * 4_000, b'{"Name":"a"}]}']

    def slow(size: int) -> bytes:
        if len(parts) == 1:
            asked.set()
            sent.wait(20)
        return parts.pop(0) if parts else b""

    def run() -> None:
        with in_turn(slow) as read:
            loads_bulk(read, LIMITS)

    thread = Thread(target=run)
    thread.start()
    assert asked.wait(20)
    assert parsing_turns._queue.enter(0)
    parsing_turns._queue.leave()
    sent.set()
    thread.join(20)


@pytest.mark.parametrize("end", [b"]", b"\xff]}", b',{"Name":}]}', b",{}]} x"])
def test_the_turn_is_given_back_whatever_is_wrong(end: bytes) -> None:
    with pytest.raises(Exception, match="the body"):
        parse(body_of(4_000, end))
    assert parsing_turns._queue.enter(0)
    parsing_turns._queue.leave()


def test_a_forked_process_has_turns_of_its_own() -> None:
    assert parsing_turns._queue.enter(0)
    parsing_turns._forked()
    assert parsing_turns._queue.enter(0)
    parsing_turns._queue.leave()


@pytest.mark.parametrize("is_late", [False, True])
def test_who_is_interrupted_leaves_no_place(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the turn has not come yet, or comes in the same moment."""
    queue = Queue()
    assert queue.enter(0)

    def interrupted(event: Event, timeout: float | None = None) -> bool:
        if is_late:
            queue.leave()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.enter(1)
    if not is_late:
        queue.leave()
    assert queue.enter(0)
