"""Compiles a where to SQL: the tree becomes fixed text, values and column names are parameters.

`SQLITE` and `POSTGRESQL` hold what differs between the databases: how to access a column and the
members of lists, and which of an operator's two SQL texts to use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..caching import memoize
from ..query.where.containment import containment_sql, equals_path, has_equals, is_wholly_indexable
from ..query.where.nodes import And, Composite, ElemMatch, Field, Node, Not, Or
from ..query.where.operators import OPERATORS, Operator
from ..sql import ALWAYS, NEVER, Sql, balanced, concat, text_array
from ..values.codec import dumps, path_of
from . import batching as lists
from .batching import ListBinding, batch_conditions

# A request compiles a where with and without the index of its data source.
_MAX_KEPT = 4
# From this number of conditions on, it is worth checking whether some have the same shape.
MANY = 64


@dataclass(frozen=True, slots=True)
class Dialect:
    """A database, as far as the query language is concerned.

    `item` in the functions is the SQL of the value that is tested: the row, or a member of a list
    inside an `$elemMatch`.
    """

    name: str
    # A test on one column: on the value, and for a list also on its members.
    on_column: Callable[[Operator, Field, str], Sql]
    # A test on all values to which a dotted path leads.
    on_path: Callable[[Operator, Field, str], Sql]
    elem: Callable[[ElemMatch, str, int], Sql]
    lists: ListBinding


def where_sql(node: Node, dialect: Dialect, source: int | None = None) -> Sql:
    """Return the SQL condition of a where, over a row in the column `data`.

    `source` is the id of the data source if `containment.is_indexable` is true: the condition then
    uses the index over whole rows, which also restricts it to that data source. It may be NULL
    instead of false, except below a negation. Without `source`, it uses no index.
    """
    if not isinstance(node, And | Or):
        return _where_sql(node, dialect, source)
    named = (dialect.name, source)
    found: Sql | None = node.kept.get(named)
    if found is None:
        found = _where_sql(node, dialect, source)
        # Only a few, because some nodes outlive a request.
        if len(node.kept) < _MAX_KEPT:
            node.kept[named] = found
    return found


def _where_sql(node: Node, dialect: Dialect, source: int | None) -> Sql:
    found = _sql(node, dialect, source is None, "data", 0)
    if source is None:
        return found
    contained = containment_sql(node, source)
    # If the index answers the whole where, its recheck has tested the row already.
    rest = concat("(NOT nested OR ", found, ")") if is_wholly_indexable(node) else found
    return concat(contained, " AND ", rest)


def _sql(node: Node, dialect: Dialect, exact: bool, item: str, depth: int) -> Sql:
    """Compile a node.

    With `exact`, the result is never NULL, which a negation needs. `depth` is the number of
    enclosing `$elemMatch`, for the names of tables.
    """
    if isinstance(node, Field):
        return _field(node, dialect, exact, item)
    if isinstance(node, Composite):
        return _sql(node.item, dialect, exact, item, depth)
    if isinstance(node, ElemMatch):
        return dialect.elem(node, item, depth)
    if isinstance(node, Not):
        if isinstance(node.item, Not):
            return _sql(node.item.item, dialect, True, item, depth)
        return concat("NOT (", _sql(node.item, dialect, True, item, depth), ")")
    word, empty = (" AND ", ALWAYS) if isinstance(node, And) else (" OR ", NEVER)
    parts = [_sql(part, dialect, exact, item, depth) for part in _merged(node)]
    if len(parts) > MANY:
        parts = batch_conditions(parts, word, dialect.lists)
    return balanced(parts, word, empty)


def _merged(node: And | Or) -> Sequence[Node]:
    """Merge equalities of one column into one with a list, because each condition is costly."""
    one, many = ("$eq", "$in") if isinstance(node, Or) else ("$ne", "$nin")
    operands: dict[tuple[str, ...], list[Any]] = {}
    others: list[Node] = []
    firsts: dict[tuple[str, ...], Field] = {}
    for item in node.items:
        if isinstance(item, Field) and item.op == one:
            operands.setdefault(item.path, []).append(item.operand)
            firsts.setdefault(item.path, item)
        else:
            others.append(item)
    for path, found in operands.items():
        single = len(found) == 1
        operand = found[0] if single else found
        others.append(replace(firsts[path], op=one if single else many, operand=operand))
    return others


def _field(field: Field, dialect: Dialect, exact: bool, item: str) -> Sql:
    row = OPERATORS[field.op]
    test = dialect.on_column if len(field.path) == 1 else dialect.on_path
    found = test(row, field, item)
    if row.negates(field.operand):
        return concat("((", found, ") IS NOT TRUE)")
    return concat("((", found, ") IS TRUE)") if exact else concat("(", found, ")")


# -- SQLite


def _on_column_sqlite(row: Operator, field: Field, item: str) -> Sql:
    path = path_of(field.path[0])
    plain = row.as_sqlite(field.operand).filled(Sql("(data->%s)", (path,)))
    holds = _by_function("rowkeeper_holds(data->%s,%s,%s)", path, row, field)
    opened = Sql("CASE WHEN json_type(data,%s) IN ('array','object') THEN ", (path,))
    return concat(opened, holds, " ELSE ", plain, " END")


def _on_path_sqlite(row: Operator, field: Field, item: str) -> Sql:
    path = _path_list(field.path)
    return _by_function("rowkeeper_holds_on_path(data,%s,%s,%s)", path, row, field)


# The most characters of an operand that is passed to a function for every row. For a longer one,
# the call costs more than it does to check the length of the row first.
_LONG_OPERAND = 1_000


def _by_function(text: str, path: str, row: Operator, field: Field) -> Sql:
    """Return a test by one of our functions.

    Equality with a long list or object calls it only for rows that are long enough to hold it.
    """
    operand = dumps(field.operand)
    params = (path, row.name, operand)
    if row.name not in ("$eq", "$ne") or len(operand) <= _LONG_OPERAND:
        return Sql(text, params)
    return Sql(
        f"CASE WHEN length(data)>=%s THEN {text} ELSE 0 END", (_least(field.operand), *params)
    )


def _least(value: Any) -> int:
    """Return the minimum number of characters in the JSON text of a value, in any formatting."""
    if isinstance(value, list):
        return 1 + sum(1 + _least(member) for member in value)
    if isinstance(value, dict):
        return 1 + sum(4 + len(key) + _least(member) for key, member in value.items())
    return 2 + len(value) if isinstance(value, str) else 1


def _elem_sqlite(node: ElemMatch, item: str, depth: int) -> Sql:
    # The function evaluates everything inside as well, so `item` is always the row.
    return Sql("rowkeeper_elem(data,%s,%s)", (_path_list(node.path), dumps(node.operand)))


# -- PostgreSQL

_LEAF_POSTGRESQL = Sql("leaf.v")


def _on_column_postgresql(row: Operator, field: Field, item: str) -> Sql:
    column = field.path[0]
    test = row.as_postgresql(field.operand)
    members = test.filled(_LEAF_POSTGRESQL)
    if item == "data" and has_equals(field):
        return _contained_postgresql(field, members)
    plain = test.filled(Sql(f"({item}->%s)", (column,)))
    if item != "data":
        return _below_member(row, item, column, members, plain)
    # One operator instead of two, for every row that is tested.
    plain = plain._replace(text=plain.text.replace("(data->%s)#>>'{}'", "(data->>%s)"))
    if not row.opens_lists:
        return plain
    opened = Sql(
        f"CASE jsonb_typeof({item}->%s) WHEN 'array' THEN EXISTS(SELECT 1 FROM "
        f"rowkeeper_walk({item}->%s,'{{}}') AS leaf WHERE ",
        (column, column),
    )
    return concat(opened, members, ") ELSE ", plain, " END")


def _below_member(row: Operator, item: str, key: str, members: Sql, plain: Sql) -> Sql:
    """Compile a test below a member of a list.

    The member may be a list itself; the key then applies to its members.
    """
    walk = "rowkeeper_walk" if row.opens_lists else "rowkeeper_ends"
    opened = f"jsonb_typeof({item})='array'"
    if row.opens_lists:
        opened += f" OR jsonb_typeof({item}->%s)='array'"
    head = Sql(
        f"CASE WHEN {opened} THEN EXISTS(SELECT 1 FROM {walk}({item},%s::text[]) AS leaf WHERE ",
        (*[key] * row.opens_lists, text_array([key])),
    )
    return concat(head, members, ") ELSE ", plain, " END")


def _contained_postgresql(field: Field, members: Sql) -> Sql:
    """Compile an equality with scalars.

    A JSON path finds the value itself and members of a list, also along the way. Deeper values are
    only in the few rows that have nested lists.
    """
    head = Sql(
        "data@@%s::jsonpath OR (nested AND EXISTS(SELECT 1 FROM "
        "rowkeeper_walk(data,%s::text[]) AS leaf WHERE ",
        (equals_path(field, field.path), _path_array(field.path)),
    )
    return concat(head, members, "))")


def _on_path_postgresql(row: Operator, field: Field, item: str) -> Sql:
    test = row.as_postgresql(field.operand).filled(_LEAF_POSTGRESQL)
    if item == "data" and has_equals(field):
        return _contained_postgresql(field, test)
    walk = "rowkeeper_walk" if row.opens_lists else "rowkeeper_ends"
    path = Sql("%s::text[]", (_path_array(field.path),))
    return concat(f"EXISTS(SELECT 1 FROM {walk}({item},", path, ") AS leaf WHERE ", test, ")")


def _elem_postgresql(node: ElemMatch, item: str, depth: int) -> Sql:
    inside = _sql(node.item, POSTGRESQL, False, f"member{depth}.v", depth + 1)
    head = Sql(
        f"EXISTS(SELECT 1 FROM rowkeeper_ends({item},%s::text[]) AS list{depth},"
        f"jsonb_array_elements(CASE jsonb_typeof(list{depth}.v) WHEN 'array' THEN list{depth}.v "
        f"ELSE '[]' END) AS member{depth}(v) WHERE ",
        (_path_array(node.path),),
    )
    return concat(head, inside, ")")


# -- paths, which thousands of conditions can share


@memoize(1_000)
def _path_array(path: tuple[str, ...]) -> str:
    return text_array(path)


@memoize(1_000)
def _path_list(path: tuple[str, ...]) -> str:
    return dumps(list(path))


SQLITE = Dialect("sqlite", _on_column_sqlite, _on_path_sqlite, _elem_sqlite, lists.SQLITE)
POSTGRESQL = Dialect(
    "postgresql", _on_column_postgresql, _on_path_postgresql, _elem_postgresql, lists.POSTGRESQL
)
DIALECTS = {dialect.name: dialect for dialect in (SQLITE, POSTGRESQL)}
