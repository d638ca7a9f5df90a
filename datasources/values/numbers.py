"""The form of numbers in answers, and the functions over them that SQLite lacks.

Sums are exact: every number is taken as the decimal in its text, and the result is rounded once.
PostgreSQL's `numeric` does the same in `compiler.json_values`.
"""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal
from typing import Any, ClassVar

from .codec import dumps

# Wide enough for the sum of the smallest and the largest double.
_EXACT = Context(prec=1_000, Emax=999_999, Emin=-999_999)
_LARGEST = Decimal("1.7976931348623157e308")
_SMALLEST = Decimal("2.5e-324")
# For smaller sums, a mean could be less than the smallest double, which PostgreSQL refuses.
_ZERO = Decimal("1e-300")
_BLANKS = " \t\n\v\f\r"
_SPELLS_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?0*[0-9]{1,3})?\Z")


def spelled(number: Decimal | int | float) -> int | float | None:
    """Return 64-bit whole numbers as they are, others as the nearest double, or None beyond all."""
    if isinstance(number, int):
        return number if abs(number) < 2**63 else spelled(Decimal(number))
    exact = Decimal(repr(number)) if isinstance(number, float) else number
    # Not `abs`, which rounds.
    size = exact.copy_abs()
    if size < 2**63 and exact == exact.to_integral_value(context=_EXACT):
        return int(exact)
    if size > _LARGEST:
        return None
    return 0 if size < _SMALLEST else float(exact)


def spelled_value(value: Any) -> Any:
    """Return a value in the form that is the same for all equal values; keys are sorted."""
    if value.__class__ is float:
        return spelled(value)
    if value.__class__ is list:
        return [spelled_value(item) for item in value]
    if value.__class__ is dict:
        return {key: spelled_value(value[key]) for key in sorted(value)}
    return value


def number_of(value: Any) -> int | float | None:
    """`$convertToNumber`: return a number, or the number that a text represents, or None."""
    if value.__class__ in (int, float):
        return value
    if value.__class__ is not str or len(value.encode()) > 400:
        return None
    text = value.strip(_BLANKS)
    return spelled(Decimal(text)) if _SPELLS_NUMBER.match(text) else None


def spelled_text(text: str) -> str:
    """`spelled_value` for SQLite, on JSON text."""
    return dumps(spelled_value(json.loads(text)))


def to_number_text(text: str | None) -> str:
    """`number_of` for SQLite, on JSON text."""
    return dumps(None if text is None else number_of(json.loads(text)))


class Sum:
    """`$sum`: the sum of the numbers; other values are ignored."""

    def __init__(self) -> None:
        self.whole = 0
        self.rest = Decimal(0)
        self.count = 0

    def step(self, text: str | None) -> None:
        """Add one value, as JSON text."""
        if text is None or (text[0] not in "-0123456789"):
            return
        self.count += 1
        if text.lstrip("-").isdigit():
            self.whole += int(text)
        else:
            self.rest = _EXACT.add(self.rest, Decimal(text))

    def total(self) -> Decimal:
        """Return the exact sum so far."""
        return _EXACT.add(self.rest, Decimal(self.whole))

    def finalize(self) -> str:
        """Return the JSON text of the sum."""
        return dumps(spelled(self.total()))


class Average(Sum):
    """`$avg`: the mean of the numbers; null without any."""

    def finalize(self) -> str:
        """Return the JSON text of the mean."""
        total = self.total()
        if not self.count or total.copy_abs() > _LARGEST:
            return "null"
        if total.copy_abs() < _ZERO:
            return "0"
        return dumps(spelled(float(total) / self.count))


class Extreme:
    """`$min` and `$max`: by the order of types; null, lists and objects are ignored."""

    sign: ClassVar[int]

    def __init__(self) -> None:
        self.best: tuple[int, Any] | None = None

    def step(self, text: str | None) -> None:
        """Compare one value, as JSON text."""
        if text is None or text[0] in "[{n":
            return
        value = json.loads(text)
        place = (1 if value.__class__ is bool else 4 if value.__class__ is str else 3, value)
        if self.best is None or (place < self.best if self.sign < 0 else place > self.best):
            self.best = place

    def finalize(self) -> str:
        """Return the JSON text of the value."""
        return "null" if self.best is None else dumps(spelled_value(self.best[1]))


class Least(Extreme):
    """The accumulator `$min`."""

    sign = -1


class Greatest(Extreme):
    """The accumulator `$max`."""

    sign = 1


AGGREGATES = (
    ("rowkeeper_sum", 1, Sum),
    ("rowkeeper_avg", 1, Average),
    ("rowkeeper_min", 1, Least),
    ("rowkeeper_max", 1, Greatest),
)
