"""Decisions in words: the columns that they show, and the conditions that they add."""

from __future__ import annotations

from collections.abc import Iterable

from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import And, ElemMatch, Field, Node, Not, Or
from rowkeeper.datasources.query.where.nodes import Composite
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable

from ..engine.reasons import Ran

LONG = 1_000
_WORDS = {"$eq": "is", "$ne": "is not", "contains": "contains"}


def conditions_in_words(node: Node) -> list[str]:
    """The conditions that rules add to a query: `` `Department` is "Engineering" ``."""
    items = node.items if isinstance(node, And) else (node,)
    return [
        f"`{printable(item.name)}` {_WORDS.get(item.op, item.op)} {printable(dumps(item.operand))}"
        for item in items
        if isinstance(item, Field)
    ]


def script_in_words(ran: Ran) -> list[str]:
    """What a script did, one line for each thing."""
    lines = [f"took {ran.milliseconds:.1f} ms"] if ran.milliseconds else []
    if ran.changed:
        lines.append(f"changed {_listed(ran.changed)} in `query`")
    if ran.where is not None:
        lines.append(f"asks for {printable(dumps(ran.where), LONG)}")
    for word, columns in (("opens", ran.include), ("hides", ran.exclude)):
        if columns is not None:
            lines.append(f"{word} {_listed(columns) or 'no column'}")
    lines += [f"looked up {printable(line, LONG)}" for line in ran.lookups]
    return [*lines, *(f"printed: {printable(line, LONG)}" for line in ran.printed.splitlines())]


def where_in_words(node: Node) -> str:
    """A where as one line: `` `Age` $gt 3 and (`Name` is "Ann" or not (…)) ``."""
    if isinstance(node, Field):
        return conditions_in_words(node)[0]
    if isinstance(node, ElemMatch):
        return f"`{printable(node.name)}` has a member with ({where_in_words(node.item)})"
    if isinstance(node, Not):
        return f"not ({where_in_words(node.item)})"
    if isinstance(node, Composite):
        return where_in_words(node.item)
    if not node.items:
        return "every entry" if isinstance(node, And) else "no entry"
    word = " and " if isinstance(node, And) else " or "
    return word.join(
        f"({where_in_words(item)})" if isinstance(item, And | Or) else where_in_words(item)
        for item in node.items
    )


def columns_in_words(projection: Projection) -> str:
    """The columns that an answer shows."""
    if projection.pick is not None:
        return _listed(projection.pick - projection.drop) or "none"
    return f"all but {_listed(projection.drop)}" if projection.drop else "all"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{printable(name)}`" for name in sorted(names))
