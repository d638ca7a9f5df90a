"""What `DataSources(…)` in a script reads: rows past all rules, with the rights of its writer.

A script reads no data source that whoever wrote it may not read in the admin, and no passwords.
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

# Either lets one see entries in the admin.
SEEING = ("view", "change")
NOBODY = (
    "it is not known who wrote this script, and so nothing may be looked up; who changes its text "
    "and saves it has written it"
)


class LookupsOf:
    """The look-ups of a script that this Django user wrote, for one request; None: of nobody.

    Their rights are looked at once a request, the rows each time.
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
        """The records that fit, by id. Raises `LookupFailed`."""
        with _told(seconds_left):
            source = self._source(reference)
            rows = store.admin_page(source, _where(source, where), (), limit, offset)
        return [{"id": row.id, "data": row.data} for row in rows]

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """How many records fit. Raises `LookupFailed`."""
        with _told(seconds_left):
            source = self._source(reference)
            return store.count(source, _where(source, where))

    def _source(self, reference: int | str) -> Source:
        """The data source. What is not there and what may not be read are told alike."""
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


# One look-up, which is to take so many seconds at most.
_Ask: TypeAlias = Callable[[Lookups, float], Any]
Found = TypeVar("Found")


class RecordedLookups:
    """The look-ups of one run of a script, with a digest of what each found."""

    def __init__(self, lookups: Lookups, fresh: Callable[[], Lookups]) -> None:
        """`fresh` gives the look-ups of the same writer, with the rights of that moment."""
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
        """The records that fit, by id. Raises `LookupFailed`."""
        return self._remembered(
            lambda lookups, left: lookups.find(reference, where, limit, offset, left), seconds_left
        )

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """How many records fit. Raises `LookupFailed`."""
        return self._remembered(
            lambda lookups, left: lookups.count(reference, where, left), seconds_left
        )

    def are_unchanged(self, until: float) -> bool:
        """Whether all of them find the same once more, by this time on the monotonic clock."""
        lookups = self._fresh()
        for ask, found in self._found:
            try:
                now = ask(lookups, until - monotonic())
            except LookupFailed as failure:
                now = str(failure)
            if _digest(now) != found:
                return False
        return True

    def _remembered(self, ask: Callable[[Lookups, float], Found], seconds_left: float) -> Found:
        try:
            found = ask(self._lookups, seconds_left)
        except LookupFailed as failure:
            self._found.append((ask, _digest(str(failure))))
            raise
        self._found.append((ask, _digest(found)))
        return found


def _digest(found: Any) -> bytes:
    return sha256(dumps(found).encode()).digest()


def _is_reference(reference: Any) -> bool:
    if isinstance(reference, str):
        return problem_with_text(reference) is None
    return reference.__class__ is int and 0 < reference <= MAX_INTEGER


def _where(source: Source, value: dict[str, Any]) -> Node:
    """The where of a look-up. Raises `Malformed`; no clause may name a password column."""
    where = parse_where(value, source.declared, single_in=True)
    secret = Columns.of(secret=source.secret)
    for item in fields(where):
        if secret.hides_field(item):
            raise Malformed(f"`{printable(item.name)}` is a password column, which nobody reads")
    return where


@contextmanager
def _told(seconds: float) -> Iterator[None]:
    """Within the time that is left; what goes wrong is told to the script."""
    try:
        with store.read_time_limit(seconds):
            yield
    except (Malformed, Busy) as failure:
        raise LookupFailed(failure.message) from None
