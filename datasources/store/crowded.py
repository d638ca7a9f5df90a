"""Wheres that more rows fit than are sorted: next time they are read in their order at once,
without a look into an index. It is in memory, and decides speed alone.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from ..sources import Source
from ..where import Node
from ..where.sql import where_sql
from .database import dialect

# The last ones that were found to be so.
_wheres: OrderedDict[tuple[int, bytes], None] = OrderedDict()
_MAX = 10_000


def is_crowded(source: Source, where: Node) -> bool:
    """Whether more rows fitted it than are sorted, when it was last read."""
    return bool(_wheres) and _key(source, where) in _wheres


def note_crowded(source: Source, where: Node, crowded: bool) -> None:
    """Note what a read has shown."""
    if not crowded:
        _wheres.pop(_key(source, where), None)
        return
    _wheres[_key(source, where)] = None
    if len(_wheres) > _MAX:
        _wheres.popitem(last=False)


def _key(source: Source, where: Node) -> tuple[int, bytes]:
    """A digest, because the values are a client's, and up to a megabyte of them."""
    sql = where_sql(where, dialect())
    return (source.id, sha256(f"{sql.text}\0{sql.params!r}".encode()).digest())
