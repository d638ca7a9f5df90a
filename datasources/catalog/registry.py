"""Data sources as requests need them: looked up by id or name in one query, and locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from django.utils import timezone

from ..caching import Cache, memoize
from ..database.connection import connection, features
from ..definition import Login, declared_of, login_of
from ..errors import Changed, Malformed
from ..indexes.expressions import Keys, keys_of
from ..indexes.states import READY
from ..models import DataSource, new_tag
from ..query.views import View, views_of
from ..values.codec import loads
from ..values.validation import MAX_INTEGER, problem_with_text

TABLE = DataSource._meta.db_table


@dataclass(frozen=True, slots=True)
class Source:
    """A data source in its state while one request is answered."""

    id: int
    name: str
    columns: tuple[str, ...]
    # The columns that an administrator declared. Only these decide what a name means.
    declared: frozenset[str]
    app_id: int | None
    login: Login | None
    secret: frozenset[str]
    # The cache key of compiled rules: equal only if rules, columns and definition are.
    key: tuple[Any, ...]
    views: tuple[View, ...] = ()
    # The columns that have an index, with the SQL by which a query uses it.
    indexed: Mapping[str, Keys] = field(default_factory=dict)
    # Changes with every change of the rules; part of `key`.
    rules_tag: str = ""


def reference_of(text: str, name: bool = False) -> int | str:
    """Return what a text refers to: an id, or a name; with `name`, digits are a name, too.

    Raises `Malformed` if the text cannot be a name.
    """
    if text.isascii() and text.isdigit() and not name:
        return int(text[:30])
    problem = problem_with_text(text)
    if problem:
        raise Malformed(f"the data source's name {problem}")
    return text


def find(reference: int | str) -> Source | None:
    """Return the data source with an id or a name, by one query; None if there is none."""
    wanted = SourceJoin.of(reference)
    if wanted is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {fields_sql()} FROM {TABLE} d WHERE d.{wanted.column}=%s", [reference]
        )
        row = cursor.fetchone()
    return None if row is None else _source(row)


def fields_sql() -> str:
    """Return the columns of a `Source`, from the table with the alias `d`."""
    cast = features().json_text
    return (
        f"d.id,d.name,d.app_id,d.rules_tag,d.columns{cast},d.written_columns{cast},"
        f"d.definition{cast},d.secret_columns{cast},d.indexes{cast}"
    )


@dataclass(frozen=True, slots=True)
class SourceJoin:
    """The data source that a request names, for code that reads something else first.

    Both are read in the same statement, which saves a request one of three round trips.
    """

    reference: int | str
    # "id" or "name".
    column: Literal["id", "name"]
    # Whether and how its row is locked, which is possible only in a transaction on PostgreSQL. A
    # row that another transaction has locked is not waited for: the whole statement finds nothing.
    lock: Literal["", "SHARE", "NO KEY UPDATE"] = ""

    @classmethod
    def of(cls, reference: int | str) -> SourceJoin | None:
        """Return an object for a reference; None for an id that no data source can have."""
        if isinstance(reference, int):
            return cls(reference, "id") if 0 < reference <= MAX_INTEGER else None
        return cls(reference, "name")

    def sql(self) -> tuple[str, tuple[int | str, ...], str]:
        """Return the join with the data source `d`, its parameters, and the locking clause.

        The join follows the `FROM` of another statement, and the locking clause ends it. With
        `lock`, the reference has to be an id.
        """
        if not self.lock:
            return _join_sql(self.column, ""), (self.reference,), ""
        params = (self.reference, queue_of(int(self.reference)))
        return _join_sql(self.column, self.lock), params, f" FOR {self.lock} OF d SKIP LOCKED"


def source_in(row: tuple[Any, ...]) -> Source | None:
    """Return the data source in the columns of `fields_sql`; None if all of them are NULL."""
    return None if row[0] is None else _source(row)


@memoize(8)
def _join_sql(column: str, lock: str) -> str:
    if not lock:
        return f" LEFT JOIN {TABLE} d ON d.{column} = %s "
    # PostgreSQL cannot lock the optional side of an outer join.
    shared = "_shared" if lock == "SHARE" else ""
    turn = f"pg_try_advisory_xact_lock{shared}(%s)"
    return f" JOIN {TABLE} d ON d.{column} = %s AND {turn} "


def source_of(model: DataSource) -> Source:
    """Return the `Source` of a model that has just been read. Raises `DoesNotExist` if gone."""
    found = find(model.pk)
    if found is None:
        raise DataSource.DoesNotExist
    return found


# Parsed data sources by id; `key` shows whether one is still valid.
_parsed: Cache[int, Source] = Cache("data sources", 1_000)


def _source(row: tuple[Any, ...]) -> Source:
    """Return the source for a row, which is parsed only if something has changed."""
    source = _parsed.get(row[0])
    if source is None or source.key != row:
        identifier, name, app_id, tag, columns, made, definition, secret, indexes = row
        names = loads(columns)
        source = Source(
            identifier,
            name,
            tuple(names),
            frozenset(declared_of(names, loads(made))),
            app_id,
            login_of(loads(definition)),
            frozenset(loads(secret)),
            row,
            views_of(loads(definition)),
            _indexed(identifier, loads(indexes)),
            tag,
        )
        _parsed.put(identifier, source)
    return source


def _indexed(source_id: int, indexes: dict[str, dict[str, Any]]) -> dict[str, Keys]:
    """Return those of the indexes that can be used."""
    return {
        column: keys_of(features().name, source_id, column, bool(index.get("pieces")))
        for column, index in indexes.items()
        if index["state"] == READY
    }


def check_unchanged(source: Source, alone: bool) -> None:
    """Lock a data source for a write that no rules decide, such as one in the admin.

    Raises `Changed` if rows would now have to be stored differently from what was read, because
    other columns are secret or hold the sign-in. Nobody can change that until the transaction ends.
    """
    now = locked(source.id, alone)
    if now is None or (now.login, now.secret) != (source.login, source.secret):
        raise Changed


def locked(source_id: int, alone: bool = True) -> Source | None:
    """Lock a data source until the transaction ends, and return its state; None if it is gone.

    With `alone` the lock is exclusive. Otherwise other writers can share it, on PostgreSQL; even
    then nobody can change the data source itself.
    """
    if not features().has_row_locks:
        lock(source_id)
        return find(source_id)
    row = _row_in_turn(source_id, fields_sql(), alone)
    return None if row is None else _source(row)


def queue_of(source_id: int) -> int:
    """Return the key of the advisory lock that is taken before the lock of a data source's row.

    PostgreSQL lets a transaction share a row's lock even while another one waits for an exclusive
    lock, so a steady load of writers could block an administrator who saves rules forever. An
    advisory lock is granted in order of arrival.
    """
    name = f"{TABLE} {source_id}".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)


def _row_in_turn(source_id: int, fields: str, alone: bool) -> tuple[Any, ...] | None:
    """Read columns of a data source on PostgreSQL, with its row locked in order of arrival."""
    shared, how = ("", "NO KEY UPDATE") if alone else ("_shared", "SHARE")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock{shared}(%s)) "
            f"SELECT {fields} FROM {TABLE} d, turn WHERE d.id=%s FOR {how} OF d",
            [queue_of(source_id), source_id],
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def lock(source_id: int) -> None:
    """Lock a data source exclusively. This has to be the first statement of a transaction.

    SQLite has no row locks; its first statement has to be a write, because a later write fails at
    once if another writer came in between.
    """
    if features().has_row_locks:
        _row_in_turn(source_id, "1", alone=True)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET revision=revision WHERE id=%s", [source_id])


def bump_rules_version(source_id: int) -> None:
    """Mark the rules as changed: increase the revision, and invalidate compiled rules."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET revision=revision+1, rules_tag=%s, updated_at=%s WHERE id=%s",
            [new_tag(), connection.ops.adapt_datetimefield_value(timezone.now()), source_id],
        )
