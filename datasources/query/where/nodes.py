"""The tree that a where becomes. Past the parser there is nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...values.validation import same


@dataclass(frozen=True, slots=True)
class Field:
    """A condition on one column or path: `op` names a row of `operators.OPERATORS`.

    `name` is the key as the client wrote it. `path` is one key where that is a column, more where
    it is a dotted path below one; inside `$elemMatch` it begins at the member, and may be empty.
    """

    name: str
    path: tuple[str, ...]
    op: str
    operand: Any
    # The column in which the condition looks: in an `$elemMatch`, that of the list.
    column: str


@dataclass(frozen=True, slots=True)
class ElemMatch:
    """`$elemMatch`: a list on the path has a member that fits `item`.

    `operand` is what the client wrote: SQLite hands it to a function.
    """

    name: str
    path: tuple[str, ...]
    item: Node
    operand: Any
    column: str


@dataclass(frozen=True, slots=True)
class Composite:
    """An operator that is made of others, such as `$all`. It means `item`, and implies nothing."""

    op: str
    item: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of the items; none: everything."""

    items: tuple[Node, ...]
    # What it is as SQL (`compiler.where.where_sql`): a request with joins and a total asks for it
    # many times.
    kept: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the items."""

    items: tuple[Node, ...]
    kept: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Not the item."""

    item: Node


Node: TypeAlias = "Field | And | Or | Not | ElemMatch | Composite"

EVERYTHING = And(())


def all_of(items: Iterable[Node]) -> Node:
    """The conjunction, flattened."""
    flat: list[Node] = []
    for item in items:
        if item.__class__ is And:
            flat.extend(item.items)
        else:
            flat.append(item)
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(items: Iterable[Node]) -> Node:
    """The disjunction, flattened."""
    flat: list[Node] = []
    for item in items:
        if item.__class__ is Or:
            flat.extend(item.items)
        else:
            flat.append(item)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def conjoin(where: Node, conditions: Node) -> Node:
    """Both together; a condition that stands in the where already is not said twice."""
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
    """A condition of a rule: on exactly the column of that name, dots and all."""
    return Field(column, (column,), op, operand, column)


def fields(node: Node) -> Iterator[Field | ElemMatch]:
    """Every condition in the tree, wherever it stands."""
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
