"""Builds, drops and reports the indexes of marked columns, without blocking access to the table.

On PostgreSQL an index is built concurrently, outside any transaction. A builder that is interrupted
leaves an index that is not used; the next builder builds it again.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import sleep
from typing import Any

from django.db import DatabaseError, transaction

from ..conf import setting
from ..database.connection import alias, atomic, connection, features
from ..database.features import POSTGRESQL, SQLITE
from ..models import DataSource, Entry
from ..query.where.ranges import KeyRange
from ..values.validation import KIND_TEXT
from .expressions import NAMES, Keys, keys_of, name_of, pieces_name_of
from .states import BUILDING, FAILED, READY

# The name of threads that build.
BUILDER = "rowkeeper-indexes"
TABLE = Entry._meta.db_table
# The key of PostgreSQL's advisory lock for builders: two of them would wait for each other.
_LOCK = 7_305_412_260_931
# Seconds that a builder in the background waits for others.
_PATIENCE = 3_600
_here = threading.Lock()
_log = logging.getLogger("rowkeeper.indexes")


class BuilderAtWork(Exception):
    """Another process is building indexes."""


def build(source_id: int, again: bool = False) -> None:
    """Bring the indexes of a data source in line with its marks.

    The indexes of deleted data sources are dropped. `again`: retry indexes that failed. Raises
    `BuilderAtWork`.
    """
    with _alone():
        _drop_what_nobody_wants()
        _repair_others()
        source = DataSource.objects.filter(pk=source_id).first()
        if source is None:
            return
        there = existing()
        made = False
        for column in source.indexed_columns:
            state = source.indexes.get(column, {}).get("state")
            names = [name_of(source_id, column)]
            if source.indexes.get(column, {}).get("pieces"):
                names.append(pieces_name_of(source_id, column))
            ready = state == READY and all(there.get(name, False) for name in names)
            if not ready and (state != FAILED or again):
                made |= _make(source_id, column)
        if made and features() is POSTGRESQL:
            # Until then, the planner has no statistics on the values in a new index.
            _run(f"ANALYZE {TABLE}")


def build_in_turn(source_id: int, seconds: int) -> None:
    """Build all indexes of a data source that are wanted, those that failed included.

    Waits at most `seconds` for other builders. Raises `BuilderAtWork` after that.
    """
    for left in range(seconds, -1, -1):
        try:
            return build(source_id, again=True)
        except BuilderAtWork:
            if not left:
                raise
            sleep(1)


def build_later(source_id: int) -> None:
    """Build the indexes of a data source in the background, after the transaction commits."""
    if setting("INDEXES_ON_SAVE") and not setting("POOLER"):
        thread = threading.Thread(
            target=_build_in_background, args=(source_id,), name=BUILDER, daemon=True
        )
        transaction.on_commit(thread.start, using=alias())


def _build_in_background(source_id: int) -> None:
    try:
        build_in_turn(source_id, _PATIENCE)
    except BuilderAtWork:
        _log.warning("indexes of data source %s: other builds held the lock too long", source_id)
    except Exception:
        _log.exception("indexes of data source %s", source_id)
    finally:
        connection.close()


def existing() -> dict[str, bool]:
    """Return the existing indexes of marked columns: {name: whether it can be used}."""
    with connection.cursor() as cursor:
        if features() is SQLITE:
            cursor.execute(
                "SELECT name,1 FROM sqlite_master WHERE type='index' AND substr(name,1,%s)=%s",
                [len(NAMES), NAMES],
            )
        else:
            cursor.execute(
                "SELECT c.relname,i.indisvalid FROM pg_index i JOIN pg_class c "
                "ON c.oid=i.indexrelid WHERE i.indrelid=%s::regclass "
                "AND starts_with(c.relname,%s)",
                [TABLE, NAMES],
            )
        return {row[0]: bool(row[1]) for row in cursor.fetchall()}


def invalid() -> list[str]:
    """Return the indexes of the table of entries that PostgreSQL does not use.

    Their build was interrupted, for example by a crash.
    """
    if not features().builds_concurrently:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid=i.indexrelid "
            "WHERE i.indrelid=to_regclass(%s) AND NOT i.indisvalid ORDER BY 1",
            [TABLE],
        )
        return [row[0] for row in cursor.fetchall()]


def _repair_others() -> None:
    """Repair the `invalid` indexes that are not those of marked columns.

    An index that `REINDEX CONCURRENTLY` left behind has the suffix `_ccnew` or `_ccold`, and the
    original still exists, so it is dropped.
    """
    for name in invalid():
        if re.search(r"_cc(new|old)\d*$", name):
            _drop(name)
        elif not name.startswith(NAMES):
            _run(f"REINDEX INDEX{_in_background()} {connection.ops.quote_name(name)}")


def drop_all() -> None:
    """Drop the indexes of all marked columns; the marks remain."""
    for name in existing():
        _drop(name)


def before_migrate(
    sender: object, using: str, plan: Sequence[tuple[Any, bool]] = (), **kwargs: object
) -> None:
    """Receive `pre_migrate`: drop the indexes of marked columns before the functions they use.

    Migrating forward again leaves the columns marked, without an index until one is built.
    """
    ours = DataSource._meta.app_label
    goes_back = any(back and step.app_label == ours for step, back in plan)
    if using == alias() and goes_back and TABLE in connection.introspection.table_names():
        drop_all()


def after_delete(sender: object, instance: DataSource, **kwargs: object) -> None:
    """Receive `post_delete`: drop the indexes of a data source after the transaction commits.

    A field that was never loaded can no longer be read, so a data source with such a field is
    treated as one with indexes.
    """
    fields = {"indexes", "indexed_columns"}
    if fields & instance.get_deferred_fields() or instance.indexes or instance.indexed_columns:
        build_later(instance.pk)


def is_at_work() -> bool:
    """Whether indexes are being built at the moment."""
    if not features().builds_concurrently:
        return _here.locked()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks WHERE locktype='advisory' AND classid=%s AND objid=%s "
            "AND database=(SELECT oid FROM pg_database WHERE datname=current_database())",
            [_LOCK >> 32, _LOCK & 0xFFFFFFFF],
        )
        return cursor.fetchone() is not None


@contextmanager
def _alone() -> Iterator[None]:
    """Be the only builder, without the time limits of the connection. Raises `BuilderAtWork`."""
    if not _here.acquire(blocking=False):
        raise BuilderAtWork
    try:
        if not features().builds_concurrently or connection.in_atomic_block:
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                raise BuilderAtWork
        try:
            _run("SET statement_timeout=0")
            _run("SET lock_timeout=0")
            yield
        finally:
            _run("RESET statement_timeout")
            _run("RESET lock_timeout")
            _run(f"SELECT pg_advisory_unlock({_LOCK})")
    finally:
        _here.release()


def _drop_what_nobody_wants() -> None:
    """Drop indexes of columns that are no longer marked, or of data sources that are gone."""
    wanted: set[str] = set()
    for source in DataSource.objects.only("id", "indexed_columns", "indexes"):
        _forget_unmarked(source)
        for column in source.indexed_columns:
            wanted |= {name_of(source.pk, column), pieces_name_of(source.pk, column)}
    for name in existing():
        if name not in wanted:
            _drop(name)


def _forget_unmarked(source: DataSource) -> None:
    """Remove the state of indexes that are about to be dropped, so that no query uses them."""
    if set(source.indexes) - set(source.indexed_columns):
        _change(source.pk, lambda indexes, marked: {c: indexes[c] for c in indexes if c in marked})


def _make(source_id: int, column: str) -> bool:
    """Build the indexes of one column; return whether that succeeded."""
    _set_state(source_id, column, {"state": BUILDING})
    try:
        pieces = _has_pieces()
        keys = keys_of(features().name, source_id, column, pieces)
        for name, text in _statements(keys):
            _drop(name)
            _run(text)
    except DatabaseError as error:
        _log.warning("index of `%s` in data source %s: %s", column, source_id, error)
        _set_state(source_id, column, {"state": FAILED, "problem": str(error).split("\n")[0]})
        return False
    _set_state(source_id, column, {"state": READY, "pieces": pieces})
    return True


def _has_pieces() -> bool:
    """Whether the database supports a trigram index."""
    if features() is not POSTGRESQL:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname='pg_trgm'")
        return cursor.fetchone() is not None


def _statements(keys: Keys) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) for each index of a column."""
    make, on = f"CREATE INDEX{_in_background()}", f"ON {TABLE}"
    name, only = name_of(keys.source_id, keys.column), f"WHERE {keys.of_source()}"
    columns = f"{keys.leading}{keys.first},{keys.second},id"
    yield name, f"{make} {name} {on} ({columns}) {only}"
    if keys.pieces:
        name = pieces_name_of(keys.source_id, keys.column)
        texts = keys.within(KeyRange(KIND_TEXT)).text
        yield name, f"{make} {name} {on} USING gin ({keys.pieces} gin_trgm_ops) {only} AND {texts}"


def _in_background() -> str:
    """Return `CONCURRENTLY`, except in a transaction, where PostgreSQL does not allow it."""
    if not features().builds_concurrently:
        return ""
    if connection.in_atomic_block:
        connection.check_constraints()
        return ""
    return " CONCURRENTLY"


def _drop(name: str) -> None:
    _run(f"DROP INDEX{_in_background()} IF EXISTS {connection.ops.quote_name(name)}")


def _run(text: str) -> None:
    with connection.cursor() as cursor:
        # Without parameters, a `%` needs no escape.
        cursor.execute(text.replace("%%", "%"))


def _set_state(source_id: int, column: str, index: dict[str, Any]) -> None:
    """Store the state of a column's index, if the column is still marked."""
    _change(
        source_id,
        lambda indexes, marked: {**indexes, **({column: index} if column in marked else {})},
    )


def _change(source_id: int, change: Any) -> None:
    with atomic():
        source = DataSource.objects.select_for_update().filter(pk=source_id).first()
        if source is not None:
            indexes = change(source.indexes, set(source.indexed_columns))
            DataSource.objects.filter(pk=source_id).update(indexes=indexes)
