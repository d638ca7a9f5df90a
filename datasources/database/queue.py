"""A queue in which the threads of a process wait for a turn."""

from __future__ import annotations

import threading
from collections import deque


class Queue:
    """One thread at a time has the turn: first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def enter(self, seconds: float) -> bool:
        """Wait for the turn; whether it came within so many seconds."""
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
        """Wait no longer, unless the turn has come just now."""
        with self._lock:
            if mine.is_set():
                return False
            self._waiting.remove(mine)
        return True

    def leave(self) -> None:
        """Give the turn to the one who has waited for the longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
