"""The SQL of an answer: which columns of a row, in which order, as the JSON text of entries.

Rows go from the database to the answer as text. Each part has the SQL of both databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..caching import memoize
from ..query.select import OrderTerm, Projection
from ..sql import NEVER, Sql, balanced, concat, separated, text_array
from ..values.codec import dumps, path_of
from ..values.ranks import rank_postgresql, rank_sqlite
from ..values.validation import BLANKS
from .where import Dialect

FIELD_COLUMNS = {
    "id": "id",
    "order": '"order"',
    "dataSourceId": "data_source_id",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


# The most characters of picked columns for which the text is cached: clients name the columns.
_MAX_KEPT = 5_000


def entry_text(dialect: Dialect, projection: Projection, fields: tuple[str, ...], row: bool) -> Sql:
    """Return the JSON text of an entry: these `fields`, and with `row` its `data`."""
    short = projection.pick is None or sum(map(len, projection.pick)) <= _MAX_KEPT
    return (_kept_text if short else _entry_text)(dialect, projection, fields, row)


def _entry_text(
    dialect: Dialect, projection: Projection, fields: tuple[str, ...], row: bool
) -> Sql:
    parts: list[Sql] = []
    for name in fields:
        parts.append(Sql(f"'\"{name}\":'||{field_text(dialect, name)}"))
    if row:
        data = concat("'\"data\":'||", row_text(dialect, projection))
        parts.insert(min(1, len(parts)), data)
    return concat("'{'||", separated("||','||", parts), "||'}'")


_kept_text = memoize(1_000, f"{__name__}.kept_text")(_entry_text)


def field_text(dialect: Dialect, name: str) -> str:
    """Return the JSON text of a field of an entry."""
    column = FIELD_COLUMNS[name]
    if name not in ("createdAt", "updatedAt"):
        return column
    if dialect.name == "sqlite":
        # Django stores `2026-01-31 12:00:00`, followed by `.123456` unless that is zero.
        return f"'\"'||substr({column},1,10)||'T'||substr({column}||'.000',12,12)||'Z\"'"
    return f"to_char({column} AT TIME ZONE 'UTC',{_TIME_POSTGRESQL})"


# In quotes, as JSON requires; in a format, a literal quote is written `\\"`.
_TIME_POSTGRESQL = '\'\\"YYYY-MM-DD"T"HH24:MI:SS.MS"Z\\"\''


def row_text(dialect: Dialect, projection: Projection) -> Sql:
    """Return the JSON text of a row with the columns that the projection shows."""
    sqlite = dialect.name == "sqlite"
    if projection.pick is not None:
        shown = sorted(filter(projection.shows, projection.pick))
        return _picked_sqlite(shown) if sqlite else _picked_postgresql(shown)
    if not projection.drop:
        return Sql("data" if sqlite else "data::text")
    hidden = sorted(projection.drop)
    if not sqlite:
        return Sql("(data-%s::text[])::text", (text_array(hidden),))
    # A function of SQLite takes at most 127 arguments.
    text = "data"
    for at in range(0, len(hidden), 100):
        text = f"json_remove({text}{',%s' * len(hidden[at : at + 100])})"
    return Sql(text, tuple(path_of(column) for column in hidden))


def _picked_postgresql(columns: list[str]) -> Sql:
    return Sql(
        "coalesce((SELECT jsonb_object_agg(c,data->c) FROM unnest(%s::text[]) AS c "
        "WHERE data ? c),'{}')::text",
        (text_array(columns),),
    )


def _picked_sqlite(columns: list[str]) -> Sql:
    """Return each column as `,"name":value`, or nothing, as an object.

    The concatenation is a balanced tree, because SQLite limits the depth of expressions.
    `json_group_object` would format numbers again, with fewer digits.
    """
    if not columns:
        return Sql("'{}'")
    items = [
        Sql(
            "CASE WHEN json_type(data,%s) IS NULL THEN '' ELSE %s||(data->%s) END",
            (path_of(column), f",{path_of(column)[2:]}:", path_of(column)),
        )
        for column in columns
    ]
    return concat("'{'||substr(", balanced(items, "||", NEVER), ",2)||'}'")


def order_sql(dialect: Dialect, terms: Sequence[OrderTerm]) -> Sql:
    """Return `ORDER BY`, which always ends with the id so that the order is unique."""
    parts = [_order_term(dialect, term) for term in terms]
    return concat(" ORDER BY ", separated(",", [*parts, Sql("id")]))


def _order_term(dialect: Dialect, term: OrderTerm) -> Sql:
    direction = " DESC" if term.descending else ""
    if not term.is_column:
        return Sql(FIELD_COLUMNS[term.name] + direction)
    return separated(",", [concat(key, direction) for key in order_keys(dialect, term.name)])


def order_keys(dialect: Dialect, column: str) -> tuple[Sql, ...]:
    """Return the keys by which a column is sorted: the kind of its value, the number, the text."""
    key: Any = path_of(column) if dialect.name == "sqlite" else column
    keys = _ORDER_SQLITE if dialect.name == "sqlite" else _ORDER_POSTGRESQL
    return tuple(Sql(text, (key,) * text.count("%s")) for text in keys)


# The rank, then numbers by value and text by code point.
_ORDER_SQLITE = (
    rank_sqlite("json_type(data,%s)"),
    "CASE json_type(data,%s) WHEN 'integer' THEN json_extract(data,%s) "
    "WHEN 'real' THEN rowkeeper_real(data->%s) END",
    "CASE json_type(data,%s) WHEN 'text' THEN json_extract(data,%s) END",
)
_ORDER_POSTGRESQL = (
    rank_postgresql("jsonb_typeof(data->%s)", "data->%s"),
    "CASE jsonb_typeof(data->%s) WHEN 'number' THEN (data->%s)::numeric END",
    "CASE jsonb_typeof(data->%s) WHEN 'string' THEN data->>%s END COLLATE \"C\"",
)


def distinct_texts(dialect: Dialect, column: str) -> Sql:
    """Return SELECT and FROM for the distinct values of a column, as JSON text, lists expanded."""
    if dialect.name == "sqlite":
        return Sql(
            "SELECT DISTINCT leaf.value FROM {entries},"
            "json_each(rowkeeper_walk(data,%s)) AS leaf WHERE leaf.value IS NOT NULL AND ",
            (dumps([column]),),
        )
    return Sql(
        "SELECT DISTINCT leaf.v::text FROM {entries},"
        "rowkeeper_walk(data,%s::text[]) AS leaf WHERE leaf.v IS NOT NULL AND ",
        (text_array([column]),),
    )


def address_is(dialect: Dialect, column: str, address: str) -> Sql:
    """Return the condition that a column has this address, which is an `address_key`."""
    if dialect.name == "sqlite":
        return Sql(
            "CASE json_type(data,%s) WHEN 'text' THEN "
            "rowkeeper_address(json_extract(data,%s)) END=%s",
            (path_of(column), path_of(column), address),
        )
    return Sql(
        "CASE jsonb_typeof(data->%s) WHEN 'string' THEN "
        "btrim(normalize(rowkeeper_lower(normalize(data->>%s,NFC)),NFC),%s) END=%s",
        (column, column, BLANKS, address),
    )
