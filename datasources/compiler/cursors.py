"""The SQL of `after`: the values of a row that a cursor holds, and the rows behind it.

The comparison follows `projection.order_sql`: first the type, then the number or text. All lists
and objects compare as equal, so the next term or the id decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..query.cursors import Place
from ..query.select import OrderTerm
from ..sql import Sql, concat, separated
from ..values.codec import loads, restore_large_doubles
from ..values.ranks import NUMBER, TEXT, rank
from .json_values import VALUES
from .projection import FIELD_COLUMNS, order_keys
from .where import Dialect

_TIMES = ("createdAt", "updatedAt")


# -- the place of a row


def place_sql(dialect: Dialect, order: Sequence[OrderTerm]) -> list[Sql]:
    """Return the columns of a query that make up a cursor of each row, with the id last."""
    return [*(_held(dialect, term) for term in order), Sql("id")]


def _held(dialect: Dialect, term: OrderTerm) -> Sql:
    if not term.is_column:
        column = FIELD_COLUMNS[term.name]
        if term.name not in _TIMES:
            return Sql(column)
        if dialect.name == "postgresql":
            return Sql(f"to_char({column} AT TIME ZONE 'UTC','YYYY-MM-DD HH24:MI:SS.US')")
        # As it is stored: Django converts a plain column to a `datetime`.
        return Sql(f"{column}||''")
    value = VALUES[dialect.name].at("data", (term.name,))
    kind, cast = ("json_type", "") if dialect.name == "sqlite" else ("jsonb_typeof", "::text")
    return concat(
        f"CASE WHEN {kind}(", value, ") IN ('array','object') THEN '[]' ELSE ", value, f"{cast} END"
    )


def place_of(order: Sequence[OrderTerm], row: Sequence[Any]) -> Place:
    """Return the place of a row in an order, from the columns of `place_sql`.

    The values of columns are JSON text in `row`, and are parsed.
    """
    found = [
        loads(restore_large_doubles(item)) if term.is_column and item is not None else item
        for term, item in zip(order, row, strict=False)
    ]
    return (*found, row[-1])


# -- what comes behind it


def behind_sql(dialect: Dialect, order: Sequence[OrderTerm], place: Place) -> Sql:
    """Return the condition for the rows behind a place in this order.

    It says `+id` for `id`, because SQLite would otherwise choose the index of ids, and read every
    row behind the place, although few of them match.
    """
    alternatives, alike = [], Sql("1=1")
    for term, value in zip(order, place, strict=False):
        sign = "<" if term.descending else ">"
        beyond, level = (_by_column if term.is_column else _by_field)(dialect, term, value, sign)
        alternatives.append(_both(alike, beyond))
        alike = _both(alike, level)
    alternatives.append(_both(alike, Sql("+id>%s", (place[-1],))))
    # Flat, because SQLite's parser limits nesting.
    return concat("(", separated(" OR ", alternatives), ")")


def _both(one: Sql, other: Sql) -> Sql:
    return concat(one, " AND ", other)


def _by_field(dialect: Dialect, term: OrderTerm, value: Any, sign: str) -> tuple[Sql, Sql]:
    column, given = FIELD_COLUMNS[term.name], "%s"
    if term.name == "id":
        column = "+id"
    if term.name in _TIMES and dialect.name == "postgresql":
        given = "(%s::timestamp AT TIME ZONE 'UTC')"
    return Sql(f"{column}{sign}{given}", (value,)), Sql(f"{column}={given}", (value,))


def _by_column(dialect: Dialect, term: OrderTerm, value: Any, sign: str) -> tuple[Sql, Sql]:
    """Return the conditions (behind the value, equal to the value)."""
    kind, number, text = order_keys(dialect, term.name)
    place = rank(value)
    beyond, level = concat("(", kind, f"){sign}{place}"), concat("(", kind, f")={place}")
    if place not in (NUMBER, TEXT):
        return beyond, level
    key = number if place == NUMBER else text
    given = Sql("%s", (value,))
    if place == NUMBER and dialect.name == "postgresql":
        given = Sql("%s::numeric", (repr(value),))

    def compared(by: str) -> Sql:
        return concat("(", level, " AND (", key, f"){by}", given, ")")

    return concat("(", beyond, " OR ", compared(sign), ")"), compared("=")
