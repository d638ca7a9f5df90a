"""Every cache of the process: bounded, counted, and cleared by one call.

A cache affects speed only. What is cached is checked against its origin by the one who caches it:
see "Caches" in `docs/development/architecture.md`. What runs in the workers of scripts is another
program, with a cache of its own.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Owner = TypeVar("Owner", bound=Hashable)
Result = TypeVar("Result")


class Clearable(Protocol):
    """A cache, by its bound and what is in it."""

    @property
    def maxsize(self) -> int:
        """The most values that it holds."""

    def clear(self) -> None:
        """Remove everything."""

    def hits_and_misses(self) -> tuple[int, int]:
        """How many look-ups found a value, and how many did not."""

    def __len__(self) -> int:
        """How many values it holds."""


_caches: dict[str, Clearable] = {}


def caches() -> dict[str, Clearable]:
    """The caches by name."""
    return dict(_caches)


def clear_all() -> None:
    """Remove everything from every cache."""
    for one in _caches.values():
        one.clear()


def _renew_locks() -> None:
    for one in _caches.values():
        if isinstance(one, Cache | OwnedCache):
            one.renew_lock()


os.register_at_fork(after_in_child=_renew_locks)


class Cache(Generic[Key, Value]):
    """Values by key; of more than `maxsize`, the least recently used are removed.

    Several threads may use it. Without a name it is not listed in `caches`.
    """

    def __init__(self, name: str, maxsize: int) -> None:
        self.maxsize = maxsize
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()
        self._hits = self._misses = 0
        if name:
            _caches[name] = self

    def get(self, key: Key) -> Value | None:
        """The value of a key, or None."""
        # Without the lock: each of these steps is atomic, and most look-ups find a value.
        value = self._values.get(key)
        if value is None:
            self._misses += 1
            return None
        self._hits += 1
        # Another thread may have removed it. Faster than `contextlib.suppress`, on every request.
        try:  # noqa: SIM105
            self._values.move_to_end(key)
        except KeyError:
            pass
        return value

    def put(self, key: Key, value: Value) -> None:
        """Store a value, as the most recently used one."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            while len(self._values) > self.maxsize:
                self._values.popitem(last=False)

    def replace(self, key: Key, change: Callable[[Value], Value]) -> None:
        """Change the value of a key, if there is one."""
        with self._lock:
            if key in self._values:
                self._values[key] = change(self._values[key])

    def forget(self, key: Key) -> None:
        """Remove the value of a key, if there is one."""
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._values.clear()

    def hits_and_misses(self) -> tuple[int, int]:
        """How many look-ups found a value, and how many did not."""
        return self._hits, self._misses

    def values(self) -> list[Value]:
        """The values, the least recently used first."""
        with self._lock:
            return list(self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def renew_lock(self) -> None:
        """For a forked process, whose parent had a thread that held the lock."""
        self._lock = Lock()


class OwnedCache(Generic[Owner, Key, Value]):
    """Values by an owner and a key; they are dropped with their owner.

    `owners`: of so many at most there are values. `of_each`: so many values an owner has. The
    oldest make room.
    """

    def __init__(self, name: str, owners: int, of_each: int) -> None:
        self.owners, self.of_each = owners, of_each
        self._of: WeakKeyDictionary[Owner, dict[Key, Value]] = WeakKeyDictionary()
        self._lock = Lock()
        self._hits = self._misses = 0
        if name:
            _caches[name] = self

    @property
    def maxsize(self) -> int:
        """The most values that it holds."""
        return self.owners * self.of_each

    def get(self, owner: Owner, key: Key) -> Value | None:
        """The value of a key, or None."""
        with self._lock:
            of_this = self._of.get(owner)
            value = None if of_this is None else of_this.get(key)
        if value is None:
            self._misses += 1
        else:
            self._hits += 1
        return value

    def put(self, owner: Owner, key: Key, value: Value) -> None:
        """Store a value."""
        with self._lock:
            of_this = self._of.setdefault(owner, {})
            of_this[key] = value
            if len(of_this) > self.of_each:
                del of_this[next(iter(of_this))]
            while len(self._of) > self.owners:
                self._of.pop(next(iter(self._of)), None)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._of.clear()

    def hits_and_misses(self) -> tuple[int, int]:
        """How many look-ups found a value, and how many did not."""
        return self._hits, self._misses

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._of.values()))

    def renew_lock(self) -> None:
        """For a forked process, whose parent had a thread that held the lock."""
        self._lock = Lock()


class _Results:
    """The results of a function that `memoize` wraps."""

    def __init__(self, function: Any) -> None:
        self._function = function

    @property
    def maxsize(self) -> int:
        return int(self._function.cache_info().maxsize)

    def clear(self) -> None:
        self._function.cache_clear()

    def hits_and_misses(self) -> tuple[int, int]:
        info = self._function.cache_info()
        return info.hits, info.misses

    def __len__(self) -> int:
        return int(self._function.cache_info().currsize)


def memoize(
    maxsize: int, name: str = ""
) -> Callable[[Callable[..., Result]], _lru_cache_wrapper[Result]]:
    """A decorator: the last `maxsize` results of a function are kept by its arguments.

    `name`: of the cache; by default that of the function.
    """

    def wrap(function: Callable[..., Result]) -> _lru_cache_wrapper[Result]:
        wrapped = lru_cache(maxsize=maxsize)(function)
        _caches[name or f"{function.__module__}.{function.__qualname__}"] = _Results(wrapped)
        return wrapped

    return wrap
