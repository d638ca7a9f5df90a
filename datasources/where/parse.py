"""From a client's JSON to nodes. What is not known is refused by name, with its place."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from ..errors import Malformed
from ..values import problem_with_name, shown
from .nodes import EVERYTHING, Field, Node, Not, all_of, any_of
from .operators import LOGICAL, OPERATORS, UNSUPPORTED

MAX_DEPTH = 32
MAX_CONDITIONS = 10_000

_PUBLIC = frozenset(name for name, row in OPERATORS.items() if row.public)


def parse_where(value: Any, columns: Container[str] = frozenset()) -> Node:
    """The tree of a where. `columns` are the declared ones: a key that is one, dots and all,
    means that column; any other key with dots is a path.

    Raises `Malformed`, naming the place.
    """
    if value is None:
        return EVERYTHING
    return _Parser(columns).where(value, "where", 1)


class _Parser:
    """Counts conditions while it walks."""

    def __init__(self, columns: Container[str]) -> None:
        self.columns = columns
        self.conditions = 0

    def where(self, value: Any, place: str, depth: int) -> Node:
        """An object of columns and logical operators."""
        if not isinstance(value, dict):
            raise Malformed(f"`{place}` is an object of columns and conditions")
        self._count(0 if value else 1, place, depth)
        return all_of([self._entry(key, item, place, depth) for key, item in value.items()])

    def _entry(self, key: str, value: Any, place: str, depth: int) -> Node:
        here = f"{place}.{shown(key)}"
        if not key.startswith("$"):
            return self._column(key, self._path(key, here), value, here, depth)
        if key in LOGICAL:
            return self._logical(key, value, here, depth, self.where)
        raise self._refusal(key, here, "does not stand here; operators stand under a column")

    def _path(self, key: str, place: str) -> tuple[str, ...]:
        problem = problem_with_name(key)
        if problem:
            raise Malformed(f"`{place}`: the column {problem}")
        if "." not in key or key in self.columns:
            return (key,)
        return tuple(key.split("."))

    def _column(self, name: str, path: tuple[str, ...], value: Any, place: str, depth: int) -> Node:
        """What stands under a column: a value that it equals, or an object of operators."""
        if not isinstance(value, dict) or not any(key.startswith("$") for key in value):
            return self._field(name, path, "$eq", value, place, depth)
        return self._operators(name, path, value, place, depth)

    def _operators(
        self, name: str, path: tuple[str, ...], value: dict[str, Any], place: str, depth: int
    ) -> Node:
        self._count(0, place, depth)
        if not value:
            # It holds for every row, and names the column all the same.
            return self._field(name, path, "anything", None, place, depth)
        nodes = []
        for key, item in value.items():
            here = f"{place}.{shown(key)}"
            if not key.startswith("$"):
                raise Malformed(f"`{here}`: a plain key stands beside operators")
            if key in LOGICAL:
                nodes.append(self._logical(key, item, here, depth, self._under(name, path)))
            elif key in _PUBLIC:
                operand = OPERATORS[key].check(item, f"`{here}`")
                nodes.append(self._field(name, path, key, operand, here, depth))
            else:
                raise self._refusal(key, here, "is no operator")
        return all_of(nodes)

    def _under(self, name: str, path: tuple[str, ...]) -> Callable[[Any, str, int], Node]:
        """How the items of a logical operator under a column are read."""

        def item(value: Any, place: str, depth: int) -> Node:
            if not isinstance(value, dict):
                raise Malformed(f"`{place}` is an object of operators")
            if value and not any(key.startswith("$") for key in value):
                return all_of(
                    [
                        self._column(
                            f"{name}.{key}",
                            path + self._below(key, place),
                            operand,
                            f"{place}.{shown(key)}",
                            depth + 1,
                        )
                        for key, operand in value.items()
                    ]
                )
            return self._operators(name, path, value, place, depth)

        return item

    def _below(self, key: str, place: str) -> tuple[str, ...]:
        problem = problem_with_name(key)
        if problem:
            raise Malformed(f"`{place}.{shown(key)}`: the key {problem}")
        return tuple(key.split("."))

    def _logical(
        self, key: str, value: Any, place: str, depth: int, read: Callable[[Any, str, int], Node]
    ) -> Node:
        if key == "$not":
            return Not(read(value, place, depth + 1))
        if not isinstance(value, list) or not value:
            raise Malformed(f"`{place}` takes a list of at least one object")
        items = [read(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
        if key == "$and":
            return all_of(items)
        return any_of(items) if key == "$or" else Not(any_of(items))

    def _field(
        self, name: str, path: tuple[str, ...], op: str, operand: Any, place: str, depth: int
    ) -> Field:
        self._count(self._members(operand, place, depth), place, depth)
        return Field(name, path, op, operand)

    def _members(self, operand: Any, place: str, depth: int) -> int:
        """How many members a list or an object in a condition has, all told."""
        if isinstance(operand, dict):
            operand = list(operand.values())
        if not isinstance(operand, list):
            return 1
        self._count(0, place, depth)
        return 1 + sum(self._members(item, place, depth + 1) for item in operand)

    def _count(self, conditions: int, place: str, depth: int) -> None:
        self.conditions += conditions
        if depth > MAX_DEPTH:
            raise Malformed(f"`{shown(place)}` nests deeper than {MAX_DEPTH} levels")
        if self.conditions > MAX_CONDITIONS:
            raise Malformed(f"`where` has more than {MAX_CONDITIONS} conditions or list members")

    def _refusal(self, key: str, place: str, why: str) -> Malformed:
        if key in UNSUPPORTED or key == "$filters":
            return Malformed(f"`{place}`: the operator `{key}` is not supported yet")
        known = ", ".join(sorted(_PUBLIC | LOGICAL))
        if key in _PUBLIC:
            return Malformed(f"`{place}`: `{key}` {why}")
        return Malformed(f"`{place}`: `{shown(key)}` is no operator; there are {known}")
