"""Replaces many conditions of the same shape by a single one over a list of the values that differ.

To read and plan the text of a condition takes a database far longer than to test it on a row. When
clients send thousands of conditions, they usually differ only in their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..sql import Sql, text_array
from ..values.codec import dumps

# From this number of conditions of one shape on, a list pays off.
MIN_BATCH = 16
_MARK = re.compile("%s(::[a-z]+(?:\\[\\])?)?")


@dataclass(frozen=True, slots=True)
class ListBinding:
    """How one database binds a list of values in a condition.

    `column`: the SQL type of a parameter, from its cast and the classes of its values, or None if
    the parameter cannot be in a list.
    """

    column: Callable[[str, frozenset[type]], str | None]
    # The JSON text of a value of that type, or None if the value cannot be in a list.
    member: Callable[[str, Any], str | None]
    # The SQL of a list as a table, whose one parameter is JSON: (its name, the types of columns).
    table: Callable[[str, Sequence[str]], str]


def batch_conditions(parts: Sequence[Sql], word: str, lists: ListBinding) -> list[Sql]:
    """Join conditions of one shape into fewer ones with lists of values.

    `word` is the operator that joins all conditions, `" AND "` or `" OR "`.
    """
    by_text: dict[str, list[Sql]] = {}
    for part in parts:
        by_text.setdefault(part.text, []).append(part)
    found: list[Sql] = []
    for text, alike in by_text.items():
        found += alike if len(alike) < MIN_BATCH else _batch(text, alike, word, lists)
    return found


def _batch(text: str, alike: list[Sql], word: str, lists: ListBinding) -> list[Sql]:
    """Return one condition in place of `alike`, and those that cannot be in its list."""
    values = list(zip(*(part.params for part in alike), strict=True))
    differ = [at for at, column in enumerate(values) if not _is_one(column)]
    if not differ:
        return alike[:1]
    casts = _MARK.findall(text)
    types = [lists.column(casts[at][2:], frozenset(map(type, values[at]))) for at in differ]
    if None in types:
        return alike
    kinds = [kind for kind in types if kind is not None]
    members, others = [], []
    for part in alike:
        texts = [
            lists.member(kind, part.params[at]) for at, kind in zip(differ, kinds, strict=True)
        ]
        if None in texts:
            others.append(part)
        else:
            members.append(_object(text for text in texts if text is not None))
    # A list inside another list needs a different name.
    name = f"many{text.count('AS many')}"
    marks = iter(range(len(values)))
    columns = {at: f"{name}.p{number}" for number, at in enumerate(differ)}
    inside = _MARK.sub(lambda mark: columns.get(next(marks)) or mark[0], text)
    same = tuple(column[0] for at, column in enumerate(values) if at not in columns)
    table, params = lists.table(name, kinds), (f"[{','.join(members)}]", *same)
    if word == " OR ":
        return [Sql(f"((EXISTS(SELECT 1 FROM {table} WHERE {inside})) IS TRUE)", params), *others]
    # All conditions are true if there is none that is not true.
    condition = f"((EXISTS(SELECT 1 FROM {table} WHERE ({inside}) IS NOT TRUE)) IS NOT TRUE)"
    return [Sql(condition, params), *others]


def _is_one(column: Sequence[Any]) -> bool:
    first = column[0]
    return all(value.__class__ is first.__class__ and value == first for value in column)


def _object(texts: Iterable[str]) -> str:
    return "{" + ",".join(f'"p{number}":{text}' for number, text in enumerate(texts)) + "}"


# -- SQLite


def _column_sqlite(cast: str, classes: frozenset[type]) -> str | None:
    if classes <= {str}:
        return "text"
    return "number" if classes <= {int, float} else None


def _member_sqlite(kind: str, value: Any) -> str | None:
    # As text, because SQLite before 3.43 can be off by one unit in the last place.
    return dumps(repr(value) if value.__class__ is float else value)


def _table_sqlite(name: str, kinds: Sequence[str]) -> str:
    columns = []
    for number, kind in enumerate(kinds):
        value = f"json_extract(value,'$.p{number}')"
        if kind == "number":
            value = (
                f"CASE typeof({value}) WHEN 'text' THEN rowkeeper_real({value}) ELSE {value} END"
            )
        columns.append(f"{value} AS p{number}")
    return f"(SELECT {','.join(columns)} FROM json_each(%s)) AS {name}"


SQLITE = ListBinding(_column_sqlite, _member_sqlite, _table_sqlite)


# -- PostgreSQL

_TYPES: dict[type, str] = {str: "text", int: "bigint", bool: "boolean"}


def _column_postgresql(cast: str, classes: frozenset[type]) -> str | None:
    if cast:
        return cast
    return _TYPES.get(next(iter(classes))) if len(classes) == 1 else None


def _member_postgresql(kind: str, value: Any) -> str | None:
    # Such a table would turn JSON's null into SQL's NULL.
    if kind == "jsonb":
        return None if value == "null" else str(value)
    # As the text of an array. PostgreSQL turns a nested JSON array into a multidimensional one:
    # `[[1,2]]` would have the members 1 and 2.
    if kind == "jsonb[]":
        return dumps(text_array(value))
    return dumps(value)


def _table_postgresql(name: str, kinds: Sequence[str]) -> str:
    columns = ",".join(f"p{number} {kind}" for number, kind in enumerate(kinds))
    return f"jsonb_to_recordset(%s::jsonb) AS {name}({columns})"


POSTGRESQL = ListBinding(_column_postgresql, _member_postgresql, _table_postgresql)
