"""`$filters`: Fliplet's list of conditions, each with its own row in the operator table.

`[{"column": "Age", "condition": ">=", "value": 18}]`; all of them have to hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from ...errors import Malformed
from ...sql import NEVER, TEXT_POSTGRESQL, Sql, equal_postgresql
from ...values.codec import dumps
from ...values.validation import lower, printable
from .comparison import equal
from .dates import CLOCK_BASE, DAY_MS, UNITS, Span, instant, span
from .paths import MISSING

# A number, or a text that is a number. Bounded, so that every database can represent it.
_NUMBER = re.compile(r"[ ]*([+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?)[ ]*")
NUMBER_POSTGRESQL: Final = (
    "CASE jsonb_typeof({v}) WHEN 'number' THEN ({v})::numeric WHEN 'string' THEN "
    "substring({v}#>>'{}' COLLATE \"C\" FROM "
    "'^[ ]*([+-]?[0-9]{1,40}(?:\\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?)[ ]*$')::numeric END"
)
INSTANT_POSTGRESQL: Final = (
    "CASE jsonb_typeof({v}) WHEN 'string' THEN rowkeeper_instant({v}#>>'{}') END"
)
_DATES = ("dateis", "datebefore", "dateafter", "datebetween")
_ORDER = (">", ">=", "<", "<=")
CONDITIONS: Final = (
    "==", "!=", *_ORDER, "contains", "empty", "notempty", "between", "oneof", *_DATES,
)  # fmt: skip


def number_of(value: Any) -> Decimal | None:
    """Return a number, also if it is written as text; None for anything else."""
    if value.__class__ in (int, float):
        return Decimal(repr(value))
    if value.__class__ is not str:
        return None
    found = _NUMBER.fullmatch(value)
    return None if found is None else Decimal(found[1])


def instant_of(value: Any) -> int | None:
    """Return the instant of a text that is a date; None for anything else."""
    return instant(value) if value.__class__ is str else None


# -- parsing one filter


def read_filter(item: Any, place: str) -> tuple[str, str, Any]:
    """Return (column, operator, operand) of one filter. Raises `Malformed`, with the place."""
    if not isinstance(item, dict):
        raise Malformed(f'`{place}` must be an object with "column", "condition" and "value"')
    unknown = set(item) - {"column", "condition", "value", "unit", "from", "to"}
    if unknown:
        raise Malformed(f"`{place}` has no property `{printable(min(unknown))}`")
    if not isinstance(item.get("column"), str):
        raise Malformed(f"`{place}.column` must be the name of a column")
    condition = item.get("condition")
    if not isinstance(condition, str) or condition not in CONDITIONS:
        raise Malformed(f"`{place}.condition` must be one of {', '.join(CONDITIONS)}")
    unit = item.get("unit")
    if unit is not None and (condition not in _DATES or unit not in UNITS):
        raise Malformed(
            f"`{place}.unit` must be one of {', '.join(UNITS)}, and requires a condition on dates"
        )
    return item["column"], f"$filters {condition}", _operand(item, condition, unit, place)


def _operand(item: dict[str, Any], condition: str, unit: str | None, place: str) -> Any:
    if condition in ("empty", "notempty"):
        return None
    if condition in ("between", "datebetween"):
        read: Callable[[Any, str], Any] = _bound if condition == "between" else _day_bound(unit)
        return _bounds(item, place, read)
    if "value" not in item:
        raise Malformed(f"`{place}.value` is missing")
    value = item["value"]
    if condition == "oneof":
        return value if isinstance(value, list) else [value]
    if condition in _ORDER:
        return _bound(value, f"{place}.value")
    if condition == "contains" and not isinstance(value, str):
        raise Malformed(f"`{place}.value` must be text")
    if condition in _DATES:
        return _day_bound(unit)(value, f"{place}.value")
    return value


def _bounds(item: dict[str, Any], place: str, read: Callable[[Any, str], Any]) -> list[Any]:
    """Return [from, to], each None if it is open.

    Both can be in an object that is the value, or in the filter itself. Raises `Malformed`.
    """
    value = item.get("value", item)
    if not isinstance(value, dict):
        raise Malformed(f'`{place}.value` must be an object with "from" and "to"')
    found = []
    for key in ("from", "to"):
        bound = value.get(key)
        if isinstance(bound, dict) and list(bound) == ["value"]:
            bound = bound["value"]
        found.append(None if bound is None else read(bound, f"{place}.{key}"))
    if found == [None, None]:
        raise Malformed(f"`{place}` needs `from`, `to`, or both")
    return found


def _bound(value: Any, place: str) -> str:
    number = number_of(value)
    if number is None:
        raise Malformed(f"`{place}` must be a number, or a number written as text")
    return str(number)


def _day_bound(unit: str | None) -> Callable[[Any, str], list[int]]:
    def read(value: Any, place: str) -> list[int]:
        found = span(value, unit) if isinstance(value, str) else None
        if found is None:
            raise Malformed(f"`{place}` must be a date such as 2026-01-31 or 2026-01-31 14:00")
        return list(found)

    return read


# -- meanings


def equal_any_case(value: Any, operand: Any) -> bool:
    """`==`: compares texts without case, and anything else as `$eq` does."""
    if value.__class__ is str and operand.__class__ is str:
        return lower(value) == lower(operand)
    return equal(value, operand)


def is_empty(value: Any, operand: Any) -> bool:
    """`empty`: missing, null, `""`, `[]` or `{}`."""
    return value is MISSING or value is None or value == "" or value == [] or value == {}


def in_bounds(value: Any, operand: Any) -> bool:
    """`between`: a number between the bounds, both included."""
    number = number_of(value)
    low, high = operand
    return (
        number is not None
        and (low is None or number >= Decimal(low))
        and (high is None or number <= Decimal(high))
    )


def in_span(value: Any, operand: Any) -> bool:
    """Whether a value is a date in a half-open span of `limits`."""
    moment = instant_of(value)
    if moment is None:
        return False
    low, high = operand
    return (low is None or moment >= low) and (high is None or moment < high)


def limits(condition: str, operand: Any) -> list[int | None]:
    """Return the half-open span [from, before] of a date condition, None where it is open.

    It covers either instants or times of day, never both.
    """
    if condition == "datebetween":
        low, high = operand
        start = low[0] if low else None
        end = high[1] if high else None
        return _apart(start, end)
    start, end = Span(*operand)
    if condition == "dateis":
        return [start, end]
    return _apart(None, start) if condition == "datebefore" else _apart(end, None)


def _apart(start: int | None, end: int | None) -> list[int | None]:
    evening = CLOCK_BASE + DAY_MS
    known = start if start is not None else end
    assert known is not None
    if known <= evening:
        return [CLOCK_BASE if start is None else start, evening if end is None else end]
    return [evening + 1 if start is None else start, end]


# -- PostgreSQL (on SQLite, each of these is a function that calls `holds`)


def equal_any_case_postgresql(operand: Any) -> Sql:
    """Return the SQL of `==`."""
    if operand.__class__ is not str:
        return equal_postgresql(operand)
    text = "CASE jsonb_typeof({v}) WHEN 'string' THEN rowkeeper_lower({v}#>>'{}') END"
    return Sql(f'{text} COLLATE "C"=%s', (lower(operand),))


def part_any_case_postgresql(operand: Any) -> Sql:
    """Return the SQL of `contains`."""
    return Sql(f"strpos(rowkeeper_lower({TEXT_POSTGRESQL}),%s)>0", (lower(operand),))


def is_empty_postgresql(operand: Any) -> Sql:
    """Return the SQL of `empty`."""
    return Sql("coalesce({v},'null') IN ('null'::jsonb,'\"\"'::jsonb,'[]'::jsonb,'{}'::jsonb)")


def ordered_postgresql(sign: str) -> Callable[[Any], Sql]:
    """Return the function for the SQL of an order: `>`, `>=`, `<` or `<=`."""
    return lambda operand: Sql(f"{NUMBER_POSTGRESQL}{sign}%s::numeric", (operand,))


def in_bounds_postgresql(operand: Any) -> Sql:
    """Return the SQL of `between`."""
    parts = [(">=", operand[0]), ("<=", operand[1])]
    used = [(sign, bound) for sign, bound in parts if bound is not None]
    text = " AND ".join(f"{NUMBER_POSTGRESQL}{sign}%s::numeric" for sign, _ in used)
    return Sql(f"({text})", tuple(bound for _, bound in used))


def in_span_postgresql(operand: Any) -> Sql:
    """Return the SQL of a condition on dates; `operand` is the result of `limits`."""
    parts = [(">=", operand[0]), ("<", operand[1])]
    used = [(sign, bound) for sign, bound in parts if bound is not None]
    text = " AND ".join(f"{INSTANT_POSTGRESQL}{sign}%s::bigint" for sign, _ in used)
    return Sql(f"({text})", tuple(bound for _, bound in used)) if used else NEVER


def json_of(operand: Any) -> str:
    """Return an operand as the JSON text that is passed to a function on SQLite."""
    return dumps(operand)
