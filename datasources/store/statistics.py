"""In-memory statistics of earlier reads. They affect speed only.

They record which attempt found the rows of a where, which index is the narrowest, and for which
columns a lookup found too many rows. A value is checked again after `USES` reads, because rows come
and go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

from ..catalog.registry import Source
from ..compiler.where import where_sql
from ..query.select import OrderTerm
from ..query.where import Node
from .statements import dialect

USES = 16
# The most values in each memory.
MAX_KEPT = 10_000
Key = tuple[Hashable, ...]
Value = TypeVar("Value")


class Memory(Generic[Value]):
    """A bounded table of values by key; the least recently stored value is dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> tuple[Value, bool] | None:
        """Return (value, whether it is due to be checked again), or None if there is no value."""
        found = self._kept.get(key)
        return None if found is None else (found[0], found[1] <= 0)

    def use(self, key: Key) -> None:
        """Count a read for which the value was right."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept[key] = (found[0], found[1] - 1)

    def put(self, key: Key, value: Value) -> None:
        """Store a value for the next `USES` reads."""
        # Another thread may drop the key between two of these steps.
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (value, USES)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Remove a value if there is one."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


# The number of the attempt that found the rows of a where in an order.
attempts: Memory[int] = Memory()
# The name of the narrowest index of a where.
narrowest: Memory[str] = Memory()
# Columns for which a lookup of some value has found too many rows.
common: Memory[bool] = Memory()


def clear() -> None:
    """Remove all statistics."""
    for memory in (attempts, narrowest, common):
        memory.clear()


def key_of(
    source: Source, where: Node, order: Sequence[OrderTerm] = (), behind: bool = False
) -> Key:
    """Return the key of a where: a digest, because its values can be up to a megabyte long.

    `behind`: the request has a cursor. Rows behind it can be distributed in another way.
    """
    sql = where_sql(where, dialect())
    digest = sha256(f"{sql.text}\0{sql.params!r}".encode()).digest()
    return (source.id, digest, tuple(order[:1]), behind)
