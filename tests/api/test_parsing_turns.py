"""Long bodies are parsed one at a time."""

from __future__ import annotations

from io import BytesIO
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from rowkeeper.datasources.values import bulk
from rowkeeper.datasources.values.bulk import Limits, _Turns, loads_bulk

LIMITS = Limits(100_000, 1_000_000, 1_000_000)


def parse_at_once(bodies: list[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of the bodies were being parsed at the same time, at most."""
    under_way = most = 0
    scan = bulk.scan_once

    def counted(text: str, at: int) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        sleep(0.002)
        under_way -= 1
        return scan(text, at)

    monkeypatch.setattr(bulk, "scan_once", counted)
    threads = [Thread(target=loads_bulk, args=(BytesIO(body).read, LIMITS)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return most


def test_long_bodies_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"entries":[' + b",".join([b'{"Name":"a"}'] * 30_000) + b"]}"
    assert parse_at_once([body] * 6, monkeypatch) == 1


def test_short_bodies_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"entries":[' + b",".join([b'{"Name":"a"}'] * 10) + b"]}"
    assert parse_at_once([body] * 6, monkeypatch) > 1


def test_a_client_that_takes_its_time_to_send_keeps_nobody_waiting() -> None:
    sent, asked = Event(), Event()
    parts = [b'{"entries":[' + b'{"Name":"a"},' * 4_000, b'{"Name":"a"}]}']

    def slow(size: int) -> bytes:
        if len(parts) == 1:
            asked.set()
            sent.wait(20)
        return parts.pop(0) if parts else b""

    thread = Thread(target=loads_bulk, args=(slow, LIMITS))
    thread.start()
    assert asked.wait(20)
    body = b'{"entries":[' + b",".join([b'{"Name":"a"}'] * 4_000) + b"]}"
    assert len(loads_bulk(BytesIO(body).read, LIMITS)["entries"]) == 4_000
    sent.set()
    thread.join(20)


@pytest.mark.parametrize("end", [b"]", b"\xff]}", b'{"Name":}]}', b"{}]} "])
def test_the_turn_is_given_back_whatever_is_wrong(end: bytes) -> None:
    body = b'{"entries":[' + b'{"Name":"a"},' * 4_000 + end
    for _ in range(2):
        try:
            loads_bulk(BytesIO(body).read, LIMITS)
        except Exception as error:
            assert "the body" in str(error)


def test_the_one_that_began_first_goes_first() -> None:
    turns, order = _Turns(), list[int]()
    first, second = turns.take(None), 0
    turns.give()
    second = turns.take(None)
    turns.give()
    held = turns.take(None)

    def parse(number: int) -> None:
        order.append(turns.take(number))
        turns.give()

    threads = [Thread(target=parse, args=(number,)) for number in (second, first)]
    for thread in threads:
        thread.start()
        while len(turns._waiting) < threads.index(thread) + 1:
            sleep(0.001)
    turns.give()
    for thread in threads:
        thread.join(20)
    assert order == [first, second] and held > second


def test_who_is_interrupted_leaves_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = _Turns()
    turns.take(None)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(turns._changed, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns.take(None)
    turns.give()
    assert turns.take(None) == 2
