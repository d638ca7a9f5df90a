"""How values compare with operands: what the operators and `$filters` have in common."""

from __future__ import annotations

from typing import Any

from ...values.validation import same
from .paths import MISSING


def equal(value: Any, operand: Any) -> bool:
    """`$eq` on one value: missing and null are the same."""
    return operand is None if value is MISSING else same(value, operand)


def truthy(value: Any) -> bool:
    """Whether JavaScript takes a value for true; a list or an object always is."""
    return value.__class__ in (list, dict) or bool(value)


def like(text: str, pattern: str) -> bool:
    """Whether text fits a pattern in which `%` is any run of characters; without one, a part."""
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
