"""In-memory statistics of earlier reads. They affect speed only.

They record which attempt found the rows of a where, which index is the narrowest, and for which
columns a lookup found too many rows. A value is checked again after `USES` reads, because rows come
and go.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256
from typing import TypeVar

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


class Memory(Cache[Key, tuple[Value, int]]):
    """Values by key, each of which is good for so many uses."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name, MAX_KEPT)

    def recall(self, key: Key) -> tuple[Value, bool] | None:
        """The value, and whether it is due to be checked again; None if there is none."""
        found = self.get(key)
        return None if found is None else (found[0], found[1] <= 0)

    def use(self, key: Key) -> None:
        """Count a read for which the value was right."""
        self.replace(key, lambda found: (found[0], found[1] - 1))

    def record(self, key: Key, value: Value) -> None:
        """Store a value that is good for the next `USES` reads."""
        self.put(key, (value, USES))


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
