"""In-memory statistics of earlier reads. They affect speed only.

They record which attempt found the rows of a where, which index is the narrowest, and for which
columns a lookup found too many rows. A value is checked again after `USES` reads, because rows come
and go.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256
from typing import Generic, TypeVar

from ..caching import Cache
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
    """Values by key, each of which is good for so many uses."""

    def __init__(self, name: str = "") -> None:
        self._cache: Cache[Key, tuple[Value, int]] = Cache(name, MAX_KEPT)

    def get(self, key: Key) -> tuple[Value, bool] | None:
        """The value, and whether it is due to be checked again; None if there is none."""
        found = self._cache.get(key)
        return None if found is None else (found[0], found[1] <= 0)

    def use(self, key: Key) -> None:
        """Count a read for which the value was right."""
        self._cache.replace(key, lambda found: (found[0], found[1] - 1))

    def put(self, key: Key, value: Value) -> None:
        """Store a value that is good for the next `USES` reads."""
        self._cache.put(key, (value, USES))

    def drop(self, key: Key) -> None:
        """Remove a value, if there is one."""
        self._cache.forget(key)

    def clear(self) -> None:
        """Remove everything."""
        self._cache.clear()

    def values(self) -> list[Value]:
        """The values, the least recently used first."""
        return [value for value, _ in self._cache.values()]

    def __len__(self) -> int:
        return len(self._cache)


# The number of the attempt that found the rows of a where in an order.
attempts: Memory[int] = Memory("attempts of wheres")
# The name of the narrowest index of a where.
narrowest: Memory[str] = Memory("narrowest indexes")
# Columns for which a lookup of some value has found too many rows.
common: Memory[bool] = Memory("columns with common values")


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
