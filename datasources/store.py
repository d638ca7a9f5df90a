"""The one door to entries: the only module that reads or writes rows.

What it is told has been decided already: it takes the where that is to run, and the columns that
may be shown, and gives JSON text or rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Count
from django.utils import timezone

from . import functions, passwords, sources
from .conf import setting
from .definition import MAX_COLUMNS, Login
from .errors import AddressTaken, Busy, Malformed
from .jsontext import dumps, loads, rows_as_numbers_went_in
from .models import DataSource, Entry
from .queries import ANSWERED_FIELDS, Attributes, OrderTerm, Projection, Select
from .selecting import address_is, distinct_texts, entry_text, order_sql, row_text
from .sources import Source
from .values import BLANKS, holds_nested_list, lower, problem_with_row, shown
from .where import EVERYTHING, Node, any_of
from .where.nodes import column_is
from .where.operators import Sql
from .where.sql import DIALECTS, Dialect, where_sql

TABLE = Entry._meta.db_table
STREAM_ROWS = 1_000
_WRITE_BATCH = 2_000
# From so many new rows on, PostgreSQL's COPY is the faster way.
_COPY_FROM = 200


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it is stored."""

    id: int
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    order: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a select: entries as JSON text, and how many there are without the limit."""

    entries: list[str]
    total: int | None = None


def dialect() -> Dialect:
    """The database in use, as the query language knows it."""
    return DIALECTS[connection.vendor]


def _run(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor, _clock():
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@contextmanager
def _clock() -> Iterator[None]:
    """SQLite has no time limit of its own: it asks, every so many steps, whether to go on, and so
    do our functions. Raises `Busy`.
    """
    if connection.vendor != "sqlite":
        yield
        return
    until = monotonic() + setting("QUERY_SECONDS")
    connection.connection.set_progress_handler(lambda: monotonic() > until, 1_000)
    functions.limit.until = until
    try:
        yield
    except OperationalError:
        if monotonic() > until:
            raise Busy("the query took too long; ask for less") from None
        raise
    finally:
        functions.limit.until = None
        connection.connection.set_progress_handler(None, 0)


def _condition(source_id: int, where: Node) -> Sql:
    """A data source's rows alone, and of those the ones that fit."""
    found = where_sql(where, dialect())
    return Sql(f"data_source_id=%s AND {found.text}", (source_id, *found.params))


def _numbers_as_they_went_in(texts: list[str]) -> list[str]:
    if connection.vendor == "postgresql":
        return [rows_as_numbers_went_in(text) for text in texts]
    return texts


# -- reading


def select(source: Source, ask: Select, where: Node, shown: Projection) -> Found:
    """The entries that fit `where`, in the order and the part that `ask` names.

    `where` is the client's and the rule's together; `shown` are the columns that may be seen.
    """
    if ask.count_only:
        return Found([], count(source, where))
    condition = _condition(source.id, where)
    text = _entry_text(ask.attributes, shown)
    order = order_sql(dialect(), ask.order)
    part = _part(ask)
    found = f"FROM {TABLE} WHERE {condition.text}{order.text}{part.text}"
    params = (*condition.params, *order.params, *part.params)
    if not ask.with_total:
        rows = _run(f"SELECT {text.text} {found}", (*text.params, *params))
        return Found(_numbers_as_they_went_in([row[0] for row in rows]))
    # Counted and read in one statement; the order of a subquery has to be said outside, too.
    rows = _run(
        f"SELECT total,entry FROM (SELECT count(*) AS total FROM {TABLE} WHERE {condition.text}) "
        f"AS c LEFT JOIN (SELECT {text.text} AS entry,row_number() OVER ({order.text}) AS place "
        f"{found}) AS e ON 1=1 ORDER BY place",
        (*condition.params, *text.params, *order.params, *params),
    )
    texts = [row[1] for row in rows if row[1] is not None]
    return Found(_numbers_as_they_went_in(texts), rows[0][0])


def _entry_text(attributes: Attributes, shown: Projection) -> Sql:
    columns = attributes.columns
    return entry_text(
        dialect(), shown.narrowed(columns), attributes.fields, columns is None or columns != ()
    )


def _part(ask: Select) -> Sql:
    """LIMIT and OFFSET. SQLite wants a limit before an offset; its -1 is none."""
    if ask.limit is not None:
        return Sql(" LIMIT %s OFFSET %s", (ask.limit, ask.offset))
    if not ask.offset:
        return Sql("")
    limit = "-1" if connection.vendor == "sqlite" else "ALL"
    return Sql(f" LIMIT {limit} OFFSET %s", (ask.offset,))


def holds_others(source: Source, ids: Iterable[int]) -> bool:
    """Whether the data source has any entry but these."""
    kept = dumps(sorted(set(ids)))
    among = "SELECT value FROM json_each(%s)"
    if connection.vendor == "postgresql":
        among = "SELECT value::bigint FROM jsonb_array_elements_text(%s::jsonb) AS kept(value)"
    found = _run(
        f"SELECT 1 FROM {TABLE} WHERE data_source_id=%s AND id NOT IN ({among}) LIMIT 1",
        (source.id, kept),
    )
    return bool(found)


def count(source: Source, where: Node) -> int:
    """How many entries fit."""
    condition = _condition(source.id, where)
    found = _run(f"SELECT count(*) FROM {TABLE} WHERE {condition.text}", condition.params)
    return int(found[0][0])


def rows_that_fit(source_id: int, where: Node) -> Sql:
    """A data source's rows that fit, as a table with its WHERE."""
    condition = _condition(source_id, where)
    return Sql(f"{TABLE} WHERE {condition.text}", condition.params)


# For `reading`, the part of this door that answers other things than entries.
run, part, spelled = _run, _part, _numbers_as_they_went_in
entry_text_of = _entry_text


def stream(source: Source, where: Node, shown: Projection) -> Iterator[str]:
    """Every entry that fits, by id, as JSON text; a page of them at a time is in memory."""
    condition = _condition(source.id, where)
    text = entry_text(dialect(), shown, ANSWERED_FIELDS, row=True)
    sql = (
        f"SELECT id,{text.text} FROM {TABLE} WHERE {condition.text} AND id>%s "
        f"ORDER BY id LIMIT {STREAM_ROWS}"
    )
    last, full = 0, True
    while full:
        rows = _run(sql, (*text.params, *condition.params, last))
        yield from _numbers_as_they_went_in([row[1] for row in rows])
        full = len(rows) == STREAM_ROWS
        last = rows[-1][0] if rows else last


def distinct(source: Source, where: Node, column: str) -> list[Any]:
    """The distinct scalar values of a column, lists opened, in the order of `order`."""
    head = distinct_texts(dialect(), column)
    condition = _condition(source.id, where)
    rows = _run(
        f"{head.text.format(entries=TABLE)}{condition.text}", (*head.params, *condition.params)
    )
    found: dict[Any, Any] = {}
    for text in _numbers_as_they_went_in([row[0] for row in rows]):
        value = loads(text)
        if value is not None and not isinstance(value, dict | list):
            found.setdefault((isinstance(value, bool), value), value)
    return sorted(found.values(), key=_place_in_order)


def _place_in_order(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (1, value)
    return (3, value) if isinstance(value, int | float) else (4, value)


def fetch(source: Source, ids: Iterable[int], lock: bool = False) -> dict[int, Stored]:
    """The entries of these ids that are in this data source; `lock` for those who will write."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    if connection.vendor == "sqlite":
        among = Sql("id IN (SELECT value FROM json_each(%s))", (dumps(wanted),))
    else:
        among = Sql("id=ANY(%s)", (wanted,))
    return _fetch(source, among, lock)


def fetch_where(source: Source, where: Node, lock: bool = False) -> dict[int, Stored]:
    """The entries that fit, by id."""
    return _fetch(source, where_sql(where, dialect()), lock)


def _fetch(source: Source, condition: Sql, lock: bool) -> dict[int, Stored]:
    data = row_text(dialect(), Projection()).text
    wait = " FOR UPDATE" if lock and connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor, _clock():
        cursor.execute(
            f'SELECT id,{data},created_at,updated_at,"order" FROM {TABLE} '
            f"WHERE data_source_id=%s AND {condition.text} ORDER BY id{wait}",
            (source.id, *condition.params),
        )
        rows = cursor.fetchall()
    return {row[0]: _stored(row) for row in rows}


def _stored(row: tuple[Any, ...]) -> Stored:
    text = _numbers_as_they_went_in([row[1]])[0]
    return Stored(row[0], loads(text), _time(row[2]), _time(row[3]), row[4])


def _time(value: Any) -> datetime:
    """SQLite gives text, in UTC and without saying so."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def login_rows(source_id: int, login: Login, address: str) -> list[tuple[int, dict[str, Any]]]:
    """(id, row) of each row with that address, compared without case and outer blanks."""
    wanted = normal_address(address)
    source = sources.find(source_id)
    if source is None or wanted is None:
        return []
    same = address_is(dialect(), login.email_column, wanted)
    return [(entry.id, entry.data) for entry in _fetch(source, same, lock=False).values()]


def normal_address(value: Any) -> str | None:
    """An address as it is compared; None for what is none."""
    if not isinstance(value, str):
        return None
    return lower(value).strip(BLANKS) or None


# -- writing


@contextmanager
def writing(source: Source, keys: Iterable[str], whole: bool = False) -> Iterator[None]:
    """A transaction for a write of rows with these keys.

    Whoever writes many rows, new columns, or rows that people sign in with, waits for the others
    who do; the data source is locked before any entry, so that nobody waits in a circle.
    """
    with transaction.atomic():
        known = set(source.columns)
        new = [key for key in keys if key not in known]
        # A row that another definition would store otherwise (its password, say) is not stored.
        if not sources.still(source, bool(whole or new or source.login)):
            raise Busy("the data source has just been changed; try again")
        yield
        if new:
            _declare(source, new)


def _declare(source: Source, keys: Sequence[str]) -> None:
    """Append columns that rows have and the data source does not yet; it is locked."""
    model = DataSource.objects.get(pk=source.id)
    new = list(dict.fromkeys(key for key in keys if key not in model.columns))
    if new:
        if len(model.columns) + len(new) > MAX_COLUMNS:
            raise Malformed(
                f"the data source would have more than {MAX_COLUMNS} columns; "
                f"`{shown(new[0])}` is new"
            )
        model.columns = [*model.columns, *new]
        model.save(update_fields=["columns", "updated_at"])


def insert(source: Source, rows: Sequence[dict[str, Any]]) -> list[Stored]:
    """Write new rows, in `writing`. Raises `AddressTaken`."""
    ready = [passwords.hashed(source, row, {}) for row in rows] if source.secret else rows
    now = timezone.now()
    many = len(ready) >= _COPY_FROM and connection.vendor == "postgresql"
    ids = (_copy if many else _create)(source, ready, now)
    _check_addresses(source, ready)
    return [Stored(key, row, now, now) for key, row in zip(ids, ready, strict=True)]


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
        batch_size=_WRITE_BATCH,
    )
    return [entry.pk for entry in made]


def _copy(source: Source, rows: Sequence[dict[str, Any]], now: datetime) -> list[int]:
    """Many new rows on PostgreSQL, several times as fast as by INSERT. COPY tells no ids, so that
    they are taken out of the sequence first.
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


def update(source: Source, changes: Sequence[tuple[Stored, dict[str, Any]]]) -> list[Stored]:
    """Write rows anew, in `writing`, each beside what was stored. Raises `AddressTaken`."""
    now = timezone.now()
    for _, row in changes:
        # Columns that are merged, each time a few, could become any number.
        problem = problem_with_row(row)
        if problem:
            raise Malformed(problem)
    ready = [(before, passwords.hashed(source, row, before.data)) for before, row in changes]
    written = [(before.id, dumps(row), holds_nested_list(row)) for before, row in ready]
    for at in range(0, len(written), _WRITE_BATCH):
        _rewrite(source, written[at : at + _WRITE_BATCH], now)
    moved = [row for before, row in ready if _address(source, row) != _address(source, before.data)]
    _check_addresses(source, moved)
    return [Stored(before.id, row, before.created_at, now, before.order) for before, row in ready]


def _rewrite(source: Source, rows: Sequence[tuple[int, str, bool]], now: datetime) -> None:
    """Rows anew, by (id, JSON text, whether lists nest in it): one statement on PostgreSQL."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
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
    """Delete entries of this data source by id; how many there were."""
    wanted = sorted(set(ids))
    total = 0
    for at in range(0, len(wanted), _WRITE_BATCH):
        total += (
            Entry.objects.filter(data_source_id=source.id, pk__in=wanted[at : at + _WRITE_BATCH])
            .delete()[1]
            .get(Entry._meta.label, 0)
        )
    return total


def delete_where(source: Source, where: Node) -> int:
    """Delete the entries that fit, and the sessions of those who signed in with them."""
    condition = _condition(source.id, where)
    wait = " FOR UPDATE" if connection.vendor == "postgresql" else ""
    # By id, as commits do, so that nobody waits in a circle.
    rows = _run(
        f"SELECT id FROM {TABLE} WHERE {condition.text} ORDER BY id{wait}", condition.params
    )
    return delete(source, [row[0] for row in rows])


def _address(source: Source, row: Mapping[str, Any]) -> str | None:
    return normal_address(row.get(source.login.email_column)) if source.login else None


def _check_addresses(source: Source, written: Sequence[Mapping[str, Any]]) -> None:
    """After a write: does any address that was written stand in two rows?"""
    wanted = {address for row in written if (address := _address(source, row))}
    if not wanted or source.login is None:
        return
    if len(wanted) <= 10:
        counts = [len(login_rows(source.id, source.login, address)) for address in wanted]
    else:
        held = [_address(source, entry.data) for entry in fetch_where(source, EVERYTHING).values()]
        seen: dict[str | None, int] = {}
        for address in held:
            seen[address] = seen.get(address, 0) + 1
        counts = [seen.get(address, 0) for address in wanted]
    if max(counts) > 1:
        raise AddressTaken("another row has that address")


# -- the admin's own door, for those whom Django's permissions let in


def admin_save(
    source: Source, entry_id: int | None, row: dict[str, Any], order: int = 0
) -> Stored | None:
    """Write one row past the rules; secrets that are not sent stay. None: it is gone."""
    with writing(source, row):
        if entry_id is None:
            saved = insert(source, [row])[0]
        else:
            before = fetch(source, [entry_id], lock=True).get(entry_id)
            if before is None:
                return None
            kept = {key: before.data[key] for key in source.secret if key in before.data}
            saved = update(source, [(before, {**kept, **row})])[0]
        Entry.objects.filter(pk=saved.id).update(order=order)
    return saved


def admin_page(
    source: Source, where: Node, order: Sequence[OrderTerm], limit: int, offset: int
) -> list[Stored]:
    """A page of entries past the rules, without secrets."""
    condition = _condition(source.id, where)
    sorting = order_sql(dialect(), order)
    text = row_text(dialect(), Projection(drop=source.secret))
    rows = _run(
        f'SELECT id,{text.text},created_at,updated_at,"order" FROM {TABLE} '
        f"WHERE {condition.text}{sorting.text} LIMIT %s OFFSET %s",
        (*text.params, *condition.params, *sorting.params, limit, offset),
    )
    return [_stored(row) for row in rows]


def holds_text(columns: Iterable[str], text: str) -> Node:
    """A where for the admin's search: some column has the text in it, in any case."""
    pattern = f"%{text}%"
    return any_of(column_is(column, "$iLike", pattern) for column in columns)


def counts(source_ids: Iterable[int]) -> dict[int, int]:
    """How many entries each of these data sources has; one without any is absent."""
    found = Entry.objects.filter(data_source_id__in=list(source_ids)).order_by()
    return dict(found.values_list("data_source_id").annotate(Count("id")))


# -- import and export


def column_names(source: Source) -> list[str]:
    """Every column that a row has, secrets aside: the declared ones first, in their order."""
    if connection.vendor == "sqlite":
        keys = "SELECT DISTINCT k.key FROM {entries} e, json_each(e.data) k WHERE e."
    else:
        keys = "SELECT DISTINCT jsonb_object_keys(e.data) FROM {entries} e WHERE e."
    with connection.cursor() as cursor:
        cursor.execute(f"{keys.format(entries=TABLE)}data_source_id=%s", [source.id])
        held = {row[0] for row in cursor.fetchall()}
    declared = [name for name in source.columns if name not in source.secret]
    return [*declared, *sorted(held - {*source.columns, *source.secret})]


def ids(source: Source) -> list[int]:
    """The id of every entry."""
    found = Entry.objects.filter(data_source_id=source.id).order_by("id")
    return list(found.values_list("pk", flat=True))


def state(source: Source, lock: bool = False) -> str:
    """A text that is another one after any entry has come, gone or been written.

    With `lock` no entry is written by anybody else until the transaction ends.
    """
    wait = " FOR UPDATE" if lock and connection.vendor == "postgresql" else ""
    listed = f"SELECT id,updated_at FROM {TABLE} WHERE data_source_id=%s ORDER BY id{wait}"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            each = "hashtextextended(id::text||' '||extract(epoch FROM updated_at)::text,0)"
            summed = f"SELECT count(*)::text||' '||coalesce(sum({each}::numeric),0)::text"
            cursor.execute(f"{summed} FROM ({listed}) AS e", [source.id])
            found: str = cursor.fetchone()[0]
            return found
        digest = sha256()
        cursor.execute(listed, [source.id])
        while rows := cursor.fetchmany(_WRITE_BATCH):
            digest.update(repr(rows).encode())
        return digest.hexdigest()
