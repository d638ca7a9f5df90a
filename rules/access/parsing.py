"""Rows and IDs that a client sends, checked. The API, the simulator and `explain` parse alike."""

from __future__ import annotations

from typing import Any

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable, problem_with_row


def row_of(value: Any, place: str) -> dict[str, Any]:
    """A value as a row, `{column: value}`. Raises `Malformed`, naming the place."""
    problem = problem_with_row(value)
    if problem:
        raise Malformed(f"{place}: {problem}")
    row: dict[str, Any] = value
    return row


def entry_id_of(value: Any, place: str) -> int:
    """An ID: an integer from 1 to 2^63-1. Raises `Malformed`, naming the place."""
    if value.__class__ is not int or not 0 < value <= MAX_INTEGER:
        raise Malformed(f"{place} must be a whole number from 1, not `{printable(value)}`")
    return int(value)
