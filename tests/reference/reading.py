"""A second reading of the contract: wheres, templates, requirements, columns; slowly, plainly.

It is written from the pages that say what a decision is, works on raw JSON, and shares no code with
the engine or the query language, so that what the two agree on has been read twice. Where the
pages leave a case open, an answer is `OPEN`, and either outcome is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]
User = dict[str, Any] | None


class Word:
    """A value that is none of JSON's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


NOTHING: Final = Word("NOTHING")
UNMET: Final = Word("UNMET")
OPEN: Final = Word("OPEN")


# -- values


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, dict) and isinstance(right, dict):
        return set(left) == set(right) and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right))  # noqa: B905
    if type(left) is not type(right):
        return False
    return bool(left == right)


def lowered(text: str) -> str:
    """One character for one, as in Unicode's table of simple mappings."""
    return "".join("i" if c == "İ" else c.lower() for c in text)


def only(members: list[Any], value: Any) -> bool:
    """A list of one value, however often it stands there."""
    return bool(members) and all(equal(member, value) for member in members)


# -- wheres


def reach(value: Any, keys: list[str]) -> list[Any]:
    """Every value that a path leads to, lists opened on the way and at its end."""
    if not keys:
        if not isinstance(value, list):
            return [value]
        return [found for member in value for found in reach(member, [])] + [value]
    if isinstance(value, list):
        if re.fullmatch("[0-9]+", keys[0]):
            number = int(keys[0])
            canonical = str(number) == keys[0] and number < len(value)
            return reach(value[number], keys[1:]) if canonical else [NOTHING]
        return [found for member in value for found in reach(member, keys)]
    if isinstance(value, dict) and keys[0] in value:
        return reach(value[keys[0]], keys[1:])
    return [NOTHING]


def path_of(key: str, columns: Iterable[str]) -> list[str]:
    return [key] if key in columns else key.split(".")


def fits(where: Any, row: Row, columns: Iterable[str]) -> bool:
    """Whether a row fits a where."""
    if where is None:
        return True
    for key, value in where.items():
        if key == "$and":
            right = all(fits(item, row, columns) for item in value)
        elif key == "$or":
            right = any(fits(item, row, columns) for item in value)
        elif key == "$nor":
            right = not any(fits(item, row, columns) for item in value)
        elif key == "$not":
            right = not fits(value, row, columns)
        else:
            right = under(reach(row, path_of(key, columns)), value)
        if not right:
            return False
    return True


def is_operators(value: Any) -> bool:
    return isinstance(value, dict) and any(key.startswith("$") for key in value)


def under(values: list[Any], condition: Any) -> bool:
    """What stands under a column, on the values that it leads to."""
    if not is_operators(condition):
        return _some(values, "$eq", condition)
    for op, operand in condition.items():
        if op == "$and":
            right = all(under(values, item) for item in operand)
        elif op == "$or":
            right = any(under(values, item) for item in operand)
        elif op == "$nor":
            right = not any(under(values, item) for item in operand)
        elif op == "$not":
            right = not under(values, operand)
        elif op == "$ne":
            right = not _some(values, "$eq", operand)
        elif op == "$nin":
            right = not _some(values, "$in", operand)
        elif op == "$exists":
            right = any(value is not NOTHING for value in values) == operand
        else:
            right = _some(values, op, operand)
        if not right:
            return False
    return True


def _some(values: list[Any], op: str, operand: Any) -> bool:
    return any(TESTS[op](value, operand) for value in values)


def _eq(value: Any, operand: Any) -> bool:
    return operand is None if value is NOTHING else equal(value, operand)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Like with like alone; null is neither above nor below null, nor is what is missing."""

    def test(value: Any, operand: Any) -> bool:
        if operand is None:
            return (value is None or value is NOTHING) and compare(0, 0)
        if is_number(value) and is_number(operand):
            return compare(value, operand)
        alike = type(value) is type(operand) and isinstance(value, str | bool)
        return alike and compare(value, operand)

    return test


def pattern(text: str) -> re.Pattern[str]:
    """`%` is any run of characters; without one the text may stand anywhere."""
    parts = [re.escape(part) for part in (text.split("%") if "%" in text else ["", text, ""])]
    return re.compile(".*".join(parts), re.DOTALL)


def _like(value: Any, operand: str) -> bool:
    return isinstance(value, str) and pattern(operand).fullmatch(value) is not None


def _ilike(value: Any, operand: str) -> bool:
    return isinstance(value, str) and _like(lowered(value), lowered(operand))


TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": _eq,
    "$in": lambda value, operand: any(_eq(value, member) for member in operand),
    "$gt": _ordered(lambda a, b: bool(a > b)),
    "$gte": _ordered(lambda a, b: bool(a >= b)),
    "$lt": _ordered(lambda a, b: bool(a < b)),
    "$lte": _ordered(lambda a, b: bool(a <= b)),
    "$like": _like,
    "$iLike": _ilike,
}


# -- templates

EXPRESSION = re.compile(r"\{\{(\{?)\s*user((?:\.(?:\[[^\[\]\\]+\]|[\w-]+))+)\s*\1?\}\}\}?")
SEGMENT = re.compile(r"\[([^\[\]\\]+)\]|([\w-]+)")


def rendered(value: Any, user: User) -> Any:
    """A value of a rule: the literal, or what its template makes of the user, or `UNMET`."""
    if not isinstance(value, str) or "{{" not in value:
        return value
    found = list(EXPRESSION.finditer(value))
    assert found, value
    named = [_named(user, match.group(2)) for match in found]
    if any(item is UNMET for item in named):
        return UNMET
    if len(found) == 1 and found[0].group(0) == value:
        return named[0]
    at, text = 0, ""
    for match, item in zip(found, named, strict=True):
        text += value[at : match.start()] + _written(item)
        at = match.end()
    return text + value[at:]


def _named(user: User, path: str) -> Any:
    value: Any = user
    for bracketed, word in SEGMENT.findall(path):
        if not isinstance(value, dict) or (bracketed or word) not in value:
            return UNMET
        value = value[bracketed or word]
    usable = isinstance(value, str | int | float) and value != ""
    return value if usable else UNMET


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return _number(Decimal(repr(value)).normalize())


def _number(number: Decimal) -> str:
    """As JavaScript writes a double. (Integers are exact to 64 bits, and so written exactly.)"""
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        return f"{number:f}"
    mantissa, exponent = f"{number:e}".split("e")
    return f"{mantissa}e{int(exponent):+d}"


# -- rules


def conditions(holder: Any) -> list[tuple[str, str, Any, str | None]]:
    """(column, operator, value, side) of each condition in one object."""
    found = []
    for column, tests in holder.items():
        side = tests.get("on")
        found += [(column, op, value, side) for op, value in tests.items() if op != "on"]
    return found


def required(rule: Any) -> list[Any]:
    """The items of `require`, taken apart: names, and conditions."""
    items: list[Any] = []
    for item in rule.get("require", []):
        items += [item] if isinstance(item, str) else conditions(item)
    return items


def meets(op: str, value: Any, wanted: Any) -> bool:
    """A condition on session data or on submitted data."""
    if op == "equals":
        return not isinstance(value, list | dict) and value is not NOTHING and equal(value, wanted)
    if op == "contains":
        return contains(value, wanted)
    return not _some(reach(value, []), "$eq", wanted)


def stored_meets(column: str, op: str, wanted: Any, row: Row) -> bool:
    """A condition on stored data."""
    value = row.get(column, NOTHING)
    if op == "contains":
        return contains(value, wanted)
    equals = _some(reach(value, []), "$eq", wanted)
    return equals if op == "equals" else not equals


def contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(equal(member, wanted) for member in value)


def applies(rule: Any, operation: str, user: User, token: int | None, app: int | None) -> bool:
    """`enabled`, `appId`, `type` and `allow`."""
    if rule.get("enabled", True) is False or operation not in rule["type"]:
        return False
    if "appId" in rule and app not in rule["appId"]:
        return False
    allow = rule["allow"]
    if allow == "all":
        return True
    if allow == "loggedIn":
        return user is not None
    if "tokens" in allow:
        return token in allow["tokens"]
    if user is None:
        return False
    for column, op, value, _ in conditions(allow["user"]):
        wanted = rendered(value, user)
        if wanted is UNMET or not meets(op, user.get(column, NOTHING), wanted):
            return False
    return True


# -- requirements on reads: the table


def implies(where: Any, columns: Iterable[str], test: Callable[[str, str, Any], bool]) -> bool:
    """Whether a where implies what `test(column, operator, operand)` says of one condition."""
    for key, value in (where or {}).items():
        if key == "$and":
            found = any(implies(item, columns, test) for item in value)
        elif key == "$or":
            found = all(implies(item, columns, test) for item in value)
        elif key in ("$nor", "$not") or len(path_of(key, columns)) > 1:
            found = False
        else:
            found = _implies_under(key, value, test)
        if found:
            return True
    return False


def _implies_under(column: str, value: Any, test: Callable[[str, str, Any], bool]) -> bool:
    if not is_operators(value):
        return test(column, "$eq", value)
    for op, operand in value.items():
        if op == "$and":
            found = any(_implies_under(column, item, test) for item in operand)
        elif op == "$or":
            found = all(_implies_under(column, item, test) for item in operand)
        elif op in ("$nor", "$not"):
            found = False
        else:
            found = test(column, op, operand)
        if found:
            return True
    return False


def table(wanted_column: str, op: str, value: Any) -> Callable[[str, str, Any], bool]:
    """The row of the table for one condition of a rule."""

    def test(column: str, by: str, operand: Any) -> bool:
        if column != wanted_column:
            return False
        if op == "equals":
            members = operand if by == "$in" else [operand]
            return by in ("$eq", "$in") and only(members, value)
        if op == "notequals":
            members = operand if by in ("$in", "$nin") else [operand]
            if by in ("$ne", "$nin"):
                return any(equal(member, value) for member in members)
            return by in ("$eq", "$in") and not any(equal(member, value) for member in members)
        if not isinstance(value, str) or not isinstance(operand, str):
            return False
        if by == "$eq":
            return lowered(value) in lowered(operand)
        likes = by in ("$like", "$iLike")
        return likes and any(lowered(value) in lowered(run) for run in operand.split("%"))

    return test


# -- columns


def shows(rule: Any, column: str) -> bool:
    if "include" in rule:
        return column in rule["include"]
    return column not in rule.get("exclude", [])


def touched(name: str, hidden: str) -> bool:
    """A name that is a hidden column, a path below it, or a path above it."""
    return name == hidden or name.startswith(hidden + ".") or hidden.startswith(name + ".")


def names_hidden(rule: Any, where: Any, columns: list[str], wants: list[Any]) -> Any:
    """Whether a where names a column that the rule hides; `OPEN` where the pages leave it open.

    `wants`: the rule's conditions, rendered.
    """
    answers = [
        _hides(rule, key, columns)
        for key, path, op, operand in named(where, columns)
        if not _excused(path, op, operand, wants)
    ]
    if True in answers:
        return True
    return OPEN if OPEN in answers else False


def named(where: Any, columns: list[str]) -> list[tuple[str, list[str], str, Any]]:
    """Every condition of a where: its key, its path, its operator and its operand."""
    found: list[tuple[str, list[str], str, Any]] = []
    for key, value in (where or {}).items():
        if key == "$not":
            found += named(value, columns)
        elif key.startswith("$"):
            found += [condition for item in value for condition in named(item, columns)]
        else:
            found += _named_under(key, path_of(key, columns), value)
    return found


def _named_under(key: str, path: list[str], value: Any) -> list[tuple[str, list[str], str, Any]]:
    if not is_operators(value):
        return [(key, path, "$eq", value)]
    found: list[tuple[str, list[str], str, Any]] = []
    for op, operand in value.items():
        if op == "$not":
            found += _named_under(key, path, operand)
        elif op in ("$and", "$or", "$nor"):
            found += [c for item in operand for c in _named_under(key, path, item)]
        else:
            found.append((key, path, op, operand))
    return found


def _excused(path: list[str], op: str, operand: Any, wants: list[Any]) -> bool:
    """It says just what a requirement of the rule says."""
    return any(
        path == [column] and _says(op, operand, kind, value) for column, kind, value in wants
    )


def _says(op: str, operand: Any, kind: str, value: Any) -> bool:
    if kind == "contains":
        plain = isinstance(value, str) and "%" not in value
        return plain and op in ("$like", "$iLike") and operand in (value, f"%{value}%")
    one, many = ("$eq", "$in") if kind == "equals" else ("$ne", "$nin")
    return op in (one, many) and only([operand] if op == one else operand, value)


def _hides(rule: Any, key: str, columns: list[str]) -> Any:
    spellings = [key, key.removeprefix("data.")] if key.startswith("data.") else [key]
    if "include" not in rule:
        hidden = rule.get("exclude", [])
        if any(touched(name, column) for name in spellings for column in hidden):
            # A declared column with dots in its name is a column of its own, not a path.
            alone = key in columns and key not in hidden and not key.startswith("data.")
            return OPEN if alone and "." in key else True
        return False
    opened = rule["include"]
    if key in columns:
        return OPEN if key.startswith("data.") and key in opened else key not in opened
    return key.split(".")[0] not in opened or (
        key.startswith("data.")
        and not any(f"{spellings[1]}.".startswith(f"{column}.") for column in opened)
    )
