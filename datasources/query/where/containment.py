"""The conditions that a where passes to PostgreSQL's index over whole rows.

The index finds rows by the equalities of a where, for any column. The where itself is still tested
on each row that it finds (`compiler.where.where_sql`), so this module affects speed only.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...sql import ALWAYS, Sql, balanced
from ...values.codec import dumps
from ...values.validation import is_scalar
from .nodes import And, Composite, Field, Node, Or, fields
from .operators import OPERATORS
from .ranges import MAX_POINTS

# A row below the id of its data source, as the index over whole rows stores it (migration 0005).
# Each key of the index belongs to one data source, so no list of all its rows has to be read.
WHOLE_POSTGRESQL = "jsonb_set('{}'::jsonb,ARRAY[data_source_id::text],data)"
# With more conditions than this, a planner takes longer to consider the index than it saves.
MAX_CONDITIONS = 64
# More values are not searched at once, because the index compares each of them with all others.
_MAX_AT_ONCE = 256
_EQUALS = frozenset({"$eq", "$ne", "$in", "$nin", "$filters oneof"})


def is_indexable(node: Node, database: str) -> bool:
    """Whether the index over whole rows can narrow down the rows that match a where.

    `database` is the name of a dialect.
    """
    if database != "postgresql" or sum(1 for _ in fields(node)) > MAX_CONDITIONS:
        return False
    return _is_indexable(node)


def _is_indexable(node: Node) -> bool:
    if isinstance(node, Field):
        return not OPERATORS[node.op].negates(node.operand) and has_equals(node)
    if isinstance(node, Composite):
        return _is_indexable(node.item)
    if isinstance(node, And):
        return any(map(_is_indexable, node.items))
    return isinstance(node, Or) and bool(node.items) and all(map(_is_indexable, node.items))


def is_wholly_indexable(node: Node) -> bool:
    """Whether `containment_sql` gives the indexable part of a where in one JSON path.

    Rows with nested lists are not covered, because the path does not descend into them.
    """
    return _values(node) <= _MAX_AT_ONCE and _is_wholly_indexable(node)


def _is_wholly_indexable(node: Node) -> bool:
    if isinstance(node, Field):
        return _is_indexable(node)
    if isinstance(node, Composite):
        return _is_wholly_indexable(node.item)
    # An empty AND or OR has a meaning, too, but no path expresses it.
    return (
        isinstance(node, And | Or)
        and bool(node.items)
        and all(map(_is_wholly_indexable, node.items))
    )


def has_equals(field: Field) -> bool:
    """Whether a condition is an equality with scalars, which the index over whole rows knows.

    A key of digits may be a position in a list, which the index does not know.
    """
    if field.op not in _EQUALS or any(key.isdecimal() for key in field.path[1:]):
        return False
    operand = [field.operand] if field.op in ("$eq", "$ne") else field.operand
    return 0 < len(operand) <= MAX_POINTS and all(map(is_scalar, operand)) and bool(field.path)


def containment_sql(node: Node, source: int) -> Sql:
    """Return a condition that the index answers and that every matching row meets.

    All equalities become one index search, which begins with the rarest value. With several
    searches a planner, which cannot know what is rare, would begin with the first one.
    """
    if isinstance(node, Composite):
        return containment_sql(node.item, source)
    if isinstance(node, Field) or _values(node) <= _MAX_AT_ONCE:
        return Sql(
            f"({WHOLE_POSTGRESQL}@@%s::jsonpath OR (nested AND data_source_id=%s::bigint))",
            (_json_path(node, (str(source),)), source),
        )
    parts = [containment_sql(item, source) for item in _indexable_in(node)]
    return balanced(parts, " AND " if isinstance(node, And) else " OR ", ALWAYS)


def _values(node: Node) -> int:
    """Return how many values the indexable part of a where searches for."""
    if isinstance(node, Field):
        return len(node.operand) if isinstance(node.operand, list | tuple) else 1
    return sum(map(_values, [node.item] if isinstance(node, Composite) else _indexable_in(node)))


def _indexable_in(node: Node) -> list[Node]:
    """Return the indexable parts of an AND or OR; of an OR, these are all."""
    items = node.items if isinstance(node, And | Or) else ()
    return [item for item in items if _is_indexable(item)]


def _json_path(node: Node, before: Sequence[str]) -> str:
    """Return the equalities of an indexable where as a JSON path; `before`: the path of the row."""
    if isinstance(node, Field):
        return equals_path(node, (*before, *node.path))
    if isinstance(node, Composite):
        return _json_path(node.item, before)
    parts = [_json_path(item, before) for item in _indexable_in(node)]
    return ("&&" if isinstance(node, And) else "||").join(f"({part})" for part in parts)


def equals_path(field: Field, path: Sequence[str]) -> str:
    """Return the JSON path condition that a path has one of an equality's values."""
    operand = [field.operand] if field.op in ("$eq", "$ne") else field.operand
    way = "$" + "".join(f".{dumps(key)}" for key in path)
    return "||".join(f"{way}=={dumps(member)}" for member in operand)
