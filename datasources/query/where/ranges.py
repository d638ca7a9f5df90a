"""The range of index keys that can satisfy a condition.

A range is never narrower than its condition, and the condition is still tested on each row. So an
index changes how many rows are read, never which rows are found. Lists, objects and very long texts
are in no range: a caller has to read them as well. `indexes.expressions` compiles a range to SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from ...values.validation import KIND_BOOLEAN, KIND_NULL, KIND_NUMBER, KIND_TEXT, is_scalar, kind
from . import filters
from .dates import DAY_MS, day_text
from .nodes import And, Composite, Field, Node
from .operators import OPERATORS

# Lists with more members than this are not looked up value by value.
MAX_POINTS = 64
KINDS: Final = (KIND_NULL, KIND_BOOLEAN, KIND_NUMBER, KIND_TEXT)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Values of one kind: these `points`, or all from `low` to `high` (inclusive, None if open).

    `texts`: a text may match a range of numbers as well.
    """

    kind: str
    points: tuple[Any, ...] | None = None
    low: Any = None
    high: Any = None
    texts: bool = False

    def is_point(self) -> bool:
        """Whether the range is a single value."""
        return self.kind == KIND_NULL or (self.points is not None and len(self.points) == 1)

    def is_range(self) -> bool:
        """Whether the range has a bound."""
        return self.low is not None or self.high is not None


def conjuncts(node: Node) -> Iterator[Node]:
    """Yield the conditions of a where that all have to hold."""
    if isinstance(node, And):
        for item in node.items:
            yield from conjuncts(item)
    elif isinstance(node, Composite):
        yield from conjuncts(node.item)
    else:
        yield node


def key_ranges(node: Node) -> dict[str, KeyRange]:
    """Return by column the range that a row has to be in for the where to hold."""
    found: dict[str, KeyRange] = {}
    for item in conjuncts(node):
        if isinstance(item, Field) and len(item.path) == 1:
            span = key_range(item)
            if span is not None:
                known = found.get(item.path[0])
                found[item.path[0]] = span if known is None else _both(known, span)
    return found


def key_range(field: Field) -> KeyRange | None:
    """Return the range of one condition, or None if no index helps."""
    make = _RANGES.get(field.op)
    if make is None or OPERATORS[field.op].negates(field.operand):
        return _missing(field)
    return make(field.operand)


def _missing(field: Field) -> KeyRange | None:
    if field.op == "$exists" and OPERATORS["$exists"].negates(field.operand):
        return KeyRange(KIND_NULL)
    return None


def _both(one: KeyRange, other: KeyRange) -> KeyRange:
    """Return a range that contains the intersection; either range, if they cannot be combined."""
    if one.points is not None or other.kind != one.kind:
        return one
    if other.points is not None:
        return other
    lows = [span.low for span in (one, other) if span.low is not None]
    highs = [span.high for span in (one, other) if span.high is not None]
    return replace(
        one,
        low=max(lows, default=None),
        high=min(highs, default=None),
        texts=one.texts or other.texts,
    )


def _equal(operand: Any) -> KeyRange | None:
    return _among([operand])


def _among(operand: Any) -> KeyRange | None:
    kinds = {kind(member) for member in operand}
    if len(kinds) != 1 or len(operand) > MAX_POINTS:
        return None
    (found,) = kinds
    return KeyRange(found, tuple(operand)) if found in KINDS else None


def _from(operand: Any) -> KeyRange | None:
    return KeyRange(kind(operand), low=operand) if is_scalar(operand) else _equal_null(operand)


def _to(operand: Any) -> KeyRange | None:
    return KeyRange(kind(operand), high=operand) if is_scalar(operand) else _equal_null(operand)


def _equal_null(operand: Any) -> KeyRange | None:
    return KeyRange(KIND_NULL) if operand is None else None


def _like(operand: Any) -> KeyRange | None:
    prefix, found, _ = operand.partition("%")
    if not found or not prefix:
        return None
    return KeyRange(KIND_TEXT, low=prefix, high=text_after(prefix))


def text_after(prefix: str) -> str | None:
    """Return the first text after all texts with a prefix, by code point, or None."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if 0xD800 <= last < 0xE000 else last)
        prefix = prefix[:-1]
    return None


def _has_type(operand: Any) -> KeyRange | None:
    found = "boolean" if operand == "bool" else operand
    return KeyRange(found) if found in KINDS else None


def _equal_any_case(operand: Any) -> KeyRange | None:
    return None if operand.__class__ is str else _equal(operand)


def _number_or_text(low: Any, high: Any) -> KeyRange:
    """Return a range of numbers. Numbers written as text match as well, and are the bounds."""
    return KeyRange(KIND_NUMBER, low=_wide(low, -1), high=_wide(high, 1), texts=True)


def _wide(bound: str | None, sign: int) -> float | None:
    """Return a double slightly outside a decimal bound, or None if it is beyond all doubles."""
    if bound is None:
        return None
    value = float(bound)
    value += sign * (abs(value) * 1e-9 + 1e-300)
    return value if abs(value) < 1.7e308 else None


def _dates(condition: str) -> Callable[[Any], KeyRange | None]:
    def make(operand: Any) -> KeyRange | None:
        low, high = filters.limits(condition, operand)
        return KeyRange(
            KIND_TEXT,
            low=None if low is None else day_text(low - DAY_MS),
            high=None if high is None else day_text(high + 2 * DAY_MS),
        )

    return make


_RANGES: dict[str, Callable[[Any], KeyRange | None]] = {
    "$eq": _equal,
    "$in": _among,
    "$gt": _from,
    "$gte": _from,
    "$lt": _to,
    "$lte": _to,
    "$like": _like,
    "$type": _has_type,
    "$filters ==": _equal_any_case,
    "$filters oneof": _among,
    "$filters >": lambda operand: _number_or_text(operand, None),
    "$filters >=": lambda operand: _number_or_text(operand, None),
    "$filters <": lambda operand: _number_or_text(None, operand),
    "$filters <=": lambda operand: _number_or_text(None, operand),
    "$filters between": lambda operand: _number_or_text(*operand),
    **{
        f"$filters {name}": _dates(name)
        for name in ("dateis", "datebefore", "dateafter", "datebetween")
    },
}
