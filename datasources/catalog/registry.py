"""Data sources as requests need them: found by number or name in one query, and locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from django.utils import timezone

from ..caching import Cache, memoize
from ..database.connection import connection
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
    """A data source as it is while one request is answered."""

    id: int
    name: str
    columns: tuple[str, ...]
    # The columns that an administrator declared. What a name means is decided by these only.
    declared: frozenset[str]
    app_id: int | None
    login: Login | None
    secret: frozenset[str]
    # What compiled rules are kept under: equal only where rules, columns and definition are.
    key: tuple[Any, ...]
    views: tuple[View, ...] = ()
    # The columns that have an index, with what a query says to use it.
    indexed: Mapping[str, Keys] = field(default_factory=dict)
    # Changes with every change of the rules; part of `key`.
    rules_tag: str = ""


def reference_of(text: str, name: bool = False) -> int | str:
    """What a text refers to: a number, or a name; with `name` digits are a name, too.

    Raises `Malformed` for what can be no name.
    """
    if text.isascii() and text.isdigit() and not name:
        return int(text[:30])
    problem = problem_with_text(text)
    if problem:
        raise Malformed(f"the data source's name {problem}")
    return text


def find(reference: int | str) -> Source | None:
    """The data source of a number or a name, by one query; None where there is none."""
    wanted = Beside.of(reference)
    if wanted is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {fields_sql()} FROM {TABLE} d WHERE d.{wanted.column}=%s", [reference]
        )
        row = cursor.fetchone()
    return None if row is None else _source(row)


def fields_sql() -> str:
    """The fields of a `Source`, of the table called `d`."""
    cast = "::text" if connection.vendor == "postgresql" else ""
    return (
        f"d.id,d.name,d.app_id,d.rules_tag,d.columns{cast},d.written_columns{cast},"
        f"d.definition{cast},d.secret_columns{cast},d.indexes{cast}"
    )


@dataclass(slots=True)
class Beside:
    """The data source that a request names, for whoever looks up something else first and can
    read it in the same statement. That saves a request one of three round trips.
    """

    reference: int | str
    # "id" or "name".
    column: str
    # Whether its row is locked as well, and how: only in a transaction on PostgreSQL. A row that
    # somebody else has locked is not waited for, but read as absent, with everything else.
    lock: Literal["", "SHARE", "NO KEY UPDATE"] = ""
    is_read: bool = False
    source: Source | None = None

    @classmethod
    def of(cls, reference: int | str) -> Beside | None:
        """None for a number that no data source can have."""
        if isinstance(reference, int):
            return cls(reference, "id") if 0 < reference <= MAX_INTEGER else None
        return cls(reference, "name")

    @property
    def join_sql(self) -> str:
        """The data source `d` behind the `FROM` of another statement."""
        return _join_sql(self.column, self.lock)

    @property
    def params(self) -> tuple[int | str, ...]:
        """The parameters of `join_sql`. With `lock`, the reference is an id."""
        return (self.reference, queue_of(int(self.reference))) if self.lock else (self.reference,)

    @property
    def lock_sql(self) -> str:
        """The end of a statement that reads it."""
        return f" FOR {self.lock} OF d SKIP LOCKED" if self.lock else ""

    def take(self, row: tuple[Any, ...]) -> None:
        """Note the fields of `fields_sql` that were read; all NULL where there is none."""
        self.is_read = True
        self.source = None if row[0] is None else _source(row)


@memoize(8)
def _join_sql(column: str, lock: str) -> str:
    if not lock:
        return f" LEFT JOIN {TABLE} d ON d.{column} = %s "
    # PostgreSQL locks no row that an outer join may lack.
    shared = "_shared" if lock == "SHARE" else ""
    turn = f"pg_try_advisory_xact_lock{shared}(%s)"
    return f" JOIN {TABLE} d ON d.{column} = %s AND {turn} "


def source_of(model: DataSource) -> Source:
    """The `Source` of a data source that has just been read as a model. Raises `DoesNotExist`."""
    found = find(model.pk)
    if found is None:
        raise DataSource.DoesNotExist
    return found


# The last state of each data source, by its id.
_parsed: Cache[int, Source] = Cache("data sources", 1_000)


def _source(row: tuple[Any, ...]) -> Source:
    """Parsed once, as long as nothing about it changes."""
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
    """Of the indexes, those that can be used."""
    return {
        column: keys_of(connection.vendor, source_id, column, bool(told.get("pieces")))
        for column, told in indexes.items()
        if told["state"] == READY
    }


def check_unchanged(source: Source, alone: bool) -> None:
    """Lock a data source for a write that nobody's rules decide, such as one in the admin.

    Raises `Changed` where rows would now be stored in another way than was read: other columns are
    secret, or people sign in with others. Nobody changes that until the transaction ends.
    """
    now = locked(source.id, alone)
    if now is None or (now.login, now.secret) != (source.login, source.secret):
        raise Changed


def locked(source_id: int, alone: bool = True) -> Source | None:
    """A data source as it is once it is locked, until the transaction ends; None if it is gone.

    `alone`: no other write that is `alone` goes on meanwhile. Otherwise others may share the lock,
    on PostgreSQL; nobody changes the data source itself then, either.
    """
    if connection.vendor == "sqlite":
        lock(source_id)
        return find(source_id)
    row = _row_in_turn(source_id, fields_sql(), alone)
    return None if row is None else _source(row)


def queue_of(source_id: int) -> int:
    """The number of the advisory lock that stands before the lock of a data source's row.

    PostgreSQL lets a transaction share a row's lock even while another one waits to have it alone,
    so that a steady load of writers would hold up whoever saves rules for ever. Nobody passes those
    who wait for an advisory lock.
    """
    name = f"{TABLE} {source_id}".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)


def _row_in_turn(source_id: int, fields: str, alone: bool) -> tuple[Any, ...] | None:
    """Fields of a data source on PostgreSQL, whose row is locked once it is this one's turn."""
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
    """Wait for everyone else who writes the whole of a data source. In a transaction, first.

    SQLite has no row locks; its first statement has to be one that writes, or a later one fails
    at once where another writer came between.
    """
    if connection.vendor != "sqlite":
        _row_in_turn(source_id, "1", alone=True)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET revision=revision WHERE id=%s", [source_id])


def bump_rules_version(source_id: int) -> None:
    """Say that the rules are others than before: the number grows, compiled rules are stale."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET revision=revision+1, rules_tag=%s, updated_at=%s WHERE id=%s",
            [new_tag(), connection.ops.adapt_datetimefield_value(timezone.now()), source_id],
        )
