"""The look-ups of `DataSources(…)` in a script. Rules do not apply; the writer's permissions do.

A script can only read data sources that its writer may read in the admin, and no passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Busy, Malformed
from rowkeeper.datasources.permissions.by_user_id import has_any
from rowkeeper.datasources.query.where import Node, parse_where
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable, problem_with_text

from ..engine.columns import Columns
from ..sandbox import LookupFailed, Lookups

# Either of these permissions lets a user see entries in the admin.
SEEING = ("view", "change")
NOBODY = (
    "the writer of this script is unknown, so it cannot look anything up; a user who changes "
    "its text and saves it becomes its writer"
)


class LookupsOf:
    """The look-ups of a script for one request, with its writer's permissions.

    `writer_id`: the Django user who wrote the script; None if unknown. All look-ups fail then.
    Permissions are checked once a request; rows are read each time.
    """

    def __init__(self, writer_id: int | None) -> None:
        self._writer_id = writer_id
        self._readable: dict[int, bool] = {}

    def find(
        self,
        reference: int | str,
        where: dict[str, Any],
        limit: int,
        offset: int,
        seconds_left: float,
    ) -> list[dict[str, Any]]:
        """The matching entries as `{"id", "data"}`, ordered by id. Raises `LookupFailed`."""
        with _described(seconds_left):
            source = self._source(reference)
            rows = store.admin_page(source, _where(source, where), (), limit, offset)
        return [{"id": row.id, "data": row.data} for row in rows]

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """The number of matching entries. Raises `LookupFailed`."""
        with _described(seconds_left):
            source = self._source(reference)
            return store.count(source, _where(source, where))

    def _source(self, reference: int | str) -> Source:
        """The data source. One that does not exist and one that may not be read fail alike."""
        if self._writer_id is None:
            raise LookupFailed(NOBODY)
        source = registry.find(reference) if _is_reference(reference) else None
        if source is None or not self._may_read(source.id, self._writer_id):
            raise LookupFailed(
                f"there is no data source `{printable(reference)}` that the writer of this "
                "script may view"
            )
        return source

    def _may_read(self, source_id: int, writer_id: int) -> bool:
        if source_id not in self._readable:
            self._readable[source_id] = has_any(writer_id, SEEING, source_id)
        return self._readable[source_id]


# Runs one look-up, with a time limit in seconds.
_Ask: TypeAlias = Callable[[Lookups, float], Any]
Found = TypeVar("Found")


class RecordedLookups:
    """The look-ups of one run of a script, with a digest of each result."""

    def __init__(self, lookups: Lookups, fresh: Callable[[], Lookups]) -> None:
        """Record `lookups`. `fresh` returns new ones for that writer, with current permissions."""
        self._lookups, self._fresh = lookups, fresh
        self._found: list[tuple[_Ask, bytes]] = []

    def find(
        self,
        reference: int | str,
        where: dict[str, Any],
        limit: int,
        offset: int,
        seconds_left: float,
    ) -> list[dict[str, Any]]:
        """The matching entries as `{"id", "data"}`, ordered by id. Raises `LookupFailed`."""
        return self._remembered(
            lambda lookups, left: lookups.find(reference, where, limit, offset, left), seconds_left
        )

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """The number of matching entries. Raises `LookupFailed`."""
        return self._remembered(
            lambda lookups, left: lookups.count(reference, where, left), seconds_left
        )

    def are_unchanged(self, until: float) -> bool:
        """Whether every look-up still has its result; `until`: a time on the monotonic clock."""
        lookups = self._fresh()
        for query, found in self._found:
            try:
                now = query(lookups, until - monotonic())
            except LookupFailed as failure:
                now = str(failure)
            if _digest(now) != found:
                return False
        return True

    def _remembered(self, query: Callable[[Lookups, float], Found], seconds_left: float) -> Found:
        try:
            found = query(self._lookups, seconds_left)
        except LookupFailed as failure:
            self._found.append((query, _digest(str(failure))))
            raise
        self._found.append((query, _digest(found)))
        return found


def _digest(found: Any) -> bytes:
    return sha256(dumps(found).encode()).digest()


def _is_reference(reference: Any) -> bool:
    if isinstance(reference, str):
        return problem_with_text(reference) is None
    return reference.__class__ is int and 0 < reference <= MAX_INTEGER


def _where(source: Source, value: dict[str, Any]) -> Node:
    """Parse the where of a look-up. Raises `Malformed`, also if it names a password column."""
    where = parse_where(value, source.declared, single_in=True)
    secret = Columns.of(secret=source.secret)
    for item in fields(where):
        if secret.hides_field(item):
            raise Malformed(f"`{printable(item.name)}` is a password column, which nobody can read")
    return where


@contextmanager
def _described(seconds: float) -> Iterator[None]:
    """Apply the time limit in seconds, and turn failures into `LookupFailed` for the script."""
    try:
        with store.read_time_limit(seconds):
            yield
    except (Malformed, Busy) as failure:
        raise LookupFailed(failure.message) from None
