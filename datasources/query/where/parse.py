"""Parses a client's JSON into nodes. Unknown operators are refused by name, with their place."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from ...errors import Malformed
from ...values.validation import MAX_DEPTH as MAX_PATH
from ...values.validation import is_scalar, printable, problem_with_name
from ..column_names import path_of
from ..regex.compile import compile_regex
from .filters import read_filter
from .limits import MAX_CONDITIONS, Budget
from .nodes import EVERYTHING, Composite, ElemMatch, Field, Node, Not, all_of, any_of
from .operators import COMPOSED, LOGICAL, OPERATORS

MAX_DEPTH = 32

_PUBLIC = frozenset(name for name, row in OPERATORS.items() if row.public)


def parse_where(
    value: Any,
    columns: Container[str] = frozenset(),
    single_in: bool = False,
    budget: Budget | None = None,
) -> Node:
    """Parse a where. Raises `Malformed`, with the place.

    `columns` are the declared ones: a key that is one of them, even with dots, means that column;
    any other key with dots is a path. `single_in`: `$in` accepts a single value as well. `budget`
    is shared by all wheres of a request.
    """
    if value is None:
        return EVERYTHING
    parser = _Parser(columns, single_in, budget)
    node = parser.where(value, "where", 1)
    parser.check_patterns()
    return node


def elem_of(name: str, path: tuple[str, ...], operand: Any) -> ElemMatch:
    """Return the node of an `$elemMatch` whose operand was checked before. Raises `Malformed`."""
    parser = _Parser(frozenset(), single_in=True)
    node = parser.elem(_Place(name, path, name), operand, "$elemMatch", 1)
    parser.check_patterns()
    return node


@dataclass(frozen=True, slots=True)
class _Place:
    """What a condition applies to: its key as written, its path, and its column."""

    name: str
    path: tuple[str, ...]
    column: str
    # Whether it is inside an `$elemMatch`, whose operand has been counted as a whole.
    member: bool = False
    # Cache of `below`: thousands of conditions can share one path.
    _below: dict[str, _Place] = field(default_factory=dict, compare=False)

    def below(self, key: str, place: str) -> _Place:
        """Return the target of a key below this one. Raises `Malformed`, with the `place`."""
        found = self._below.get(key)
        if found is None:
            name = f"{self.name}.{key}" if self.name else key
            path = _not_too_long((*self.path, *key.split(".")), place)
            found = self._below[key] = _Place(name, path, self.column, self.member)
        return found


def _not_too_long(path: tuple[str, ...], place: str) -> tuple[str, ...]:
    if len(path) > MAX_PATH:
        raise Malformed(f"`{printable(place)}`: the path has more than {MAX_PATH} keys")
    return path


class _Parser:
    """Parses one where, and counts its conditions on the way."""

    def __init__(
        self, columns: Container[str], single_in: bool = False, budget: Budget | None = None
    ) -> None:
        self.columns, self.single_in = columns, single_in
        self.budget = budget or Budget()
        self.budget.add_where()
        self.names: set[str] = set()
        # The operands of `$regex`, each with its place.
        self.patterns: list[tuple[Any, str]] = []

    # -- a where

    def where(self, value: Any, place: str, depth: int) -> Node:
        """Parse an object of columns and logical operators."""
        if not isinstance(value, dict):
            raise Malformed(f"`{place}` must be an object of columns and conditions")
        self._count(0 if value else 1, place, depth)
        return all_of([self._entry(key, item, place, depth) for key, item in value.items()])

    def _entry(self, key: str, value: Any, place: str, depth: int) -> Node:
        here = f"{place}.{printable(key)}"
        if not key.startswith("$"):
            return self._column(self._key(key, here), value, here, depth)
        if key in LOGICAL:
            return self._logical(key, value, here, depth, self.where)
        if key == "$filters":
            return self._filters(value, here, depth)
        raise _refusal(key, here, "is not allowed here; operators must be under a column")

    def _key(self, key: str, place: str) -> _Place:
        problem = problem_with_name(key)
        if problem:
            raise Malformed(f"`{place}`: the column {problem}")
        path = _not_too_long(path_of(key, self.columns), place)
        return _Place(key, path, path[0])

    def _filters(self, value: Any, place: str, depth: int) -> Node:
        if not isinstance(value, list):
            raise Malformed(f"`{place}` must be a list of filters")
        self._count(0 if value else 1, place, depth)
        nodes = []
        for at, item in enumerate(value):
            here = f"{place}[{at}]"
            column, op, operand = read_filter(item, here)
            nodes.append(self._field(self._key(column, here), op, operand, here, depth + 1))
        return all_of(nodes)

    # -- the value of a column

    def _column(self, at: _Place, value: Any, place: str, depth: int) -> Node:
        """Parse a value to be equal to, or an object of operators."""
        if not isinstance(value, dict) or not any(key.startswith("$") for key in value):
            return self._field(at, "$eq", value, place, depth)
        return self._operators(at, value, place, depth)

    def _operators(self, at: _Place, value: dict[str, Any], place: str, depth: int) -> Node:
        self._count(0, place, depth)
        if not value:
            # It holds for every row, but still names the column.
            return self._field(at, "anything", None, place, depth)
        if "$options" in value and "$regex" not in value:
            raise Malformed(f"`{place}.$options` requires `$regex`")
        nodes = []
        for key, item in value.items():
            here = f"{place}.{printable(key)}"
            if not key.startswith("$"):
                raise Malformed(f"`{here}`: operators and other keys cannot be mixed")
            if key != "$options":
                operand = [item, value.get("$options", "")] if key == "$regex" else item
                nodes.append(self._operator(at, key, operand, here, depth))
        return all_of(nodes)

    def _operator(self, at: _Place, key: str, operand: Any, place: str, depth: int) -> Node:
        if key == "$not" and not isinstance(operand, dict):
            return Not(self._field(at, "$eq", operand, place, depth))
        if key in LOGICAL:
            return self._logical(key, operand, place, depth, self._under(at))
        if key == "$all":
            return self._all(at, operand, place, depth)
        if key == "$elemMatch":
            return self.elem(at, operand, place, depth)
        if self.single_in and key == "$in" and is_scalar(operand):
            operand = [operand]
        if key not in _PUBLIC:
            raise _refusal(key, place, "is not allowed under a column")
        if key == "$regex":
            self.patterns.append((operand, place))
        else:
            operand = OPERATORS[key].check(operand, f"`{place}`")
        return self._field(at, key, operand, place, depth)

    def check_patterns(self) -> None:
        """Compile the patterns. Raises `Malformed`.

        To compile a pattern takes longer than to parse it, so this runs only after the whole where
        is known not to be too large.
        """
        for operand, place in self.patterns:
            OPERATORS["$regex"].check(operand, f"`{place}`")
            self.budget.add_pattern(compile_regex(*operand))

    def _under(self, at: _Place) -> Callable[[Any, str, int], Node]:
        """Return the parser for items of a logical operator under a column.

        An item has operators on the column's value, or keys below it.
        """

        def item(value: Any, place: str, depth: int) -> Node:
            if not isinstance(value, dict):
                raise Malformed(f"`{place}` must be an object of operators")
            plain = [key for key in value if not key.startswith("$")]
            if not plain:
                return self._operators(at, value, place, depth)
            if any(key.startswith("$") and key not in LOGICAL for key in value):
                raise Malformed(
                    f"`{place}.{printable(plain[0])}`: operators and other keys cannot be mixed"
                )
            self._count(0, place, depth)
            return all_of([self._below(at, key, value[key], place, depth) for key in value])

        return item

    def _below(self, at: _Place, key: str, value: Any, place: str, depth: int) -> Node:
        here = f"{place}.{printable(key)}"
        if key in LOGICAL:
            return self._logical(key, value, here, depth, self._under(at))
        problem = problem_with_name(key)
        if problem:
            raise Malformed(f"`{here}`: the key {problem}")
        return self._column(at.below(key, here), value, here, depth + 1)

    def _all(self, at: _Place, operand: Any, place: str, depth: int) -> Node:
        """Parse `$all`: each member is a value to be equal to, or an object that has to match."""
        if not isinstance(operand, list):
            raise Malformed(f"`{place}` must be a list")
        self._count(0 if operand else 1, place, depth)
        read = self._under(at)
        nodes = [
            read(item, f"{place}[{index}]", depth + 1)
            if isinstance(item, dict)
            else self._field(at, "$eq", item, f"{place}[{index}]", depth + 1)
            for index, item in enumerate(operand)
        ]
        return Composite("$all", all_of(nodes or [self._field(at, "anything", None, place, depth)]))

    def elem(self, at: _Place, operand: Any, place: str, depth: int) -> ElemMatch:
        """Parse `$elemMatch`, whose operand applies to one member."""
        if not isinstance(operand, dict):
            raise Malformed(f"`{place}` must be an object")
        if not at.member:
            self._members(operand, place, depth, 4 * MAX_CONDITIONS)
        inside = self._under(_Place(at.name, (), at.column, True))(operand, place, depth + 1)
        return ElemMatch(at.name, at.path, inside, operand, at.column)

    # -- logical operators

    def _logical(
        self, key: str, value: Any, place: str, depth: int, read: Callable[[Any, str, int], Node]
    ) -> Node:
        self.budget.add_operator()
        if key == "$not":
            return Not(read(value, place, depth + 1))
        if not isinstance(value, list) or not value:
            raise Malformed(f"`{place}` must be a list of at least one object")
        items = [read(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
        if key == "$and":
            return all_of(items)
        return any_of(items) if key == "$or" else Not(any_of(items))

    # -- conditions

    def _field(self, at: _Place, op: str, operand: Any, place: str, depth: int) -> Field:
        self._count(self._members(operand, place, depth, MAX_CONDITIONS), place, depth)
        if at.name not in self.names:
            self.names.add(at.name)
            self.budget.add_name()
        return Field(at.name, at.path, op, operand, at.column)

    def _members(self, operand: Any, place: str, depth: int, most: int) -> int:
        """Count all members, at any depth, of a list or an object in a condition.

        Stops counting after `most`.
        """
        if isinstance(operand, dict):
            operand = list(operand.values())
        if not isinstance(operand, list):
            return 1
        self._count(0, place, depth)
        found = 1
        for item in operand:
            found += self._members(item, place, depth + 1, most)
            if found > most:
                break
        return found

    def _count(self, conditions: int, place: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Malformed(f"`{printable(place)}` is nested deeper than {MAX_DEPTH} levels")
        self.budget.add_conditions(conditions)


def _refusal(key: str, place: str, why: str) -> Malformed:
    known = _PUBLIC | LOGICAL | COMPOSED
    if key in known:
        return Malformed(f"`{place}`: `{key}` {why}")
    return Malformed(
        f"`{place}`: `{printable(key)}` is not an operator; the operators are "
        f"{', '.join(sorted(known))}"
    )
