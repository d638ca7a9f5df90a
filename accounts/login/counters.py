"""Counters for a window of time, in the cache that all processes share.

Each change is one atomic operation of the cache. A read followed by a write would lose what
other requests count at the same moment.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.errors import Busy

logger = logging.getLogger("rowkeeper.accounts")
_T = TypeVar("_T")


def now() -> float:
    """The time in seconds since 1970."""
    return time.time()


def key_of(kind: str, who: str, window: int) -> str:
    """The key of a counter in the current window of `window` seconds.

    It contains a digest, since an address may contain characters that cache keys may not.
    """
    hashed = hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()
    return f"rowkeeper:{kind}:{hashed}:{int(now() // window)}"


def seconds_left(window: int) -> int:
    """The seconds until the current window ends, at least 1."""
    return int(window - now() % window) + 1


def increment(key: str, window: int, by: int = 1) -> int:
    """Add to a counter, and return its new value.

    Raises `Busy` if the cache does not answer or does not count.
    """

    def work(cache: BaseCache) -> int | None:
        for _ in range(3):
            if cache.add(key, by, window):
                return by
            try:
                return cache.incr(key, by)
            except ValueError:
                # The counter expired between the two calls.
                continue
        return None

    value = _in_cache(work)
    # Some backends swallow errors of their server, and then return None.
    if value.__class__ is not int or value is None:
        logger.error("The cache %r does not count: its server may be down.", setting("CACHE"))
        raise _busy()
    return value


def decrement(key: str) -> None:
    """Subtract one from a counter if it still exists. Never raises: the window ends anyway."""

    def work(cache: BaseCache) -> None:
        cache.decr(key)

    _quietly(work)


def reset(key: str) -> None:
    """Remove a counter. Never raises: the window ends anyway."""

    def work(cache: BaseCache) -> None:
        cache.delete(key)

    _quietly(work)


def _quietly(work: Callable[[BaseCache], None]) -> None:
    try:
        _in_cache(work)
    except (Busy, ValueError):
        # A `ValueError` means that the counter has expired.
        return


def _in_cache(work: Callable[[BaseCache], _T]) -> _T:
    """The result of `work`. Raises `Busy` for any error of the cache's client but ValueError."""
    try:
        return work(caches[setting("CACHE")])
    except ValueError:
        raise
    except Exception as error:
        # Each client library has its own exceptions.
        logger.error("The cache %r failed: %s", setting("CACHE"), error or type(error).__name__)
        raise _busy() from error


def _busy() -> Busy:
    return Busy("sign-ins cannot be counted at the moment; try again later")
