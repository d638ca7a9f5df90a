"""Turns for parsing long bodies: one thread at a time, piece by piece.

Parsing several at once would not be faster, because only one thread at a time runs Python, and
would delay the threads of short requests. A thread that has parsed a piece waits behind the others,
so that a body waits for one piece of each of them, not for all of it. The turns affect the order
only: after `PATIENCE`, a body is parsed without one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rowkeeper.datasources.database.queue import Queue

# Bytes of a piece from which on a body is long.
LONG = 16_384
# Seconds that a body waits for a turn.
PATIENCE = 1.0

_queue = Queue()


class _Reader:
    """Reads a body for its parser, which has a turn between two reads if the body is long."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._is_long, self._has_turn = read, False, False

    def read(self, size: int) -> bytes:
        """The next piece. No turn is held while it arrives, because a client can take its time to
        send.
        """
        self.leave()
        data = self._read(size)
        self._is_long = self._is_long or len(data) >= LONG
        if self._is_long:
            self._has_turn = _queue.enter(PATIENCE)
        return data

    def leave(self) -> None:
        """Give the turn back, if one is held."""
        if self._has_turn:
            self._has_turn = False
            _queue.leave()


@contextmanager
def in_turn(read: Callable[[int], bytes]) -> Iterator[Callable[[int], bytes]]:
    """The function that reads a body, for use with a parser."""
    reader = _Reader(read)
    try:
        yield reader.read
    finally:
        reader.leave()


def _forked() -> None:
    """Give a forked process turns of its own."""
    global _queue
    _queue = Queue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
