"""Which scripts break their limits again and again: those get a worker after all others.

One record a process, bounded, in memory. A strike loses half of its weight every few minutes, so
that a script that was mended, or that somebody provoked once, is soon treated as any other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from hashlib import sha256
from typing import Final

logger = logging.getLogger("rowkeeper.scripts")

HALF_LIFE_SECONDS: Final = 300.0
# The weight from which on a script is put last: three breaches soon after one another.
ENOUGH: Final = 2.5
# No script weighs more: at most a quarter of an hour after its last breach it is forgiven.
MOST: Final = 20.0
MAX_SCRIPTS: Final = 1_000

_Key = tuple[int | None, bytes]


class Strikes:
    """The weight of the breaches of each script, by its data source and its text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Weight, and when it had that weight.
        self._found: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def add(self, source_id: int | None, script: str) -> None:
        """The script has broken a limit. Without a data source nothing is noted."""
        if source_id is None:
            return
        key, now = _key(source_id, script), time.monotonic()
        with self._lock:
            before = self._weight(key, now)
            after = min(before + 1.0, MOST)
            self._found[key] = after, now
            self._found.move_to_end(key)
            if len(self._found) > MAX_SCRIPTS:
                self._found.popitem(last=False)
        if before < ENOUGH <= after:
            logger.warning(
                "a script of data source %s (SHA-256 %s) broke its limits again and again; it runs "
                "only when no other script needs the worker",
                source_id,
                key[1].hex()[:16],
            )

    def is_last(self, source_id: int | None, script: str) -> bool:
        """Whether the script is put behind all others."""
        if not self._found:
            return False
        with self._lock:
            return self._weight(_key(source_id, script), time.monotonic()) >= ENOUGH

    def clear(self) -> None:
        """Forget everything: in a forked process, and between tests."""
        self._lock = threading.Lock()
        self._found = OrderedDict()

    def _weight(self, key: _Key, now: float) -> float:
        weight, since = self._found.get(key, (0.0, now))
        return float(weight * 0.5 ** ((now - since) / HALF_LIFE_SECONDS))


def _key(source_id: int | None, script: str) -> _Key:
    return source_id, sha256(script.encode("utf-8", "surrogatepass")).digest()


strikes: Final = Strikes()
