"""The SQL of `join`: one query for the joined rows of a whole page of entries.

A value joins the rows that `{column: {"$eq": value}}` finds in the other data source, so a member
of a list there matches, too. If the entry's value is missing, null, a list or an object, it joins
nothing.

Lists that other users have stored may cost time in proportion to their length, but no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..query.joins import Join, Pair
from ..query.select import Projection
from ..sql import Sql, concat, separated
from ..values.codec import dumps
from .json_values import VALUES, Values, listed
from .projection import entry_text, order_sql
from .where import Dialect

_CARRIED = 'id,data,"order",data_source_id,created_at,updated_at'

# The most rows in the answer of one join.
MAX_JOINED = 1_000_000

# The JSON texts of an entry's values, one for each pair of `on`.
Key = tuple[str, ...]


def keys_sql(dialect: Dialect, joins: Sequence[Join]) -> list[Sql]:
    """Return the columns of a query with an entry's values for all joins, as JSON text."""
    values = VALUES[dialect.name]
    cast = "" if dialect.name == "sqlite" else "::text"
    found = [values.scalar(pair.left) for join in joins for pair in join.on]
    return [concat("(", item, f"){cast}") for item in found]


def required_sql(dialect: Dialect, join: Join, rows: Sql, ours: Sql) -> Sql:
    """Return the condition that at least one of `rows` joins an entry.

    `rows` and `ours` (the entries that are tested) are tables with their WHERE.
    """
    values, on = VALUES[dialect.name], join.on
    sides = listed([values.scalar(pair.left) for pair in on])
    within = concat(f"SELECT {_keys(on)} FROM (", _found(values, on, rows), ") AS x")
    if len(on) > 1:
        mine = listed(
            [concat(values.scalar(pair.left), f" AS k{at}") for at, pair in enumerate(on)]
        )
        within = concat(
            "WITH l AS MATERIALIZED (",
            _lists(values, on, rows),
            "),w AS MATERIALIZED (SELECT DISTINCT ",
            mine,
            " FROM ",
            ours,
            " AND EXISTS(SELECT 1 FROM l)) ",
            within,
            f" UNION ALL SELECT {_keys(on)} FROM (",
            _of_lists(values, on, _keys(on, "w.")),
            ") AS s",
        )
    return concat("(", sides, ") IN (", within, ")")


def _keys(on: Sequence[Pair], of: str = "") -> str:
    return ",".join(f"{of}k{at}" for at in range(len(on)))


def _found(values: Values, on: Sequence[Pair], rows: Sql) -> Sql:
    """Return the values of the joined columns, (id, `k0`, `k1` …), a row for each list member.

    Rows without a list, which are nearly all, need no function call. Rows with several lists are
    left to `_of_lists`.
    """
    types = [values.type_at(pair.right) for pair in on]
    plain = _conditions(types, f" IN {values.scalars}", " AND ")
    one = _number_of_lists(types, "=1")
    direct = [values.at("data", (pair.right,)) for pair in on]
    reached = listed([concat(item, f" AS l{at}") for at, item in enumerate(direct)])
    leaves = listed([values.leaves("j.data", pair.right, f"t{at}") for at, pair in enumerate(on)])
    places = range(len(on))
    of_plain = ",".join(f"{values.key(f'l{at}')} AS k{at}" for at in places)
    of_lists = ",".join(f"{values.key(values.leaf(f't{at}'))} AS k{at}" for at in places)
    return concat(
        f"SELECT found,{of_plain} FROM (SELECT id AS found,",
        reached,
        " FROM ",
        rows,
        " AND ",
        plain,
        f") AS p UNION ALL SELECT found,{of_lists} FROM (SELECT id AS found,data FROM ",
        rows,
        " AND ",
        one,
        ") AS j,",
        leaves,
    )


def _number_of_lists(types: Sequence[Sql], test: str) -> Sql:
    counted = [concat("CASE WHEN ", item, "='array' THEN 1 ELSE 0 END") for item in types]
    return concat("(", separated("+", counted), f"){test}")


def _lists(values: Values, on: Sequence[Pair], rows: Sql) -> Sql:
    """Return the rows that have lists in several of the columns."""
    several = _number_of_lists([values.type_at(pair.right) for pair in on], ">1")
    return concat("SELECT id AS found,data FROM ", rows, " AND ", several)


def _of_lists(values: Values, on: Sequence[Pair], head: str) -> Sql:
    """Return the matches of `w` with rows of `l`, which have several lists: (`head` of `w`, id).

    Each column is matched separately, because two lists in a row of one megabyte have ten billion
    pairs of members.
    """
    parts = [
        concat(
            f"SELECT {head},l.found FROM l,",
            values.leaves("l.data", pair.right, "t"),
            f",w WHERE {values.key(values.leaf('t'))}=w.k{at}",
        )
        for at, pair in enumerate(on)
    ]
    return separated(" INTERSECT ", parts)


def _conditions(types: Sequence[Sql], test: str, word: str) -> Sql:
    return concat("(", separated(word, [concat(item, test) for item in types]), ")")


def joined_sql(
    dialect: Dialect, join: Join, table: str, rows: Sql, shown: Projection, keys: Sequence[Key]
) -> Sql:
    """Return the joined rows of each key, as (position of the key, JSON text).

    A join of kind `entries` returns (position, id, JSON text or NULL if another line has the text
    of this id), and at most one line more than MAX_JOINED.

    `table` is the table of all entries; `rows` are those of the joined data source that may be
    read.
    """
    values = VALUES[dialect.name]
    on = join.on
    equal = " AND ".join(f"x.k{at}=w.k{at}" for at in range(len(on)))
    found = concat(
        "WITH w AS MATERIALIZED (",
        _wanted(dialect, keys),
        "),x AS (",
        _found(values, on, rows),
        "),",
    )
    matches = Sql(f"SELECT DISTINCT w.at,x.found FROM x JOIN w ON {equal}")
    if len(on) > 1:
        found = concat(found, "l AS MATERIALIZED (", _lists(values, on, rows), "),")
        several = _of_lists(values, on, "w.at")
        matches = concat(matches, " UNION ALL SELECT at,found FROM (", several, ") AS s")
    rest = _answer(dialect, join, f"m JOIN {table} ON id=found", shown)
    return concat(found, "m AS (", matches, ")", rest)


def _wanted(dialect: Dialect, keys: Sequence[Key]) -> Sql:
    """Return the keys as a table: their position, then their values."""
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


def _answer(dialect: Dialect, join: Join, both: str, shown: Projection) -> Sql:
    values = VALUES[dialect.name]
    if join.kind in ("has", "count"):
        return Sql(" SELECT at,count(*) FROM m GROUP BY at")
    if join.kind == "sum":
        value = values.at("data", (join.sum,))
        total = values.text(f"({values.accumulators['$sum']('v')})")
        return concat(
            ",t AS (SELECT at,",
            value,
            f" AS v FROM {both}) SELECT at,{total} FROM t GROUP BY at",
        )
    order = order_sql(dialect, join.order)
    columns = join.attributes.columns
    text = entry_text(
        dialect,
        shown.restricted_to(columns),
        join.attributes.fields,
        columns is None or columns != (),
    )
    limit = Sql("") if join.limit is None else Sql(" WHERE n<=%s", (join.limit,))
    return concat(
        f",t AS (SELECT at,{_CARRIED},row_number() OVER (PARTITION BY at",
        order,
        f") AS n FROM {both}),o AS (SELECT at,n,{_CARRIED},row_number() OVER (PARTITION BY id "
        "ORDER BY at) AS time FROM t",
        limit,
        ") SELECT at,id,CASE WHEN time=1 THEN ",
        text,
        f" END FROM o ORDER BY at,n LIMIT {MAX_JOINED + 1}",
    )
