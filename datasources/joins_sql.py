"""The SQL of `join`: one query for the joined rows of a whole page of entries.

A value joins what `{column: {"$eq": value}}` finds in the other data source, so a member of a
list there will do. What is missing, null, a list or an object on the entry's side joins nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from .joins import Join, Pair
from .jsonsql import VALUES, Values, listed
from .jsontext import dumps
from .queries import Projection
from .selecting import entry_text, order_sql
from .where.operators import Sql
from .where.sql import Dialect

_CARRIED = 'id,data,"order",data_source_id,created_at,updated_at'

# The JSON texts of an entry's values, one for each pair of `on`.
Key = tuple[str, ...]


def keys_sql(dialect: Dialect, joins: Sequence[Join]) -> list[Sql]:
    """The columns of a query that hold an entry's values for all joins, as JSON text."""
    values = VALUES[dialect.name]
    cast = "" if dialect.name == "sqlite" else "::text"
    found = [values.scalar(pair.left) for join in joins for pair in join.on]
    return [Sql(f"({item.text}){cast}", item.params) for item in found]


def required_sql(dialect: Dialect, join: Join, rows: Sql) -> Sql:
    """The condition of an entry that at least one of `rows` joins: a table with its WHERE."""
    values = VALUES[dialect.name]
    ours = listed([values.scalar(pair.left) for pair in join.on])
    tables, theirs = _leaves(values, join.on)
    return Sql(
        f"({ours.text}) IN (SELECT {','.join(theirs)} FROM (SELECT data FROM {rows.text}) AS j,"
        f"{tables.text})",
        (*ours.params, *rows.params, *tables.params),
    )


def _leaves(values: Values, on: Sequence[Pair]) -> tuple[Sql, list[str]]:
    """The tables of the joined columns' values, and these values as they are compared."""
    names = [f"l{at}" for at in range(len(on))]
    tables = listed(
        [values.leaves("j.data", pair.right, name) for pair, name in zip(on, names, strict=True)]
    )
    return tables, [values.key(values.leaf(name)) for name in names]


def joined_sql(
    dialect: Dialect, join: Join, rows: Sql, shown: Projection, keys: Sequence[Key]
) -> Sql:
    """What is joined to each key, as (place of the key, JSON text); `rows` as above."""
    values = VALUES[dialect.name]
    tables, theirs = _leaves(values, join.on)
    wanted = _wanted(dialect, keys)
    equal = " AND ".join(f"{leaf}=w.k{at}" for at, leaf in enumerate(theirs))
    found = Sql(
        f"WITH j AS (SELECT {_CARRIED} FROM {rows.text}),w AS ({wanted.text}),"
        f"m AS (SELECT DISTINCT w.at,j.id AS found FROM j CROSS JOIN {tables.text},w "
        f"WHERE {equal})",
        (*rows.params, *wanted.params, *tables.params),
    )
    rest = _answer(dialect, join, shown)
    return Sql(f"{found.text}{rest.text}", (*found.params, *rest.params))


def _wanted(dialect: Dialect, keys: Sequence[Key]) -> Sql:
    """The keys as a table: their place, then their values."""
    width = range(len(keys[0]))
    if dialect.name == "sqlite":
        columns = ",".join(f"json_extract(value,'$[{at}]') AS k{at}" for at in width)
        return Sql(f"SELECT key AS at,{columns} FROM json_each(%s)", (dumps(list(keys)),))
    columns = ",".join(["at", *(f"k{at}" for at in width)])
    given = ",".join(["%s::integer[]", *("%s::jsonb[]" for _ in width)])
    return Sql(
        f"SELECT {columns} FROM unnest({given}) AS u({columns})",
        (list(range(len(keys))), *([key[at] for key in keys] for at in width)),
    )


def _answer(dialect: Dialect, join: Join, shown: Projection) -> Sql:
    values = VALUES[dialect.name]
    if join.kind in ("has", "count"):
        return Sql(" SELECT at,count(*) FROM m GROUP BY at")
    both = "m JOIN j ON j.id=m.found"
    if join.kind == "sum":
        value = values.at("data", (join.sum,))
        total = values.text(f"({values.accumulators['$sum']('v')})")
        return Sql(
            f",t AS (SELECT at,{value.text} AS v FROM {both}) SELECT at,{total} FROM t GROUP BY at",
            value.params,
        )
    order = order_sql(dialect, join.order)
    columns = join.attributes.columns
    text = entry_text(
        dialect, shown.narrowed(columns), join.attributes.fields, columns is None or columns != ()
    )
    limit = Sql("") if join.limit is None else Sql(" WHERE n<=%s", (join.limit,))
    return Sql(
        f",t AS (SELECT at,{_CARRIED},row_number() OVER (PARTITION BY at{order.text}) AS n "
        f"FROM {both}) SELECT at,{text.text} FROM t{limit.text} ORDER BY at,n",
        (*order.params, *text.params, *limit.params),
    )
