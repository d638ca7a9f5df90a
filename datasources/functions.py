"""What SQLite lacks, as deterministic functions of ours, registered on every connection.

PostgreSQL has its own of the same names, made by the migrations.
"""

from __future__ import annotations

import json
from typing import Any

from .jsontext import canonical, dumps
from .numbers import AGGREGATES, spelled_text, to_number_text
from .values import lower
from .where.operators import OPERATORS, like
from .where.walk import MISSING
from .where.walk import walk as values_on


def register(sender: object, connection: Any, **kwargs: object) -> None:
    """Receives `connection_created`."""
    if connection.vendor != "sqlite":
        return
    for name, count, function in _FUNCTIONS:
        connection.connection.create_function(name, count, function, deterministic=True)
    for name, count, aggregate in AGGREGATES:
        connection.connection.create_aggregate(name, count, aggregate)


def _text(value: Any) -> str | None:
    if value is MISSING:
        return None
    return canonical(value) if value.__class__ in (dict, list) else dumps(value)


def _walk(data: str | None, path: str) -> str:
    """JSON list of the JSON texts of all values on a path; null for a missing one."""
    row = {} if data is None else json.loads(data)
    return dumps([_text(value) for value in values_on(row, tuple(json.loads(path)))])


def _holds(value: str, op: str, operand: str) -> bool:
    """Whether an operator's test holds on a list or an object, or on a member of the list."""
    return _holds_on(json.loads(value), (), op, operand)


def _holds_on_path(data: str, path: str, op: str, operand: str) -> bool:
    """The same for all that a dotted path leads to."""
    return _holds_on(json.loads(data), tuple(json.loads(path)), op, operand)


def _holds_on(item: Any, path: tuple[str, ...], op: str, operand: str) -> bool:
    row, wanted = OPERATORS[op], json.loads(operand)
    if not row.opens_lists:
        return row.holds(item, wanted)
    return any(row.holds(value, wanted) for value in values_on(item, path))


def _like(text: str | None, pattern: str) -> int | None:
    return None if text is None else int(like(text, pattern))


def _lower(text: str | None) -> str | None:
    return None if text is None else lower(text)


def _real(text: str | None) -> float | None:
    # SQLite before 3.43 may miss the nearest double in the last place.
    return None if text is None else float(text)


_FUNCTIONS = (
    ("rowkeeper_walk", 2, _walk),
    ("rowkeeper_holds", 3, _holds),
    ("rowkeeper_holds_on_path", 4, _holds_on_path),
    ("rowkeeper_like", 2, _like),
    ("rowkeeper_lower", 1, _lower),
    ("rowkeeper_real", 1, _real),
    ("rowkeeper_spelled", 1, spelled_text),
    ("rowkeeper_to_number", 1, to_number_text),
)
