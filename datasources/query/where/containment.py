"""Where the rows of a where can be: what PostgreSQL's index over whole rows is asked.

The index finds rows by the equalities of a where, for any column. The where itself is asked of each
row that it finds (`compiler.where.where_sql`): this decides speed alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...sql import ALWAYS, Sql, joined
from ...values.codec import dumps
from ...values.validation import is_scalar
from .nodes import And, Composite, Field, Node, Or, fields
from .operators import OPERATORS
from .ranges import MAX_POINTS

# A row within its data source, as the index over whole rows holds it (migration 0005): so each key
# of the index is of one data source, and no list of all its rows is looked through beside.
WHOLE_POSTGRESQL = "jsonb_set('{}'::jsonb,ARRAY[data_source_id::text],data)"
# Beyond so many conditions a planner takes longer to weigh the index than it saves.
MAX_CONDITIONS = 64
# More values are not looked for at once: the index weighs each of them beside all others.
_MAX_AT_ONCE = 256
_EQUALS = frozenset({"$eq", "$ne", "$in", "$nin", "$filters oneof"})


def is_indexable(node: Node, database: str) -> bool:
    """Whether the index over whole rows finds the few rows that a where can hold for, on this
    `database`, a dialect's name.
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

    Rows with a list in a list are left out, because a path does not go as far.
    """
    return _values(node) <= _MAX_AT_ONCE and _is_wholly_indexable(node)


def _is_wholly_indexable(node: Node) -> bool:
    if isinstance(node, Field):
        return _is_indexable(node)
    if isinstance(node, Composite):
        return _is_wholly_indexable(node.item)
    # An empty one says something, too, and no path does.
    return (
        isinstance(node, And | Or)
        and bool(node.items)
        and all(map(_is_wholly_indexable, node.items))
    )


def has_equals(field: Field) -> bool:
    """Whether a condition is about values that the index over whole rows knows: equality with
    scalars. A key of digits may be an index into a list, which it does not.
    """
    if field.op not in _EQUALS or any(key.isdecimal() for key in field.path[1:]):
        return False
    operand = [field.operand] if field.op in ("$eq", "$ne") else field.operand
    return 0 < len(operand) <= MAX_POINTS and all(map(is_scalar, operand)) and bool(field.path)


def containment_sql(node: Node, source: int) -> Sql:
    """Where the rows can be that a where holds for: two conditions that each have an index.

    All its equalities are one look into the index, which begins with the rarest value. Of several
    looks a planner, which cannot know what is rare, would take the first.
    """
    if isinstance(node, Composite):
        return containment_sql(node.item, source)
    if isinstance(node, Field) or _values(node) <= _MAX_AT_ONCE:
        return Sql(
            f"({WHOLE_POSTGRESQL}@@%s::jsonpath OR (nested AND data_source_id=%s::bigint))",
            (_json_path(node, (str(source),)), source),
        )
    parts = [containment_sql(item, source) for item in _indexable_in(node)]
    return joined(parts, " AND " if isinstance(node, And) else " OR ", ALWAYS)


def _values(node: Node) -> int:
    """How many values a where is about that are sought."""
    if isinstance(node, Field):
        return len(node.operand) if isinstance(node.operand, list | tuple) else 1
    return sum(map(_values, [node.item] if isinstance(node, Composite) else _indexable_in(node)))


def _indexable_in(node: Node) -> list[Node]:
    """The parts of an AND or OR that are sought: of an OR, all."""
    items = node.items if isinstance(node, And | Or) else ()
    return [item for item in items if _is_indexable(item)]


def _json_path(node: Node, before: Sequence[str]) -> str:
    """The equalities of a where that is sought; `before`: where the row stands."""
    if isinstance(node, Field):
        return equals_path(node, (*before, *node.path))
    if isinstance(node, Composite):
        return _json_path(node.item, before)
    parts = [_json_path(item, before) for item in _indexable_in(node)]
    return ("&&" if isinstance(node, And) else "||").join(f"({part})" for part in parts)


def equals_path(field: Field, path: Sequence[str]) -> str:
    """That one of an equality's values stands at a path."""
    operand = [field.operand] if field.op in ("$eq", "$ne") else field.operand
    way = "$" + "".join(f".{dumps(key)}" for key in path)
    return "||".join(f"{way}=={dumps(member)}" for member in operand)
