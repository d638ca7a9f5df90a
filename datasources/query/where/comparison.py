"""Comparisons of values with operands that the operators and `$filters` share."""

from __future__ import annotations

from typing import Any

from ...values.validation import same
from .paths import MISSING


def equal(value: Any, operand: Any) -> bool:
    """`$eq` on one value; missing and null are equal."""
    return operand is None if value is MISSING else same(value, operand)


def truthy(value: Any) -> bool:
    """Whether a value is true in JavaScript; a list or an object always is."""
    return value.__class__ in (list, dict) or bool(value)


def like(text: str, pattern: str) -> bool:
    """Whether a text matches a pattern, where `%` is any run of characters.

    A pattern without `%` matches any text that contains it.
    """
    first, *rest = pattern.split("%")
    if not rest:
        return pattern in text
    if not text.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])
