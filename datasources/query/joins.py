"""`join`: rows of other data sources that are added to each entry. Raw JSON stops here.

{"Comments": {"dataSourceId": 12, "on": {"ID": "ArticleID"}, "count": true}}
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..errors import Malformed
from ..values.validation import MAX_INTEGER, printable, problem_with_name, problem_with_text
from .select import (
    Attributes,
    OrderTerm,
    Select,
    column_of,
    parse_attributes,
    parse_bool,
    parse_natural,
    parse_order,
)
from .where import EVERYTHING, Budget, Node, parse_where

MAX_JOINS = 10
MAX_PAIRS = 10

# The id or the name of a data source, as the client sent it.
Reference: TypeAlias = "int | str"
Kind: TypeAlias = Literal["entries", "has", "count", "sum"]
ColumnsOf: TypeAlias = Callable[[Reference], Container[str]]


class TooMuchJoined(Malformed):
    """The joined rows would fill the memory, as a few rows do if each of them joins all others."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"`join.{printable(name)}` has too many results for one response: request fewer "
            "entries, or give the join a `limit`"
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of the entry, and the column of the joined data source that equals it."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Join:
    """A join with one other data source; without `on`, its entries are appended to the others."""

    name: str
    reference: Reference
    on: tuple[Pair, ...] = ()
    required: bool = False
    kind: Kind = "entries"
    # The column whose numbers are added up.
    sum: str = ""
    where: Node = EVERYTHING
    order: tuple[OrderTerm, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)
    limit: int | None = None
    # The where as JSON.
    written: Any = None

    def names(self) -> Iterator[str]:
        """Yield every column of the joined data source that is named outside the where."""
        yield from (pair.right for pair in self.on)
        yield from self.as_select().names()
        if self.sum:
            yield self.sum

    def as_select(self) -> Select:
        """Return the select on the joined data source that reads the rows of this join."""
        return Select(self.where, self.order, self.attributes, self.limit)


def left_names(joins: tuple[Join, ...]) -> Iterator[str]:
    """Yield every column of the entry that a join names."""
    for join in joins:
        yield from (pair.left for pair in join.on)


def parse_joins(
    value: Any, columns: Container[str], columns_of: ColumnsOf, budget: Budget
) -> tuple[Join, ...]:
    """Parse an object of joins by their names. Raises `Malformed`, with the place in the body.

    `columns_of` returns the columns of a joined data source. `budget` is what the rest of the query
    has left.
    """
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > MAX_JOINS:
        raise Malformed(
            f"`join` must be an object of at most {MAX_JOINS} joins, with their names as keys"
        )
    return tuple(_join(name, item, columns, columns_of, budget) for name, item in value.items())


def _join(
    name: str, value: Any, columns: Container[str], columns_of: ColumnsOf, budget: Budget
) -> Join:
    place = f"join.{printable(name)}"
    problem = problem_with_name(name)
    if problem:
        raise Malformed(f"`{place}`: the name {problem}")
    if not isinstance(value, dict):
        raise Malformed(f'`{place}` must be an object such as {{"dataSourceId": 1, "on": {{…}}}}')
    reference = _reference(value, place)
    theirs = columns_of(reference)
    try:
        join = Join(
            name,
            reference,
            _pairs(value.get("on"), columns, theirs),
            parse_bool(value, "required"),
            _kind(value),
            _sum(value.get("sum"), theirs),
            parse_where(value.get("where"), theirs, budget=budget),
            parse_order(_terms(value.get("order")), theirs),
            parse_attributes(value.get("attributes"), theirs),
            parse_natural(value, "limit"),
            value.get("where"),
        )
        if not join.on and (join.required or join.kind != "entries"):
            raise Malformed("`on` is missing; it is required unless the join adds entries")
    except Malformed as error:
        raise Malformed(f"in `{place}`: {error.message}") from None
    return join


def _reference(value: dict[str, Any], place: str) -> Reference:
    number, name = value.get("dataSourceId"), value.get("dataSourceName")
    if (number is None) == (name is None):
        raise Malformed(f"`{place}` needs either `dataSourceId` or `dataSourceName`")
    if name is not None:
        if not isinstance(name, str) or problem_with_text(name):
            raise Malformed(f"`{place}.dataSourceName` must be text")
        return name
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number[:30])
    if number.__class__ is not int or not 0 < number <= MAX_INTEGER:
        raise Malformed(f"`{place}.dataSourceId` must be a whole number from 1")
    return int(number)


def _pairs(value: Any, ours: Container[str], theirs: Container[str]) -> tuple[Pair, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_PAIRS:
        raise Malformed(
            f"`on` must be an object of 1 to {MAX_PAIRS} columns of the entry, each with the "
            "column of the joined data source to compare it with"
        )
    pairs = []
    for left, right in value.items():
        if not isinstance(right, str):
            raise Malformed(f"`on.{printable(left)}` must be the name of a column, as text")
        here = f"on.{printable(left)}"
        pairs.append(Pair(column_of(left, here, ours), column_of(right, here, theirs)))
    return tuple(pairs)


def _kind(value: dict[str, Any]) -> Kind:
    kinds: list[Kind] = []
    if parse_bool(value, "has"):
        kinds.append("has")
    if parse_bool(value, "count"):
        kinds.append("count")
    if value.get("sum") is not None:
        kinds.append("sum")
    if len(kinds) > 1:
        raise Malformed("use only one of `has`, `count` and `sum`")
    return kinds[0] if kinds else "entries"


def _sum(value: Any, theirs: Container[str]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed("`sum` must be the name of a column, as text")
    return column_of(value, "sum", theirs)


def _terms(value: Any) -> Any:
    """Accept a single pair as a join's order: `["createdAt", "DESC"]`."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value]
    return value
