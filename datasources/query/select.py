"""Parses the body of a query, once, into frozen values."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import Malformed
from ..values.validation import MAX_INTEGER, printable, problem_with_name
from .aggregate import ENTRY_FIELDS, MAX_GIVEN, Pipeline, given_by, parse_aggregate
from .column_names import column_of as column_named
from .cursors import After, parse_after
from .where import EVERYTHING, Budget, Field, Node, parse_where

ANSWERED_FIELDS = ("id", "dataSourceId", "createdAt", "updatedAt")
MAX_ORDER = 100
MAX_ATTRIBUTES = 1_000
MAX_DISTINCT = 100
# The most views that a request may name; the filter of each may be as large as a where.
MAX_NAMED_VIEWS = 10


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of an order: a field of the entry, or (with `is_column`) a column of its row."""

    name: str
    is_column: bool
    descending: bool


@dataclass(frozen=True, slots=True)
class Attributes:
    """The requested attributes of an entry. `columns`: None for all, empty for no row at all."""

    columns: tuple[str, ...] | None = None
    fields: tuple[str, ...] = ANSWERED_FIELDS
    # The request names some field of the entry.
    named_fields: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns that go into an answer: those of `pick` (None: all) that are not in `drop`."""

    pick: frozenset[str] | None = None
    drop: frozenset[str] = frozenset()

    def of(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a row in memory that go into an answer."""
        return {key: value for key, value in row.items() if self.shows(key)}

    def shows(self, column: str) -> bool:
        """Whether a column goes into the answer."""
        return (self.pick is None or column in self.pick) and column not in self.drop

    def restricted_to(self, columns: tuple[str, ...] | None) -> Projection:
        """Return this projection, restricted to `columns` unless they are None."""
        if columns is None:
            return self
        return Projection(frozenset(filter(self.shows, columns)))


@dataclass(frozen=True, slots=True)
class Select:
    """A select: what to read by a query."""

    where: Node = EVERYTHING
    order: tuple[OrderTerm, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)
    limit: int | None = None
    offset: int = 0
    with_total: bool = False
    count_only: bool = False
    # Read the distinct combinations of the attributes' columns, rather than entries.
    distinct: bool = False
    aggregate: Pipeline | None = None
    # Views of the data source as (place in the body, name). The filters of all of them are part of
    # the where.
    views: tuple[tuple[str, str], ...] = ()
    after: After | None = None
    # The where as JSON.
    written: Any = None

    def names(self) -> Iterator[str]:
        """Yield every column that is named outside the where."""
        for term in self.order:
            if term.is_column:
                yield term.name
        yield from self.attributes.columns or ()
        if self.aggregate is not None:
            yield from (item.name for item in self.aggregate.columns() if len(item.path) == 1)

    def paths(self) -> Iterator[Field]:
        """Yield every path below a column that is named outside the where."""
        if self.aggregate is not None:
            for item in self.aggregate.columns():
                if len(item.path) > 1:
                    yield Field(item.name, item.path, "$exists", True, item.path[0])


@dataclass(frozen=True, slots=True)
class Delete:
    """A delete by query."""

    where: Node
    views: tuple[tuple[str, str], ...] = ()
    written: Any = None


# A client that sends one of these expects that fewer entries than the where matches are deleted, or
# none.
_SELECT_ONLY = ("aggregate", "distinct", "join", "after", "limit", "offset", "countOnly")


def parse_query(
    body: Any, columns: Container[str], budget: Budget | None = None
) -> Select | Delete:
    """Parse the body of `data/query`. Raises `Malformed`.

    `budget` is shared with its joins, which are parsed afterward.
    """
    if not isinstance(body, dict):
        raise Malformed('the body must be an object, such as {"type": "select", "where": {}}')
    kind = body.get("type", "select")
    if kind == "delete":
        if body.get("where") is None:
            raise Malformed("a delete by query needs `where`; use {} for every entry")
        for key in _SELECT_ONLY:
            if is_given(body, key):
                raise Malformed(f"`{key}` is only for a select, not for a delete")
        # These change nothing about a delete, but still have to be well-formed.
        parse_order(body.get("order"), columns)
        parse_attributes(body.get("attributes"), columns)
        parse_bool(body, "includePagination")
        return Delete(parse_where(body["where"], columns), parse_views(body), body["where"])
    if kind != "select":
        raise Malformed(f'`type` must be "select" or "delete", not `{printable(kind)}`')
    order = parse_order(body.get("order"), columns)
    query = Select(
        where=parse_where(body.get("where"), columns, budget=budget),
        order=order,
        attributes=parse_attributes(body.get("attributes"), columns),
        limit=parse_natural(body, "limit"),
        offset=parse_natural(body, "offset") or 0,
        with_total=parse_bool(body, "includePagination"),
        count_only=parse_bool(body, "countOnly"),
        distinct=parse_bool(body, "distinct"),
        aggregate=_aggregate(body, columns),
        views=parse_views(body),
        after=parse_after(body.get("after"), order),
        written=body.get("where"),
    )
    if query.aggregate is not None:
        _refuse_with(body, "aggregate", ("order", "attributes", "distinct", "join", "after"))
    if query.distinct:
        _refuse_with(body, "distinct", ("join", "after"))
        _check_distinct(query)
    if query.after is not None and query.offset:
        _refuse_with(body, "after", ("offset",))
    return query


def _aggregate(body: dict[str, Any], columns: Container[str]) -> Pipeline | None:
    value = body.get("aggregate")
    return None if value is None else parse_aggregate(value, columns)


def parse_views(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Parse `view` (one name) and `views` (a list). Raises `Malformed`.

    Returns each name once, with its place in the body, such as `("views[0]", "Mine")`.
    """
    one, several = body.get("view"), body.get("views")
    if one is None and several is None:
        return ()
    if one is not None and not isinstance(one, str):
        raise Malformed(
            "`view` must be the name of one view, as text; use `views` for a list of names"
        )
    if several is None:
        several = []
    if not isinstance(several, list) or not all(isinstance(name, str) for name in several):
        raise Malformed('`views` must be a list of names of views, such as ["Mine"]')
    places = {} if one is None else {one: "view"}
    for at, name in enumerate(several):
        places.setdefault(name, f"views[{at}]")
    if len(places) > MAX_NAMED_VIEWS:
        raise Malformed(f"`views` can have at most {MAX_NAMED_VIEWS} names")
    return tuple((place, name) for name, place in places.items())


def is_given(body: dict[str, Any], key: str) -> bool:
    """Whether a key has any value except null and false, valid or not."""
    return body.get(key) is not None and body[key] is not False


def _refuse_with(body: dict[str, Any], what: str, others: tuple[str, ...]) -> None:
    for key in others:
        if is_given(body, key):
            raise Malformed(f"`{key}` cannot be combined with `{what}`")


def _check_distinct(query: Select) -> None:
    """Check that `distinct` has columns and nothing else. Raises `Malformed`."""
    columns = query.attributes.columns
    if not columns or query.attributes.named_fields:
        raise Malformed("`distinct` needs `attributes` with at least one column, and only columns")
    if len(columns) > MAX_DISTINCT:
        raise Malformed(f"`distinct` allows at most {MAX_DISTINCT} columns")
    # Each combination has the names of all columns, also of those that no row has.
    if given_by(columns) > MAX_GIVEN:
        raise Malformed(
            f"with `distinct`, the names of columns can have at most {MAX_GIVEN} "
            "characters in total"
        )
    for at, term in enumerate(query.order):
        if not term.is_column or term.name not in columns:
            raise Malformed(f"`order[{at}]`: with `distinct`, it must be one of the `attributes`")


def parse_order(value: Any, columns: Container[str]) -> tuple[OrderTerm, ...]:
    """Parse `[["data.Name", "ASC"], ["createdAt", "DESC"]]`. Raises `Malformed`."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ORDER:
        raise Malformed(
            f"`order` must be a list of at most {MAX_ORDER} pairs of a column and ASC or DESC"
        )
    return tuple(_order_term(term, f"order[{at}]", columns) for at, term in enumerate(value))


def _order_term(term: Any, place: str, columns: Container[str]) -> OrderTerm:
    if not isinstance(term, list) or not 1 <= len(term) <= 2 or not isinstance(term[0], str):
        raise Malformed(f'`{place}` must be a pair such as ["data.Name", "ASC"]')
    direction = term[1] if len(term) == 2 else "ASC"
    if not isinstance(direction, str) or direction.upper() not in ("ASC", "DESC"):
        raise Malformed(f'`{place}[1]` must be "ASC" or "DESC"')
    descending = direction.upper() == "DESC"
    if term[0] in ENTRY_FIELDS:
        return OrderTerm(term[0], False, descending)
    return OrderTerm(column_of(term[0], place, columns), True, descending)


def parse_attributes(value: Any, columns: Container[str]) -> Attributes:
    """Parse `["id", "data.Name"]` or `["Name"]`. Raises `Malformed`.

    If no field of the entry is named, an answer has the usual ones; if no column is named, it has
    no `data`.
    """
    if value is None:
        return Attributes()
    if not isinstance(value, list) or len(value) > MAX_ATTRIBUTES:
        raise Malformed(f"`attributes` must be a list of at most {MAX_ATTRIBUTES} names")
    kept: list[str] = []
    picked: list[str] = []
    for at, name in enumerate(value):
        if not isinstance(name, str):
            raise Malformed(f"`attributes[{at}]` must be the name of a column or field, as text")
        if name in (*ENTRY_FIELDS, "dataSourceId"):
            kept.append(name)
        else:
            picked.append(column_of(name, f"attributes[{at}]", columns))
    fields_of_entry = tuple(name for name in (*ENTRY_FIELDS, "dataSourceId") if name in kept)
    return Attributes(tuple(picked), fields_of_entry or ANSWERED_FIELDS, bool(kept))


def column_of(written: str, place: str, columns: Container[str]) -> str:
    """Return the column that a name means; see `column_names.column_of`. Raises `Malformed`."""
    name = column_named(written, columns)
    problem = problem_with_name(name)
    if problem:
        raise Malformed(f"`{place}`: the column {problem}")
    return name


def parse_natural(body: dict[str, Any], key: str) -> int | None:
    """Parse a whole number from 0, or None. Raises `Malformed`."""
    value = body.get(key)
    if value is None:
        return None
    if value.__class__ is not int or not 0 <= value <= MAX_INTEGER:
        raise Malformed(f"`{key}` must be a whole number from 0, or null")
    return int(value)


def parse_bool(body: dict[str, Any], key: str, default: bool = False) -> bool:
    """Parse `true` or `false`; a missing key or null is `default`. Raises `Malformed`."""
    value = body.get(key)
    if value is None:
        return default
    if value.__class__ is not bool:
        raise Malformed(f"`{key}` must be true or false, not `{printable(value)}`")
    return bool(value)
