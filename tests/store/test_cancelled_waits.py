"""What is cancelled or cut is the wait that was looked at, not the next one of that thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rowkeeper.datasources.database import waiting


class Held:
    """A connection of the driver."""

    def wait(self, statement: Callable[[], None]) -> None:
        statement()


@pytest.mark.parametrize(("name", "seconds"), [("_cancel", 60), ("_shut", -1)])
def test_the_next_statement_is_left_alone(
    name: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_may_end, second_began = threading.Event(), threading.Event()
    running: list[str] = []
    hit: list[str] = []

    held = Held()
    watch = waiting.Watch()
    monkeypatch.setattr(watch, "start", lambda: None)
    monkeypatch.setattr(waiting, "watch", watch)
    monkeypatch.setattr(waiting, "setting", lambda key: seconds)
    monkeypatch.setattr(waiting, "_has_left", lambda client: True)

    def slow(database: Any) -> None:
        # The statement ends by itself just now.
        first_may_end.set()
        second_began.wait(0.3)
        hit.append(running[-1])

    monkeypatch.setattr(waiting, name, slow)
    waiting.bound(SimpleNamespace(connection=held))

    def first() -> None:
        running.append("first")
        first_may_end.wait(5)

    def second() -> None:
        running.append("second")
        second_began.set()

    def serve() -> None:
        waiting._serving.active, waiting._serving.client = True, SimpleNamespace()  # type: ignore[assignment]
        held.wait(first)
        held.wait(second)

    thread = threading.Thread(target=serve)
    thread.start()
    while not running:
        time.sleep(0.01)
    watch.look()
    thread.join(5)
    assert hit == ["first"]
    assert running == ["first", "second"]
