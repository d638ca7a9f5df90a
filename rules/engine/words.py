"""A decision in words: which columns it opens, and which conditions it adds to the query."""

from __future__ import annotations

from collections.abc import Iterable

from datasources.jsontext import dumps
from datasources.queries import Projection
from datasources.values import shown
from datasources.where import And, Field, Node

_WORDS = {"$eq": "is", "$ne": "is not", "contains": "contains"}


def conditions_in_words(node: Node) -> list[str]:
    """The conditions that rules add to a query: `` `Department` is "Engineering" ``."""
    items = node.items if isinstance(node, And) else (node,)
    return [
        f"`{shown(item.name)}` {_WORDS.get(item.op, item.op)} {shown(dumps(item.operand))}"
        for item in items
        if isinstance(item, Field)
    ]


def columns_in_words(projection: Projection) -> str:
    """Which columns an answer shows."""
    if projection.pick is not None:
        return _listed(projection.pick - projection.drop) or "none"
    return f"all but {_listed(projection.drop)}" if projection.drop else "all"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{shown(name)}`" for name in sorted(names))
