"""Reads and writes for the admin, import and export, to which Django's permissions give access.

They bypass the access rules, but never show secret columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from django.db.models import Count

from ..catalog.registry import Source
from ..compiler.projection import order_sql, row_text
from ..database.connection import connection, features
from ..database.features import POSTGRESQL, SQLITE
from ..models import Entry
from ..query.select import OrderTerm, Projection
from ..query.where import Node, any_of
from ..query.where.nodes import column_is
from ..sql import Sql, concat
from ..values.codec import path_of
from .read import fetch
from .statements import TABLE, StoredEntry, condition_of, dialect, run, stored
from .write import WRITE_BATCH, insert, update, writing

# The most columns that one statement counts.
_MOST_COUNTED = 50


def admin_save(
    source: Source, entry_id: int | None, row: dict[str, Any], order: int = 0
) -> StoredEntry | None:
    """Write one row without asking the rules; return None if the entry no longer exists.

    Secret columns that `row` leaves out keep their values.
    """
    # An administrator who types a new column declares it. A column that a write made stays
    # undeclared.
    new = [name for name in row if name not in source.columns]
    with writing(source, new, declares=True):
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
) -> list[StoredEntry]:
    """Return a page of entries without asking the rules; secret columns are left out."""
    sql = concat(
        "SELECT id,",
        row_text(dialect(), Projection(drop=source.secret)),
        f',created_at,updated_at,"order" FROM {TABLE} WHERE ',
        condition_of(source.id, where),
        order_sql(dialect(), order),
        Sql(" LIMIT %s OFFSET %s", (limit, offset)),
    )
    rows = run(sql)
    return [stored(row) for row in rows]


def holds_text(columns: Iterable[str], text: str) -> Node:
    """Return the where of the admin's search: some column contains the text, in any case."""
    pattern = f"%{text}%"
    return any_of(column_is(column, "$iLike", pattern) for column in columns)


def counts(source_ids: Iterable[int]) -> dict[int, int]:
    """Return the number of entries by data source id; data sources without any are left out."""
    found = Entry.objects.filter(data_source_id__in=list(source_ids)).order_by()
    return dict(found.values_list("data_source_id").annotate(Count("id")))


def column_counts(source_id: int, names: Sequence[str]) -> dict[str, int]:
    """Return the number of entries that have each of these columns, null values included.

    Columns that no entry has are left out.
    """
    found: dict[str, int] = {}
    for at in range(0, len(names), _MOST_COUNTED):
        part = names[at : at + _MOST_COUNTED]
        if features() is SQLITE:
            holds, params = "json_type(data,%s) IS NOT NULL", [path_of(name) for name in part]
        else:
            holds, params = "data ? %s", list(part)
        counted = ",".join(f"count(*) FILTER (WHERE {holds})" for _ in part)
        row = run(
            Sql(f"SELECT {counted} FROM {TABLE} WHERE data_source_id=%s", (*params, source_id))
        )[0]
        found |= {name: count for name, count in zip(part, row, strict=True) if count}
    return found


def text_counts(source_id: int | None, names: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Return the number of entries, and by column how many have a text that is not empty.

    `names` are a few columns. A data source that is not saved yet (None) has no entries.
    """
    if source_id is None:
        return 0, dict.fromkeys(names, 0)
    params: list[str] = []
    for name in names:
        params += [path_of(name)] * 2 if features() is SQLITE else [name] * 2
    if features() is SQLITE:
        holds = "json_type(data,%s)='text' AND json_extract(data,%s)<>''"
    else:
        holds = "jsonb_typeof(data->(%s::text))='string' AND data->>(%s::text)<>''"
    counted = "".join(f",count(*) FILTER (WHERE {holds})" for _ in names)
    sql = f"SELECT count(*){counted} FROM {TABLE} WHERE data_source_id=%s"
    total, *found = run(Sql(sql, (*params, source_id)))[0]
    return int(total), {name: int(count) for name, count in zip(names, found, strict=True)}


def column_names(source: Source) -> list[str]:
    """Return every column that a row has, without secrets: the declared ones first, in order."""
    if features() is SQLITE:
        keys = "SELECT DISTINCT k.key FROM {entries} e, json_each(e.data) k WHERE e."
    else:
        keys = "SELECT DISTINCT jsonb_object_keys(e.data) FROM {entries} e WHERE e."
    with connection.cursor() as cursor:
        cursor.execute(f"{keys.format(entries=TABLE)}data_source_id=%s", [source.id])
        held = {row[0] for row in cursor.fetchall()}
    declared = [name for name in source.columns if name not in source.secret]
    return [*declared, *sorted(held - {*source.columns, *source.secret})]


def ids(source: Source) -> list[int]:
    """Return the ids of all entries, in ascending order."""
    found = Entry.objects.filter(data_source_id=source.id).order_by("id")
    return list(found.values_list("pk", flat=True))


def state(source: Source, lock: bool = False) -> str:
    """Return a digest that changes when any entry is added, written or deleted.

    With `lock`, nobody else can write these entries until the transaction ends. On SQLite, the
    write lock of the transaction already ensures that.
    """
    wait = features().for_update if lock else ""
    listed = f"SELECT id,updated_at FROM {TABLE} WHERE data_source_id=%s ORDER BY id{wait}"
    with connection.cursor() as cursor:
        if features() is POSTGRESQL:
            each = "hashtextextended(id::text||' '||extract(epoch FROM updated_at)::text,0)"
            summed = f"SELECT count(*)::text||' '||coalesce(sum({each}::numeric),0)::text"
            cursor.execute(f"{summed} FROM ({listed}) AS e", [source.id])
            found: str = cursor.fetchone()[0]
            return found
        digest = sha256()
        cursor.execute(listed, [source.id])
        while rows := cursor.fetchmany(WRITE_BATCH):
            digest.update(repr(rows).encode())
        return digest.hexdigest()
