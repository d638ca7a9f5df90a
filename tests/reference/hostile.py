"""Rows and wheres as nobody would write them, made from a seed.

Operands are drawn from the rows as often as not, so that conditions find something.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEYS = [
    "a", "b", "c", "A", "2024", "0", "it's", 'a"b', "back\\slash", "é", "😀", "x y", "100%", "a.b",
    "{v}", "%s", " ", "_",
]  # fmt: skip
JAVASCRIPT = ["length", "constructor", "__proto__", "toString", "hasOwnProperty", "toJSON"]
COMMON = ["a", "b", "c"]
SCALARS: list[Any] = [
    None, 0, 1, 1.0, 2, 2.5, -3, 10, True, False, "", "0", "1", "1.0", "01", " 1", "-3", "true",
    "null", "a", "A", "abc", "aBc", "B", "é", "É", "ß", "İ", "ΣΑΣ", "σας", "😀", "\uffff", "%", "_",
    "100%", 0.1, 0.2, 0.30000000000000004, 1e21, 1e16, 1e-7, 123456789, 9007199254740991,
    9007199254740992, 9007199254740993, 2**63 - 1, -(2**63), 5e-324, 1.7976931348623157e308,
    'a"b', "it's", "tab\t", "line\nend", "back\\slash", "\u2028", "[1]", "{}", "2024-02-29",
    "2024-02-30", "2024-01-01 10:00", "2024-01-01T10:00:30Z", "2023-12-31T23:59:59.999-02:00",
    "10:00", "23:59:59", "24:00",
]  # fmt: skip
PATTERNS = [
    "a", "^a", "C$", "[^a]", "\\d+", "^$", "b|c", "%", "(a|b)*c", "\\s", "^.$", "^..$", "\\bA", "é",
    "[A-Z]{2,}", "^[\\w.]+$", "l.n", "^e",
]  # fmt: skip
PARTS = ["", "a", "A", "ABC", "%", "_", "é", "É", "i", "σ", "😀", "\\", "a%"]
DATES = [
    "2024-02-29", "2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:30Z", "2023-12-31", "10:00",
    "23:59:59", "2024-01-01T01:59:59.999+02:00", "0001-01-01", "9999-12-31",
]  # fmt: skip
UNITS = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
BOUNDS = [("from",), ("to",), ("from", "to")]
CONDITIONS = [
    "==", "!=", ">", ">=", "<", "<=", "contains", "empty", "notempty", "between", "oneof",
    "dateis", "datebefore", "dateafter", "datebetween",
]  # fmt: skip
TYPES = ["number", "string", "bool", "array", "null", "timestamp"]


@dataclass
class Hostile:
    """One source of rows and wheres: the same seed gives the same ones."""

    random: random.Random
    # Whether what sift does not have is used, too.
    whole: bool = False
    # The values that operands are drawn from, beside the scalars.
    seen: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, seed: str, whole: bool = False) -> Hostile:
        return cls(random.Random(seed), whole)

    # -- rows

    def rows(self, count: int) -> list[dict[str, Any]]:
        rows = [self.row() for _ in range(count)]
        self.seen = [value for row in rows for value in values_in(row)]
        return rows

    def row(self) -> dict[str, Any]:
        return {self.key(): self.value() for _ in range(self.random.randint(0, 5))}

    def key(self) -> str:
        chance = self.random.random()
        names = JAVASCRIPT if chance < 0.03 else COMMON if chance < 0.63 else KEYS
        return self.random.choice(names)

    def value(self, depth: int = 0) -> Any:
        chance = self.random.random()
        if chance < 0.6 or depth > 3:
            return self.random.choice(SCALARS)
        if chance < 0.83:
            return [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]
        return {self.key(): self.value(depth + 1) for _ in range(self.random.randint(0, 2))}

    # -- wheres

    def where(self, depth: int = 0) -> dict[str, Any]:
        chance = self.random.random()
        if self.whole and chance < 0.3:
            return {"$filters": [self.filter() for _ in range(self.some(0, 1, 1, 2))]}
        if chance < 0.72 or depth > 2:
            return {self.path(): self.asked(depth) for _ in range(self.some(0, 1, 1, 1, 2))}
        key = self.random.choice(["$and", "$or", "$nor", "$not"])
        return {key: self.where(depth + 1) if key == "$not" else self.wheres(depth + 1)}

    def wheres(self, depth: int) -> list[Any]:
        return [self.where(depth) for _ in range(self.some(1, 2, 2, 3))]

    def some(self, *counts: int) -> int:
        return self.random.choice(counts)

    def path(self) -> str:
        steps = [self.key()]
        while self.random.random() < 0.35 and len(steps) < 4:
            steps.append(self.random.choice([self.key(), *COMMON, "0", "1", "5", "00"]))
        return ".".join(steps)

    def operand(self) -> Any:
        if self.seen and self.random.random() < 0.6:
            return self.random.choice(self.seen)
        return self.value()

    def asked(self, depth: int) -> Any:
        """What stands under a column: a value, or operators."""
        if self.random.random() < 0.25:
            return self.operand()
        return self.operators(depth)

    def operators(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        operands = {**OPERANDS, **OWN} if self.whole else OPERANDS
        for name in self.random.sample(list(operands), self.some(1, 1, 2)):
            found[name] = operands[name](self, depth)
            if name == "$regex" and self.random.random() < 0.4:
                found["$options"] = self.random.choice(["i", "m", "s", "im", "ims"])
        return found

    def member(self, depth: int) -> dict[str, Any]:
        """The inside of an `$elemMatch`: about the member, or about keys of it."""
        chance = self.random.random()
        if depth > 2 or chance < 0.4:
            return self.operators(depth + 1) if depth <= 2 else {"$gt": self.operand()}
        if chance < 0.8:
            return {self.path(): self.asked(depth + 1) for _ in range(self.some(0, 1, 2))}
        key = self.random.choice(["$and", "$or", "$nor"])
        return {key: [self.member(depth + 1) for _ in range(self.some(1, 2))]}

    def under(self, depth: int) -> Any:
        """The operand of a `$not` below a column, or a member of its `$or`."""
        if depth > 2:
            return {"$lt": self.operand()}
        return self.operators(depth + 1)

    def filter(self) -> dict[str, Any]:
        """One of `$filters`."""
        name = self.random.choice(CONDITIONS)
        found: dict[str, Any] = {"column": self.path(), "condition": name}
        if name in ("between", "datebetween"):
            draw = self.number if name == "between" else self.date
            bounds = {key: draw() for key in self.random.choice(BOUNDS)}
            found.update(bounds if self.random.random() < 0.5 else {"value": bounds})
        elif name in (">", ">=", "<", "<="):
            found["value"] = self.number()
        elif name.startswith("date"):
            found["value"] = self.date()
        elif name == "contains":
            found["value"] = self.random.choice(PARTS)
        elif name == "oneof":
            found["value"] = self.random.choice([self.operand, lambda: _list(self, 0)])()
        elif name in ("==", "!="):
            found["value"] = self.operand()
        if name.startswith("date") and self.random.random() < 0.5:
            found["unit"] = self.random.choice(UNITS)
        return found

    def number(self) -> Any:
        return self.random.choice([0, 1, 2.5, -3, "1", " 1", "-3", "1e2", 1e21, 9007199254740993])

    def date(self) -> Any:
        return self.random.choice(DATES)


def values_in(value: Any) -> list[Any]:
    """The value and all that it holds."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return [value]
    return [value, *(found for item in inside for found in values_in(item))]


def _list(self: Hostile, depth: int) -> Any:
    return [self.operand() for _ in range(self.some(0, 1, 2, 2, 3, 5))]


def _bound(self: Hostile, depth: int) -> Any:
    """What is ordered: a scalar, most of the time."""
    return self.operand() if self.random.random() < 0.3 else self.random.choice(SCALARS[1:])


def _not(self: Hostile, depth: int) -> Any:
    if self.random.random() < 0.3:
        return self.operand()
    return self.under(depth)


def _under(self: Hostile, depth: int) -> Any:
    return [self.under(depth) for _ in range(self.some(1, 2))]


def _all(self: Hostile, depth: int) -> Any:
    kinds: list[Callable[[], Any]] = [
        self.operand, self.operand, lambda: self.under(depth), lambda: {self.path(): self.operand()}
    ]  # fmt: skip
    return [self.random.choice(kinds)() for _ in range(self.some(0, 1, 1, 2))]


def _mod(self: Hostile, depth: int) -> Any:
    return [
        self.random.choice([1, 2, 3, -2, 0, 0.5, 2.5, 0.1, 10]),
        self.random.choice([0, 1, -1, 2, 0.5]),
    ]


OPERANDS: dict[str, Callable[[Hostile, int], Any]] = {
    "$eq": lambda self, depth: self.operand(),
    "$ne": lambda self, depth: self.operand(),
    "$gt": _bound,
    "$gte": _bound,
    "$lt": _bound,
    "$lte": _bound,
    "$in": _list,
    "$nin": _list,
    "$exists": lambda self, depth: self.random.choice([True, False, True, False, 0, "", None, []]),
    "$type": lambda self, depth: self.random.choice(TYPES),
    "$mod": _mod,
    "$size": lambda self, depth: self.random.choice([0, 1, 2, 3, 1.0, 1.5, "1", None, -1, 10**18]),
    "$regex": lambda self, depth: self.random.choice(PATTERNS),
    "$all": _all,
    "$elemMatch": lambda self, depth: self.member(depth),
    "$not": _not,
    "$and": _under,
    "$or": _under,
    "$nor": _under,
}

# What sift does not have.
OWN: dict[str, Callable[[Hostile, int], Any]] = {
    "$like": lambda self, depth: self.random.choice([*PARTS, "a%", "%C", "a%c", "%%", "%é%"]),
    "$iLike": lambda self, depth: self.random.choice([*PARTS, "a%", "%C", "a%c", "%%", "%é%"]),
    "$type": lambda self, depth: self.random.choice(["boolean", "object"]),
}
