"""Writes entries, all or nothing, in a transaction that `writing` opens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from ..catalog import passwords, registry
from ..catalog.normalization import composed_row
from ..catalog.registry import Source
from ..conf import setting
from ..database import hashing
from ..database.connection import atomic, connection, features
from ..database.features import POSTGRESQL
from ..database.waiting import writers_turn
from ..definition import problem_with_more_columns
from ..errors import Malformed
from ..models import DataSource, Entry
from ..query.where import Node
from ..sql import concat
from ..values.codec import dumps
from ..values.validation import holds_nested_list, problem_with_row
from .statements import TABLE, StoredEntry, condition_of, run
from .uniqueness import address_in, check_unique

WRITE_BATCH = 2_000
# From this number of new rows on, PostgreSQL's COPY is faster than INSERT.
_COPY_FROM = 200


# Locks a data source, exclusively or not. Raises `Changed` if the write has to be decided again.
Confirm = Callable[[Source, bool], None]


@dataclass(frozen=True, slots=True)
class WriteTransaction:
    """A transaction for a write of rows, which makes columns of keys that are none yet."""

    # The keys that become columns at its end.
    new_columns: list[str]

    def add_columns(self, keys: Iterable[str]) -> None:
        """Make columns of these keys, too. Only for a transaction that has the whole lock."""
        self.new_columns.extend(keys)


@contextmanager
def writing(
    source: Source,
    keys: Iterable[str],
    whole: bool = False,
    declares: bool = False,
    confirm: Confirm = registry.check_unchanged,
) -> Iterator[WriteTransaction]:
    """Open a transaction for a write of rows with these keys.

    Keys that are not columns yet become columns at the end. If `whole` is set, the caller may add
    more of them.

    `declares`: an administrator named these keys, so that they count as declared columns. Any
    other write makes columns that are not declared, see `query.column_names`.

    Writers of many rows, of new columns, or of rows that users sign in with, wait for each other.
    The data source is locked before any entry, which prevents deadlocks. `confirm` takes that lock,
    and raises `Changed` if the write has to be decided again.
    """
    hashing.begin()
    with writers_turn(source.id), atomic():
        known = source.declared if declares else set(source.columns)
        new = [key for key in keys if key not in known]
        confirm(source, bool(whole or new or source.login))
        transaction = WriteTransaction(new)
        yield transaction
        if transaction.new_columns:
            _add_columns(source, transaction.new_columns, declares)


def _add_columns(source: Source, keys: Sequence[str], declares: bool) -> None:
    """Append the columns that rows have and the data source does not have yet.

    The data source is locked. Raises `Malformed` if there are too many columns, or if their names
    together are too long.
    """
    model = DataSource.objects.get(pk=source.id)
    known = set(model.columns)
    new = list(dict.fromkeys(key for key in keys if key not in known))
    made = [*model.written_columns, *([] if declares else new)]
    if declares:
        named = set(keys)
        made = [name for name in made if name not in named]
    if not new and made == model.written_columns:
        return
    model.columns, before = [*model.columns, *new], model.columns
    problem = problem_with_more_columns(before, model.columns, setting("MAX_COLUMN_NAMES"))
    if problem:
        raise Malformed(problem)
    model.written_columns = made
    model.save(update_fields=["columns", "written_columns", "updated_at"])


def insert(source: Source, rows: Sequence[dict[str, Any]]) -> list[StoredEntry]:
    """Insert new rows; the caller is in `writing`. Raises `AddressTaken` for a taken address."""
    rows = [composed_row(source, row) for row in rows] if source.login else rows
    ready = passwords.hashed(source, [(row, {}) for row in rows]) if source.secret else rows
    now = timezone.now()
    if features() is not POSTGRESQL:
        ids = _create(source, ready, now)
    else:
        ids = (_copy if len(ready) >= _COPY_FROM else _insert)(source, ready, now)
    check_unique(source, ready)
    return [StoredEntry(key, row, now, now) for key, row in zip(ids, ready, strict=True)]


def _create(source: Source, rows: Sequence[dict[str, Any]], now: datetime) -> list[int]:
    made = Entry.objects.bulk_create(
        [
            Entry(
                data_source_id=source.id,
                data=row,
                nested=holds_nested_list(row),
                created_at=now,
                updated_at=now,
            )
            for row in rows
        ],
        batch_size=WRITE_BATCH,
    )
    return [entry.pk for entry in made]


def _insert(source: Source, rows: Sequence[dict[str, Any]], now: datetime) -> list[int]:
    """Insert a few rows on PostgreSQL, by a statement that is the same for any number of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO {TABLE} (data_source_id,data,nested,created_at,updated_at,"order") '
            "SELECT %s,n.data,n.nested,%s,%s,0 "
            "FROM unnest(%s::jsonb[],%s::boolean[]) WITH ORDINALITY AS n(data,nested,at) "
            "ORDER BY n.at RETURNING id",
            [
                source.id,
                now,
                now,
                [dumps(row) for row in rows],
                [holds_nested_list(row) for row in rows],
            ],
        )
        return [row[0] for row in cursor.fetchall()]


def _copy(source: Source, rows: Sequence[dict[str, Any]], now: datetime) -> list[int]:
    """Insert many rows on PostgreSQL, several times as fast as by INSERT.

    COPY does not return ids, so they are taken from the sequence first.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s,'id')) FROM generate_series(1,%s::integer)",
            [TABLE, len(rows)],
        )
        ids = [row[0] for row in cursor.fetchall()]
        columns = 'id,data_source_id,data,nested,created_at,updated_at,"order"'
        with cursor.copy(f"COPY {TABLE} ({columns}) FROM STDIN") as copy:
            for key, row in zip(ids, rows, strict=True):
                copy.write_row((key, source.id, dumps(row), holds_nested_list(row), now, now, 0))
    return ids


def update(
    source: Source, changes: Sequence[tuple[StoredEntry, dict[str, Any]]]
) -> list[StoredEntry]:
    """Rewrite rows, given as (entry before, new row); the caller is in `writing`.

    Raises `AddressTaken` for a taken address, and `Malformed` for a row that is not allowed.
    """
    now = _later(timezone.now(), [before.updated_at for before, _ in changes])
    for _, row in changes:
        # Updates that each merge a few columns could add up to any number of them.
        problem = problem_with_row(row)
        if problem:
            raise Malformed(problem)
    rows = [(composed_row(source, row), before.data) for before, row in changes]
    new = passwords.hashed(source, rows)
    ready = [(before, row) for (before, _), row in zip(changes, new, strict=True)]
    written = [(before.id, dumps(row), holds_nested_list(row)) for before, row in ready]
    for at in range(0, len(written), WRITE_BATCH):
        _rewrite(source, written[at : at + WRITE_BATCH], now)
    moved = [
        row for before, row in ready if address_in(source, row) != address_in(source, before.data)
    ]
    check_unique(source, moved)
    return [
        StoredEntry(before.id, row, before.created_at, now, before.order) for before, row in ready
    ]


# A clock can return the same time for two writes, or be set back a little.
_CLOCK_STEP = timedelta(seconds=1)


def _later(now: datetime, times: Iterable[datetime]) -> datetime:
    """Return a time after those of the entries, so that no two states of an entry share one.

    Times far in the future come from a clock that was wrong, and are ignored.
    """
    ahead = [moment for moment in times if now <= moment < now + _CLOCK_STEP]
    return max(ahead) + timedelta(microseconds=1) if ahead else now


def _rewrite(source: Source, rows: Sequence[tuple[int, str, bool]], now: datetime) -> None:
    """Rewrite rows of (id, JSON text, whether lists are nested): one statement on PostgreSQL."""
    with connection.cursor() as cursor:
        if features() is POSTGRESQL:
            cursor.execute(
                f"UPDATE {TABLE} AS e SET data=n.data,nested=n.nested,updated_at=%s FROM "
                "unnest(%s::bigint[],%s::jsonb[],%s::boolean[]) AS n(id,data,nested) "
                "WHERE e.id=n.id AND e.data_source_id=%s",
                [now, *(list(column) for column in zip(*rows, strict=True)), source.id],
            )
            return
        cursor.executemany(
            f"UPDATE {TABLE} SET data=%s,nested=%s,updated_at=%s WHERE id=%s AND data_source_id=%s",
            [(text, nested, _written_time(now), key, source.id) for key, text, nested in rows],
        )


def _written_time(value: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def delete(source: Source, ids: Iterable[int]) -> int:
    """Delete entries of this data source by id; return how many were deleted."""
    wanted = sorted(set(ids))
    total = 0
    for at in range(0, len(wanted), WRITE_BATCH):
        total += (
            Entry.objects.filter(data_source_id=source.id, pk__in=wanted[at : at + WRITE_BATCH])
            .delete()[1]
            .get(Entry._meta.label, 0)
        )
    return total


def delete_where(source: Source, where: Node, among: Collection[int] | None = None) -> int:
    """Delete the entries that match, and the sessions of the users who signed in with them.

    `among`: delete only entries with these ids. Returns how many were deleted.
    """
    condition = condition_of(source.id, where)
    wait = features().for_update
    # By id, as commits do, which prevents deadlocks.
    rows = run(concat(f"SELECT id FROM {TABLE} WHERE ", condition, f" ORDER BY id{wait}"))
    return delete(source, [row[0] for row in rows if among is None or row[0] in among])
