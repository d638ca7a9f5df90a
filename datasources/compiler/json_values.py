"""JSON values in SQL: access, comparison, order and text, with the same results on both databases.

A value is a jsonb on PostgreSQL and JSON text on SQLite; a missing value is SQL's NULL. The
functions take the name of a column that holds a value, never an expression with parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..sql import NEVER, Sql, balanced, concat, separated, text_array
from ..values.codec import path_of
from ..values.ranks import rank_postgresql, rank_sqlite


@dataclass(frozen=True, slots=True)
class Values:
    """How one database handles JSON values."""

    # The value at a path in a column that holds a row or another value: (column, keys).
    at: Callable[[str, Sequence[str]], Sql]
    # A parameter that is JSON text.
    parameter: str
    # The value as JSON text.
    text: Callable[[str], str]
    # JSON text as a value.
    value: Callable[[str], str]
    # One representation for all equal values, missing and null included, for groups and joins.
    key: Callable[[str], str]
    # The keys by which a value is sorted: the kind of value, the number, the text.
    ranks: Callable[[str], tuple[str, str, str]]
    # The number that a value is, or that its text represents; otherwise null.
    to_number: Callable[[str], str]
    # The accumulators of `aggregate`, each as a value.
    accumulators: dict[str, Callable[[str], str]]
    # The value of a column if it is a text, a number or a boolean; otherwise NULL.
    scalar: Callable[[str], Sql]
    # The values of a column, with lists expanded, as a table: (rows, column, the table's name).
    # Its one column is `leaf(table)`.
    leaves: Callable[[str, str, str], Sql]
    leaf: Callable[[str], str]
    # The type of a column's value ('array' for a list), and the types that are scalar.
    type_at: Callable[[str], Sql]
    scalars: str


# -- SQLite


def _at_sqlite(column: str, path: Sequence[str]) -> Sql:
    return Sql(f"({column}->%s)", ("$" + "".join(path_of(key)[1:] for key in path),))


def _key_sqlite(v: str) -> str:
    return (
        f"CASE coalesce(json_type({v}),'null') WHEN 'null' THEN 'null' "
        f"WHEN 'text' THEN {v} WHEN 'integer' THEN {v} WHEN 'true' THEN {v} "
        f"WHEN 'false' THEN {v} ELSE rowkeeper_spelled({v}) END"
    )


def _ranks_sqlite(v: str) -> tuple[str, str, str]:
    return (
        rank_sqlite(f"json_type({v})"),
        f"CASE json_type({v}) WHEN 'integer' THEN json_extract({v},'$') "
        f"WHEN 'real' THEN rowkeeper_real({v}) END",
        f"CASE json_type({v}) WHEN 'text' THEN json_extract({v},'$') END",
    )


def _scalar_sqlite(column: str) -> Sql:
    path = path_of(column)
    return Sql(
        "CASE WHEN json_type(data,%s)='real' THEN rowkeeper_spelled(data->%s) "
        "WHEN json_type(data,%s) IN ('text','integer','true','false') THEN data->%s END",
        (path,) * 4,
    )


def _leaves_sqlite(rows: str, column: str, name: str) -> Sql:
    return Sql(f"json_each(rowkeeper_walk({rows},%s)) AS {name}", (f"[{path_of(column)[2:]}]",))


SQLITE = Values(
    at=_at_sqlite,
    parameter="%s",
    text=lambda v: v,
    value=lambda text: text,
    key=_key_sqlite,
    ranks=_ranks_sqlite,
    to_number=lambda v: f"rowkeeper_to_number({v})",
    accumulators={
        "$sum": lambda v: f"rowkeeper_sum({v})",
        "$avg": lambda v: f"rowkeeper_avg({v})",
        "$min": lambda v: f"rowkeeper_min({v})",
        "$max": lambda v: f"rowkeeper_max({v})",
    },
    scalar=_scalar_sqlite,
    leaves=_leaves_sqlite,
    leaf=lambda name: f"{name}.value",
    type_at=lambda column: Sql("json_type(data,%s)", (path_of(column),)),
    scalars="('text','integer','real','true','false')",
)


# -- PostgreSQL

# ASCII whitespace, a sign, digits, and an exponent of at most three digits.
_BLANKS = r" \t\n\v\f\r"
_SPELLS_NUMBER = (
    rf"E'^[{_BLANKS}]*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?0*[0-9]{{1,3}})?[{_BLANKS}]*$'"
)


def _spelled(n: str) -> str:
    """Return a numeric as jsonb: 64-bit whole numbers as they are, others as the nearest double.

    `numbers.spelled` does the same in Python.
    """
    return (
        f"CASE WHEN {n}=trunc({n}) AND abs({n})<9223372036854775808 THEN to_jsonb(trunc({n})) "
        f"WHEN abs({n})>1.7976931348623157e308 THEN 'null'::jsonb "
        f"WHEN abs({n})<2.5e-324 THEN '0'::jsonb ELSE to_jsonb(({n})::float8) END"
    )


def _number(v: str) -> str:
    return f"CASE jsonb_typeof({v}) WHEN 'number' THEN ({v})::numeric END"


def _text(v: str) -> str:
    return f"CASE jsonb_typeof({v}) WHEN 'string' THEN {v}#>>'{{}}' END COLLATE \"C\""


def _boolean(v: str) -> str:
    return f"CASE jsonb_typeof({v}) WHEN 'boolean' THEN ({v})::boolean END"


def _at_postgresql(column: str, path: Sequence[str]) -> Sql:
    return Sql(f"({column}{'->%s::text' * len(path)})", tuple(path))


def _key_postgresql(v: str) -> str:
    return (
        f"CASE jsonb_typeof({v}) WHEN 'number' THEN {_spelled(f'({v})::numeric')} "
        f"ELSE coalesce({v},'null') END"
    )


def _ranks_postgresql(v: str) -> tuple[str, str, str]:
    return (
        rank_postgresql(f"jsonb_typeof({v})", v),
        _number(v),
        _text(v),
    )


def _to_number_postgresql(v: str) -> str:
    text = f"{v}#>>'{{}}'"
    number = f"btrim({text},E'{_BLANKS}')::numeric"
    return (
        f"CASE jsonb_typeof({v}) WHEN 'number' THEN {v} WHEN 'string' THEN "
        f"CASE WHEN octet_length({text})<=400 AND {text} ~ {_SPELLS_NUMBER} "
        f"THEN {_spelled(number)} "
        "ELSE 'null' END ELSE 'null' END"
    )


def _avg_postgresql(v: str) -> str:
    number = _number(v)
    # Through text, because the cast from a double to numeric keeps only 15 digits.
    mean = f"((sum({number})::float8/count({number}))::text::numeric)"
    return (
        f"CASE WHEN count({number})=0 OR abs(sum({number}))>1.7976931348623157e308 "
        f"THEN 'null'::jsonb WHEN abs(sum({number}))<1e-300 THEN '0' ELSE {_spelled(mean)} END"
    )


def _min_postgresql(v: str) -> str:
    return (
        f"CASE WHEN count({_boolean(v)})>0 THEN to_jsonb(bool_and({_boolean(v)})) "
        f"WHEN count({_number(v)})>0 THEN {_spelled(f'min({_number(v)})')} "
        f"WHEN count({_text(v)})>0 THEN to_jsonb(min({_text(v)})) ELSE 'null' END"
    )


def _max_postgresql(v: str) -> str:
    return (
        f"CASE WHEN count({_text(v)})>0 THEN to_jsonb(max({_text(v)})) "
        f"WHEN count({_number(v)})>0 THEN {_spelled(f'max({_number(v)})')} "
        f"WHEN count({_boolean(v)})>0 THEN to_jsonb(bool_or({_boolean(v)})) ELSE 'null' END"
    )


def _scalar_postgresql(column: str) -> Sql:
    return Sql(
        "CASE WHEN jsonb_typeof(data->%s) IN ('string','number','boolean') THEN data->%s END",
        (column,) * 2,
    )


def _leaves_postgresql(rows: str, column: str, name: str) -> Sql:
    return Sql(f"rowkeeper_walk({rows},%s::text[]) AS {name}", (text_array([column]),))


POSTGRESQL = Values(
    at=_at_postgresql,
    parameter="%s::jsonb",
    text=lambda v: f"{v}::text",
    value=lambda text: f"({text})::jsonb",
    key=_key_postgresql,
    ranks=_ranks_postgresql,
    to_number=_to_number_postgresql,
    accumulators={
        "$sum": lambda v: _spelled(f"coalesce(sum({_number(v)}),0)"),
        "$avg": _avg_postgresql,
        "$min": _min_postgresql,
        "$max": _max_postgresql,
    },
    scalar=_scalar_postgresql,
    leaves=_leaves_postgresql,
    leaf=lambda name: f"{name}.v",
    type_at=lambda column: Sql("jsonb_typeof(data->%s)", (column,)),
    scalars="('string','number','boolean')",
)

VALUES = {"sqlite": SQLITE, "postgresql": POSTGRESQL}


# -- shared by both databases


def object_text(values: Values, members: Iterable[tuple[str, str]]) -> Sql:
    """Return the JSON text of an object, from (key, column); missing members are left out.

    The concatenation is a balanced tree, because SQLite limits the depth of expressions.
    """
    items = [
        Sql(
            f"CASE WHEN {column} IS NULL THEN '' ELSE %s||{values.text(column)} END",
            (f",{path_of(key)[2:]}:",),
        )
        for key, column in members
    ]
    if not items:
        return Sql("'{}'")
    return concat("'{'||substr(", balanced(items, "||", NEVER), ",2)||'}'")


def listed(items: Sequence[Sql]) -> Sql:
    """Return the items, separated by commas."""
    return separated(",", items)
