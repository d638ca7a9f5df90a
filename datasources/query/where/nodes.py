"""The tree of a parsed where. After the parser, nothing else represents it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...values.validation import same


@dataclass(frozen=True, slots=True)
class Field:
    """A condition on one column or path: `op` names a row of `operators.OPERATORS`.

    `name` is the key as the client wrote it. `path` has one key for a column, and more for a dotted
    path below one; inside `$elemMatch` it begins at the member, and may be empty.
    """

    name: str
    path: tuple[str, ...]
    op: str
    operand: Any
    # The column that the condition tests; inside an `$elemMatch`, the column of the list.
    column: str


@dataclass(frozen=True, slots=True)
class ElemMatch:
    """`$elemMatch`: a list on the path has a member that matches `item`.

    `operand` is what the client wrote, which is passed to a function on SQLite.
    """

    name: str
    path: tuple[str, ...]
    item: Node
    operand: Any
    column: str


@dataclass(frozen=True, slots=True)
class Composite:
    """An operator that consists of others, such as `$all`, and means the same as `item`.

    It does not count as the conditions in `item` where a rule requires a condition.
    """

    op: str
    item: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of the items hold; without items, everything matches."""

    items: tuple[Node, ...]
    # Cache of the node's SQL (`compiler.where.where_sql`): a request with joins and a total needs
    # it many times.
    kept: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the items holds."""

    items: tuple[Node, ...]
    kept: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The item does not hold."""

    item: Node


Node: TypeAlias = "Field | And | Or | Not | ElemMatch | Composite"

EVERYTHING = And(())


def all_of(items: Iterable[Node]) -> Node:
    """Return the conjunction of the items, flattened."""
    flat: list[Node] = []
    for item in items:
        if item.__class__ is And:
            flat.extend(item.items)
        else:
            flat.append(item)
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(items: Iterable[Node]) -> Node:
    """Return the disjunction of the items, flattened."""
    flat: list[Node] = []
    for item in items:
        if item.__class__ is Or:
            flat.extend(item.items)
        else:
            flat.append(item)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def conjoin(where: Node, conditions: Node) -> Node:
    """Return both together, without conditions that the where has already."""
    wanted = conditions.items if isinstance(conditions, And) else (conditions,)
    present = where.items if isinstance(where, And) else (where,)
    return all_of([where, *(item for item in wanted if not _stands_in(item, present))])


def _stands_in(item: Node, present: tuple[Node, ...]) -> bool:
    return isinstance(item, Field) and any(
        isinstance(other, Field)
        and (other.path, other.op) == (item.path, item.op)
        and same(other.operand, item.operand)
        for other in present
    )


def column_is(column: str, op: str, operand: Any) -> Field:
    """Return a condition of a rule: on exactly the column of that name, even with dots."""
    return Field(column, (column,), op, operand, column)


def fields(node: Node) -> Iterator[Field | ElemMatch]:
    """Yield every condition in the tree, at any depth."""
    if node.__class__ is Field:
        yield node
    elif node.__class__ is Not or node.__class__ is Composite:
        yield from fields(node.item)
    elif node.__class__ is ElemMatch:
        yield node
        yield from fields(node.item)
    else:
        for item in node.items:  # type: ignore[union-attr]
            yield from fields(item)
