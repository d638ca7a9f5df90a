"""What `distinct`, `aggregate` and `join` mean, said again over rows in memory: plainly, slowly,
with fractions, and without a look at how the databases are asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from typing import Any

MISSING: Any = object()
# Columns whose own name begins with `data.`, where the rest of it is no column.
AMBIGUOUS = ("data.z",)
Document = dict[str, Any]


# -- values


def key(value: Any) -> Any:
    """Equal for what is equal with its type; missing and null are the same."""
    if value is None or value is MISSING:
        return None
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float):
        return ("number", exact(value))
    if isinstance(value, str):
        return ("text", value)
    if isinstance(value, list):
        return ("list", tuple(key(item) or "null" for item in value))
    return ("object", frozenset((name, key(item) or "null") for name, item in value.items()))


def exact(number: float) -> Fraction:
    return Fraction(Decimal(repr(number)))


def number(value: Fraction) -> int | float | None:
    """As an answer has it."""
    if value.denominator == 1 and abs(value) < 2**63:
        return int(value)
    if abs(value) > Fraction(Decimal("1.7976931348623157e308")):
        return None
    return float(value)


def place(value: Any) -> tuple[int, Any]:
    """Where a value stands in an order."""
    if value is None or value is MISSING:
        return (0, 0)
    if isinstance(value, bool):
        return (2 if value else 1, 0)
    if isinstance(value, int | float):
        return (3, exact(value))
    return (4, value) if isinstance(value, str) else (5, 0)


def compared(left: Any, right: Any) -> int:
    one, other = place(left), place(right)
    return (one > other) - (one < other)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_number(value: Any) -> Any:
    if is_number(value):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip(" \t\n\v\f\r")
    # Python reads more than is meant: other digits, `_`, NaN and Infinity.
    if not set(text) <= set("0123456789+-.eE") or len(value) > 400:
        return None
    try:
        return number(Fraction(Decimal(text)))
    except ArithmeticError:
        return None


# -- aggregate


def aggregate(entries: Sequence[Document], pipeline: Sequence[Document]) -> list[Document]:
    """The results; an entry is `{"id": …, "data": {…}}`."""
    documents: list[Document] = list(entries)
    made = False
    for stage in pipeline:
        ((name, body),) = stage.items()
        if name == "$sort":
            documents = _sorted(documents, body, made)
        elif name == "$group":
            documents, made = _grouped(documents, body, made), True
        else:
            documents, made = [_projected(item, body, made) for item in documents], True
    return documents


def _at(document: Document, name: str, made: bool) -> Any:
    if not made and name in ("id", "order"):
        return document[name]
    if not made:
        row = document["data"]
        name = name if name in AMBIGUOUS else name.removeprefix("data.")
        if name in row:
            return row[name]
        document = row
    for part in name.split("."):
        if not isinstance(document, dict) or part not in document:
            return MISSING
        document = document[part]
    return document


def _value(document: Document, expression: Any, made: bool) -> Any:
    if isinstance(expression, str) and expression.startswith("$"):
        return _at(document, expression[1:], made)
    if isinstance(expression, dict):
        return to_number(_value(document, expression["$convertToNumber"], made))
    return expression


def _sorted(documents: list[Document], body: Document, made: bool) -> list[Document]:
    for name, direction in reversed(body.items()):

        def sign(left: Any, right: Any, name: str = name, direction: int = direction) -> int:
            return direction * compared(_at(left, name, made), _at(right, name, made))

        documents = sorted(documents, key=cmp_to_key(sign))
    return documents


def _projected(document: Document, body: Document, made: bool) -> Document:
    if all(value == 0 and not isinstance(value, str) for value in body.values()):
        return {name: value for name, value in document.items() if name not in body}
    found = {"_id": document["_id"]} if made and "_id" in document and "_id" not in body else {}
    for name, value in body.items():
        if is_number(value) or isinstance(value, bool):
            if value:
                found[name] = _at(document, name, made)
        else:
            found[name] = _value(document, value, made)
    return {name: value for name, value in found.items() if value is not MISSING}


def _grouped(documents: list[Document], body: Document, made: bool) -> list[Document]:
    by = body["_id"]
    named = isinstance(by, dict) and "$convertToNumber" not in by
    groups: dict[Any, tuple[Any, list[Document]]] = {}
    for document in documents:
        if named:
            found: Any = {name: _value(document, item, made) for name, item in by.items()}
            found = {name: None if v is MISSING else v for name, v in found.items()}
        else:
            found = _value(document, by, made)
            found = None if found is MISSING else found
        groups.setdefault(key(found), (found, []))[1].append(document)
    return [
        {
            "_id": found,
            **{
                name: _total(next(iter(item)), members, next(iter(item.values())), made)
                for name, item in body.items()
                if name != "_id"
            },
        }
        for found, members in groups.values()
    ]


def _total(accumulator: str, members: list[Document], of: Any, made: bool) -> Any:
    values = [_value(document, of, made) for document in members]
    numbers = [exact(value) for value in values if is_number(value)]
    if accumulator == "$sum":
        return number(sum(numbers, Fraction(0)))
    if accumulator == "$avg":
        total = number(sum(numbers, Fraction(0)))
        if not numbers or total is None:
            return None
        # As the page says: what is that near to nought is nought.
        return number(exact(float(total) / len(numbers))) if abs(total) >= 1e-300 else 0
    scalars = [value for value in values if isinstance(value, bool | int | float | str)]
    if not scalars:
        return None
    return (min if accumulator == "$min" else max)(scalars, key=place)


# -- distinct


def distinct(entries: Sequence[Document], columns: Sequence[str]) -> list[Document]:
    """The combinations, each where it first stands; missing is null."""
    found: dict[Any, Document] = {}
    for entry in entries:
        combination = {column: entry["data"].get(column) for column in columns}
        found.setdefault(key(combination), combination)
    return list(found.values())


# -- join


def joins(left: Any, right: Any) -> bool:
    """Whether the value of an entry joins that of another data source's entry."""
    if left is MISSING or left is None or isinstance(left, list | dict):
        return False
    if isinstance(right, list):
        return any(joins(left, member) for member in right)
    return right is not MISSING and bool(key(left) == key(right))


def joined(entry: Document, others: Sequence[Document], on: dict[str, str]) -> list[Document]:
    """The other entries that stand beside an entry."""
    return [
        other
        for other in others
        if all(
            joins(entry["data"].get(left, MISSING), other["data"].get(right, MISSING))
            for left, right in on.items()
        )
    ]


def alike(left: Any, right: Any) -> bool:
    """Whether two answers are the same, kind of number and order of keys apart."""
    return json.dumps(_plain(left)) == json.dumps(_plain(right))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(value[name]) for name in sorted(value)}
    if is_number(value):
        return str(exact(value))
    return [value] if isinstance(value, str) else value
