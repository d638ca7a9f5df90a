"""A queue in which the threads of a process wait for a turn."""

from __future__ import annotations

import threading
from collections import deque


class Queue:
    """A lock that one thread holds at a time: first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def enter(self, seconds: float) -> bool:
        """Wait for the turn; return whether it came within this many seconds."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        try:
            came = mine.wait(seconds)
        except BaseException:
            if not self._withdraw(mine):
                self.leave()
            raise
        return came or not self._withdraw(mine)

    def _withdraw(self, mine: threading.Event) -> bool:
        """Stop waiting, unless the turn has just come; return whether it has not."""
        with self._lock:
            if mine.is_set():
                return False
            self._waiting.remove(mine)
        return True

    def leave(self) -> None:
        """Pass the turn to the thread that has waited the longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
