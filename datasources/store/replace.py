"""All entries of a data source except some: checked and deleted in pieces.

A bulk write without `append` replaces everything. The number of entries is unbounded, so they are
never all in memory, and no single statement handles all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

from ..catalog.registry import Source
from ..database.connection import connection, features
from ..models import Entry
from ..sql import Sql, concat
from ..values.codec import dumps
from .read import fetched
from .statements import TABLE, StoredEntry, by_id, of_source, run

# The number of rows that are in memory at a time.
PIECE = 2_000
# The most entries that one statement deletes; it takes far less than the statement time limit.
DELETED = 50_000


class Others(Sequence[dict[str, Any]]):
    """The rows of a data source's entries except those with the ids `kept`, as `{column: value}`.

    They are read from the database on each iteration. The caller holds the lock of the data source,
    so that they do not change until the transaction ends.
    """

    def __init__(self, source: Source, kept: Iterable[int], lock: bool) -> None:
        self._source = source
        self._kept = dumps(sorted(set(kept)))
        self._lock = lock
        self._count: int | None = None

    def __len__(self) -> int:
        if self._count is None:
            found = run(concat(f"SELECT count(*) FROM {TABLE} WHERE ", self._condition()))
            self._count = int(found[0][0])
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for entry in self._entries():
            yield entry.data

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        """Return one row, or a slice of the first rows."""
        if isinstance(at, slice):
            return list(islice(self, at.start, at.stop, at.step))
        for row in islice(self, at, None):
            return row
        raise IndexError(at)

    def ids(self) -> Iterator[int]:
        """Yield the ids of the entries, in ascending order."""
        last = 0
        while True:
            within, order = by_id(self._source.id, last=last)
            head, tail = f"SELECT id FROM {TABLE} WHERE ", f" ORDER BY {order} LIMIT {PIECE:d}"
            rows = run(concat(head, within, " AND ", self._not_kept(), tail))
            yield from (row[0] for row in rows)
            if len(rows) < PIECE:
                return
            last = rows[-1][0]

    def delete(self) -> None:
        """Delete the entries, and the sessions of the users who signed in with them."""
        condition = self._condition()
        for related in Entry._meta.related_objects:
            model = related.related_model
            table, column = model._meta.db_table, related.field.column
            head = f"SELECT id FROM {table} WHERE {column} IN (SELECT id FROM {TABLE} WHERE "
            found = run(concat(head, condition, ")"))
            ids = [row[0] for row in found]
            for start in range(0, len(ids), PIECE):
                model._base_manager.filter(pk__in=ids[start : start + PIECE]).delete()
        last: int | None = 0
        while last is not None:
            last = self._delete_first(last)
        self._count = 0

    def _delete_first(self, last: int) -> int | None:
        """Delete the first entries after the id `last`.

        Returns an id after which there are more entries, or None if there are none.
        """
        within, order = by_id(self._source.id, last=last)
        head, tail = f"SELECT id FROM {TABLE} WHERE ", f" ORDER BY {order} LIMIT"
        first = concat(head, within, " AND ", self._not_kept(), tail)
        with connection.cursor() as cursor:
            cursor.execute(*concat(f"DELETE FROM {TABLE} WHERE id IN (", first, f" {DELETED:d})"))
            if cursor.rowcount < DELETED:
                return None
        if features().defers_constraints:
            # If they stayed deferred, `COMMIT` would check them all within one statement's time.
            connection.check_constraints()
        found = run(concat(first, " 1"))
        return found[0][0] - 1 if found else None

    def _entries(self) -> Iterator[StoredEntry]:
        last = 0
        while True:
            piece = fetched(self._source, self._not_kept(), self._lock, PIECE, last)
            yield from piece.values()
            if len(piece) < PIECE:
                return
            last = max(piece)

    def _condition(self) -> Sql:
        return concat(of_source(self._source.id), " AND ", self._not_kept())

    def _not_kept(self) -> Sql:
        return Sql(f"id NOT IN ({features().ids_in_json})", (self._kept,))
