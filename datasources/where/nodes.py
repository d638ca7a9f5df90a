"""The tree that a where becomes. Past the parser there is nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..values import same


@dataclass(frozen=True, slots=True)
class Field:
    """A condition on one column or path: `op` names a row of `operators.OPERATORS`.

    `path` is one key where `name` is a column, more where it is a dotted path below one.
    """

    name: str
    path: tuple[str, ...]
    op: str
    operand: Any


@dataclass(frozen=True, slots=True)
class And:
    """All of the items; none: everything."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the items."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not the item."""

    item: Node


Node: TypeAlias = "Field | And | Or | Not"

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


def narrowed(where: Node, conditions: Node) -> Node:
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
    return Field(column, (column,), op, operand)


def fields(node: Node) -> Iterator[Field]:
    """Every condition in the tree, wherever it stands."""
    if node.__class__ is Field:
        yield node
    elif node.__class__ is Not:
        yield from fields(node.item)
    else:
        for item in node.items:  # type: ignore[union-attr]
            yield from fields(item)
