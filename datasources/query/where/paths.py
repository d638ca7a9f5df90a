"""The values that a path leads to. Lists are expanded along the way and at the end, as in sift.

`rowkeeper_walk` does this in SQL: it is in `indexes.postgresql_functions` for PostgreSQL, and in
`compiler.sqlite_functions` for SQLite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final


class Missing:
    """The value of a column that a row does not have."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
_INDEX = re.compile(r"[0-9]+\Z")


def end_values(item: Any, path: tuple[str, ...], at: int = 0) -> Iterator[Any]:
    """Yield the values at the end of a path as they are: only lists along the way are expanded."""
    if at == len(path):
        yield item
    elif item.__class__ is list and _INDEX.match(path[at]) is None:
        for member in item:
            yield from end_values(member, path, at)
    elif item is None or item is MISSING:
        yield MISSING
    else:
        yield from end_values(_step(item, path[at]), path, at + 1)


def values_at(item: Any, path: tuple[str, ...], at: int = 0) -> Iterator[Any]:
    """Yield each value at the end of `path`: first the members of a list, then the list itself.

    A path that ends early yields `MISSING`. A key of digits is a position in a list; any other key
    applies to each member of the list, not to the list itself.
    """
    end = at == len(path)
    if item.__class__ is list and (end or _INDEX.match(path[at]) is None):
        for member in item:
            yield from values_at(member, path, at)
        if not end:
            return
    if end:
        yield item
    elif item is None or item is MISSING:
        yield MISSING
    else:
        yield from values_at(_step(item, path[at]), path, at + 1)


def _step(item: Any, key: str) -> Any:
    if item.__class__ is dict:
        return item.get(key, MISSING)
    if item.__class__ is list and _INDEX.match(key) and (key == "0" or key[0] != "0"):
        return item[int(key)] if len(key) < 10 and int(key) < len(item) else MISSING
    return MISSING
