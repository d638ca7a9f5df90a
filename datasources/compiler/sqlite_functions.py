"""Deterministic SQL functions that SQLite lacks, registered on every connection.

PostgreSQL has the functions of `indexes.postgresql_functions`.
"""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import Any

from ..caching import memoize
from ..query.where.comparison import like
from ..query.where.match import elem_matches
from ..query.where.nodes import ElemMatch
from ..query.where.operators import OPERATORS
from ..query.where.parse import elem_of
from ..query.where.paths import MISSING, end_values
from ..query.where.paths import values_at as values_on
from ..values.codec import canonical, dumps
from ..values.numbers import AGGREGATES, spelled_text, to_number_text
from ..values.validation import address_key, lower


class Limit(threading.local):
    """The time, by `time.monotonic`, at which the statement of this thread has to end."""

    until: float | None = None


limit = Limit()


def _in_time() -> None:
    """Raise `TimeoutError` after the limit, which SQLite reports as an error of the statement."""
    if limit.until is not None and monotonic() > limit.until:
        raise TimeoutError


def register(connection: Any) -> None:
    """Register the functions on a new SQLite connection."""
    for name, count, function in _FUNCTIONS:
        connection.connection.create_function(name, count, function, deterministic=True)
    for name, count, aggregate in AGGREGATES:
        connection.connection.create_aggregate(name, count, aggregate)


def _text(value: Any) -> str | None:
    if value is MISSING:
        return None
    return canonical(value) if value.__class__ in (dict, list) else dumps(value)


def _walk(data: str | None, path: str) -> str:
    """Return a JSON list of the JSON texts of all values on a path; null for a missing one."""
    _in_time()
    row = {} if data is None else json.loads(data)
    return dumps([_text(value) for value in values_on(row, tuple(json.loads(path)))])


def _holds(value: str | None, op: str, operand: str) -> bool:
    """Whether an operator's test holds on a value, or on a member of a list."""
    return _holds_on(MISSING if value is None else json.loads(value), (), op, operand)


def _holds_on_path(data: str, path: str, op: str, operand: str) -> bool:
    """Whether an operator's test holds on one of the values to which a dotted path leads."""
    return _holds_on(json.loads(data), tuple(json.loads(path)), op, operand)


def _holds_on(item: Any, path: tuple[str, ...], op: str, operand: str) -> bool:
    _in_time()
    row, wanted = OPERATORS[op], _parsed(operand)
    values = values_on if row.opens_lists else end_values
    return any(row.holds(value, wanted) for value in values(item, path))


# A statement passes the same operands for every row, so they are cached. Clients write them, up to
# a megabyte each, so the cache of long ones is small.
_LONG = 1_000
_short_operand = memoize(1_000, f"{__name__}.short_operand")(json.loads)
_long_operand = memoize(16, f"{__name__}.long_operand")(json.loads)


def _parsed(operand: str) -> Any:
    """Return an operand, parsed once and not for every row."""
    return (_short_operand if len(operand) <= _LONG else _long_operand)(operand)


def _elem(data: str, path: str, operand: str) -> bool:
    """`$elemMatch`: whether a list on the path has a member that matches."""
    _in_time()
    node = _short_elem if len(path) + len(operand) <= _LONG else _long_elem
    return elem_matches(node(path, operand), json.loads(data))


def _elem_node(path: str, operand: str) -> ElemMatch:
    return elem_of("", tuple(json.loads(path)), json.loads(operand))


_short_elem = memoize(1_000, f"{__name__}.short_elem")(_elem_node)
_long_elem = memoize(16, f"{__name__}.long_elem")(_elem_node)


def _like(text: str | None, pattern: str) -> int | None:
    _in_time()
    return None if text is None else int(like(text, pattern))


def _lower(text: str | None) -> str | None:
    return None if text is None else lower(text)


def _address(text: str | None) -> str | None:
    return None if text is None else address_key(text)


def _real(text: str | None) -> float | None:
    # SQLite before 3.43 can be off by one unit in the last place.
    return None if text is None else float(text)


_FUNCTIONS = (
    ("rowkeeper_walk", 2, _walk),
    ("rowkeeper_holds", 3, _holds),
    ("rowkeeper_holds_on_path", 4, _holds_on_path),
    ("rowkeeper_elem", 3, _elem),
    ("rowkeeper_like", 2, _like),
    ("rowkeeper_lower", 1, _lower),
    ("rowkeeper_address", 1, _address),
    ("rowkeeper_real", 1, _real),
    ("rowkeeper_spelled", 1, spelled_text),
    ("rowkeeper_to_number", 1, to_number_text),
)
