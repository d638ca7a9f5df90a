"""Scripts that break their limits repeatedly: they get a worker after all others.

Kept in memory for each process, and bounded. A strike loses half of its weight every few minutes,
so that a script that was fixed, or provoked only once, soon has no disadvantage.
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
# The weight from which a script goes last: three breaches in quick succession.
ENOUGH: Final = 2.5
# The largest weight: a script is forgiven at most a quarter of an hour after its last breach.
MOST: Final = 20.0
MAX_SCRIPTS: Final = 1_000

_Key = tuple[int | None, bytes]


class Strikes:
    """The weight of each script's breaches, by its data source and text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # (weight, when it had that weight).
        self._found: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def add(self, source_id: int | None, script: str) -> None:
        """Record that a script has broken a limit. Ignored without a data source."""
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
                "a script of data source %s (SHA-256 %s) repeatedly broke its limits; it now "
                "runs only when no other script needs the worker",
                source_id,
                key[1].hex()[:16],
            )

    def is_last(self, source_id: int | None, script: str) -> bool:
        """Whether the script goes last."""
        if not self._found:
            return False
        with self._lock:
            return self._weight(_key(source_id, script), time.monotonic()) >= ENOUGH

    def clear(self) -> None:
        """Drop everything: in a forked process, and between tests."""
        self._lock = threading.Lock()
        self._found = OrderedDict()

    def _weight(self, key: _Key, now: float) -> float:
        weight, since = self._found.get(key, (0.0, now))
        return float(weight * 0.5 ** ((now - since) / HALF_LIFE_SECONDS))


def _key(source_id: int | None, script: str) -> _Key:
    return source_id, sha256(script.encode("utf-8", "surrogatepass")).digest()


strikes: Final = Strikes()
