"""The state of each marked column's index, for the admin and the management command."""

from __future__ import annotations

from dataclasses import dataclass

from ..database.connection import connection, features
from ..database.features import POSTGRESQL
from ..models import DataSource
from .build import existing, is_at_work
from .expressions import name_of, pieces_name_of
from .states import BUILDING, FAILED, READY, WANTED


@dataclass(frozen=True, slots=True)
class Status:
    """The index of one marked column. `size` is in bytes, if it is known."""

    column: str
    state: str
    problem: str = ""
    size: int | None = None

    def __str__(self) -> str:
        size = "" if self.size is None else f", {_in_words(self.size)}"
        return f"{self.state}{size}{f': {self.problem}' if self.problem else ''}"


def statuses(source: DataSource) -> list[Status]:
    """Return the state of each marked column's index: as stored, checked against the database."""
    if not source.indexed_columns:
        return []
    there, at_work = existing(), is_at_work()
    return [_status(source, column, there, at_work) for column in source.indexed_columns]


def _status(source: DataSource, column: str, there: dict[str, bool], at_work: bool) -> Status:
    index = source.indexes.get(column, {})
    state = index.get("state", WANTED)
    usable = there.get(name_of(source.pk, column), False)
    if state == BUILDING and not at_work:
        return Status(column, FAILED, "the build was interrupted")
    if state == READY and not usable:
        return Status(column, FAILED, "the index no longer exists in the database")
    if state == READY:
        return Status(column, READY, "", _size(source.pk, column))
    return Status(column, state, index.get("problem", ""))


def _size(source_id: int, column: str) -> int | None:
    if features() is not POSTGRESQL:
        return None
    names = [name_of(source_id, column), pieces_name_of(source_id, column)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(pg_relation_size(to_regclass(n))),0) FROM unnest(%s::text[]) n",
            [names],
        )
        return int(cursor.fetchone()[0])


def _in_words(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1_000:.0f} kB"
