"""How text, numbers and booleans are written in mixed text: as JavaScript's `String()` does."""

from __future__ import annotations

import math
from decimal import Decimal

EXACT_BITS = 64
"""Integers up to this size are written digit by digit; beyond it they are doubles to us."""


def js_text(value: str | int | float | bool) -> str | None:
    """Return `value` as JavaScript writes it, or None for a number that is not finite."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() <= EXACT_BITS:
        return str(value)
    try:
        return _double_text(float(value))
    except OverflowError:
        return None


def _double_text(value: float) -> str | None:
    """Format the shortest digits, on which Python and JavaScript agree, as JavaScript does."""
    if not math.isfinite(value):
        return None
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    _, members, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, members))
    point = len(digits) + int(exponent)  # the number of digits before the decimal point
    return sign + _laid_out(digits.rstrip("0"), point)


def _laid_out(digits: str, point: int) -> str:
    """Number::toString of ECMAScript, given the digits and the position of the decimal point."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"
