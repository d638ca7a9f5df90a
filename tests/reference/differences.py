"""Where the query language and sift differ: each difference with its reason, and a case.

`explains` says of one condition and what it looks at whether sift may answer otherwise, as closely
as that can be said without being sift. `possible` carries that through a whole where.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources.query.where import And, Composite, ElemMatch, Field, Node, Not, Or
from rowkeeper.datasources.query.where.comparison import equal
from rowkeeper.datasources.query.where.operators import OPERATORS
from rowkeeper.datasources.query.where.paths import MISSING, end_values, values_at
from rowkeeper.datasources.values.validation import same

Condition = Field | ElemMatch | Composite


@dataclass(frozen=True)
class Difference:
    """`where` on `row` is the case: what sift answers to it, and what the query language does.

    An answer is whether the row is found, or a part of the message with which it is refused.
    """

    name: str
    reason: str
    where: Any
    row: dict[str, Any]
    sift: bool | str
    here: bool | str
    # Whether sift may think otherwise of a condition on a row, or on a member of a list.
    explains: Callable[[Condition, Any], bool] = lambda condition, item: False
    # The same of a whole where.
    explains_where: Callable[[Any, dict[str, Any]], bool] = lambda where, row: False
    # What JavaScript stumbles over for the same reason.
    stumbles: tuple[str, ...] = ()
    # The columns that the data source of the case declares.
    columns: tuple[str, ...] = ()

    def explains_refusal(self, sift: str | None, here: str | None) -> bool:
        """Whether it is this for which one of the two refuses."""
        told = [(self.sift, sift), *((part, sift) for part in self.stumbles), (self.here, here)]
        return any(isinstance(part, str) and part in (message or "") for part, message in told)


# -- what a path meets


def _steps(item: Any, path: tuple[str, ...], at: int = 0) -> Iterator[tuple[Any, str]]:
    """Each key that is taken, with what it is taken of; lists are opened for keys of text."""
    if at == len(path):
        return
    if isinstance(item, list) and not path[at].isdecimal():
        yield item, path[at]
        for member in item:
            yield from _steps(member, path, at)
        return
    yield item, path[at]
    if isinstance(item, dict):
        yield from _steps(item.get(path[at], MISSING), path, at + 1)
    elif isinstance(item, list) and _INDEX.fullmatch(path[at]):
        index = int(path[at])
        yield from _steps(item[index] if index < len(item) else MISSING, path, at + 1)


def _meets(test: Callable[[Any, str], bool]) -> Callable[[Condition, Any], bool]:
    def explains(condition: Condition, item: Any) -> bool:
        return not isinstance(condition, Composite) and any(
            test(owner, key) for owner, key in _steps(item, condition.path)
        )

    return explains


_INDEX = re.compile("0|[1-9][0-9]{0,8}")
# What JavaScript's Number() takes for a number.
_NUMBER = re.compile(
    r"\s*|\s*[+-]?(\d+([eE][+-]?\d+)?|Infinity)\s*|\s*0[xX][0-9a-fA-F]+\s*", re.ASCII
)
_EVERYWHERE = {
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString",
    "toString", "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__",
    "__lookupSetter__", "__proto__",
}  # fmt: skip


def _into_text(owner: Any, key: str) -> bool:
    return isinstance(owner, str) and (
        key == "length"
        or (_INDEX.fullmatch(key) is not None and int(key) < len(owner.encode("utf-16-le")) // 2)
    )


def _length(owner: Any, key: str) -> bool:
    return isinstance(owner, list) and key == "length"


def _like_a_number(owner: Any, key: str) -> bool:
    return (
        isinstance(owner, list)
        and re.fullmatch("[0-9]+", key) is None
        and _NUMBER.fullmatch(key) is not None
    )


def _inherited(owner: Any, key: str) -> bool:
    return (
        key in _EVERYWHERE
        and (owner is not None and owner is not MISSING)
        and not (isinstance(owner, dict) and key in owner)
    )


def _beyond(owner: Any, key: str) -> bool:
    if not isinstance(owner, list) or re.fullmatch("[0-9]+", key) is None:
        return False
    return (key != "0" and key[0] == "0") or int(key) >= len(owner)


def _beyond_asked_for_null(condition: Condition, item: Any) -> bool:
    """Of what stands past a list's end, sift asks neither `$eq` nor what it makes of it."""
    return (
        isinstance(condition, Field)
        and condition.op in ("$eq", "$gte", "$lte")
        and OPERATORS[condition.op].holds(MISSING, condition.operand)
        and _meets(_beyond)(condition, item)
    )


def _null_on_the_way(owner: Any, key: str) -> bool:
    return owner is None


def _null_has_a_type(condition: Condition, item: Any) -> bool:
    return (
        isinstance(condition, Field)
        and (condition.op, condition.operand) == ("$type", "null")
        and _meets(_null_on_the_way)(condition, item)
    )


# -- what a test makes of a value


def _equal(exact: bool) -> Callable[[Any, Any], bool]:
    """JavaScript sift's `equals`, with numbers as they are or as doubles."""

    def equals(left: Any, right: Any) -> bool:
        if left is None or left is MISSING or right is None or right is MISSING:
            return left in (None, MISSING) and right in (None, MISSING)
        if isinstance(left, dict) and isinstance(right, dict):
            return len(left) == len(right) and all(
                equals(left[key], right.get(key, MISSING)) for key in left
            )
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(equals, left, right))
        if _numbers(left, right) and not exact:
            return float(left) == float(right)
        return same(left, right)

    return equals


def _numbers(*values: Any) -> bool:
    return all(value.__class__ in (int, float) for value in values)


_equal_exact, _equal_doubles = _equal(exact=True), _equal(exact=False)


def _on_values(
    ops: tuple[str, ...], test: Callable[[str, Any, Any], bool]
) -> Callable[[Condition, Any], bool]:
    """By a test (operator, value, operand) on every value that one of these operators sees."""

    def explains(condition: Condition, item: Any) -> bool:
        return (
            isinstance(condition, Field)
            and condition.op in ops
            and any(
                test(condition.op, value, condition.operand)
                for value in values_at(item, condition.path)
            )
        )

    return explains


_EQUALITIES = ("$eq", "$ne", "$in", "$nin")
_SIGNS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def _members(op: str, operand: Any) -> list[Any]:
    return operand if op in ("$in", "$nin") else [operand]


def _nulls_in_objects(op: str, value: Any, operand: Any) -> bool:
    return any(_equal_exact(one, value) != equal(value, one) for one in _members(op, operand))


def _as_doubles(op: str, value: Any, operand: Any) -> bool:
    return any(
        _equal_doubles(one, value) != _equal_exact(one, value) for one in _members(op, operand)
    )


def _ordered_as_doubles(op: str, value: Any, operand: Any) -> bool:
    sign = _SIGNS[op]
    return _numbers(value, operand) and sign(float(value), float(operand)) != sign(value, operand)


def _large(condition: Condition, item: Any) -> bool:
    return _on_values(_EQUALITIES, _as_doubles)(condition, item) or _on_values(
        tuple(_SIGNS), _ordered_as_doubles
    )(condition, item)


def _not_alike(op: str, value: Any, operand: Any) -> bool:
    """JavaScript orders null, lists and objects among themselves by what their texts are."""
    things = (None, MISSING, list, dict)
    alike = all(one in things or one.__class__ in things for one in (value, operand))
    return alike and not (operand is None and value in (None, MISSING))


def _units(op: str, value: Any, operand: Any) -> bool:
    sign = _SIGNS[op]
    if not (isinstance(value, str) and isinstance(operand, str)):
        return False
    units = [text.encode("utf-16-be") for text in (value, operand)]
    return bool(sign(*units) != sign(value, operand))


def _remainders(op: str, value: Any, operand: Any) -> bool:
    if value is MISSING:
        return False
    if not _numbers(value):
        return True
    divisor, rest = operand
    found = bool(divisor) and math.fmod(value, divisor) == rest
    return found != OPERATORS["$mod"].holds(value, operand)


def _odd_remainders(condition: Condition, item: Any) -> bool:
    return _on_values(("$mod",), _remainders)(condition, item) or (
        isinstance(condition, Field)
        and condition.op == "$mod"
        and _meets(_null_on_the_way)(condition, item)
    )


def _astral(op: str, value: Any, operand: Any) -> bool:
    return isinstance(value, str) and any(ord(character) > 0xFFFF for character in value)


def _lists_in_lists(condition: Condition, item: Any) -> bool:
    return isinstance(condition, ElemMatch) and any(
        isinstance(value, list) and any(isinstance(member, list) for member in value)
        for value in end_values(item, condition.path)
    )


def _all_of_lists(condition: Condition, item: Any) -> bool:
    if not isinstance(condition, Composite):
        return False
    inside = condition.item.items if isinstance(condition.item, And) else (condition.item,)
    return any(
        isinstance(one, Field) and one.op == "$eq" and isinstance(one.operand, list)
        for one in inside
    )


def _inherits(condition: Condition, item: Any) -> bool:
    """On the path, or where objects are compared key by key."""
    return _meets(_inherited)(condition, item) or (
        isinstance(condition, Field)
        and condition.op in _EQUALITIES
        and any(found.keys() & _EVERYWHERE for found in _objects(condition.operand))
    )


# -- what stands in a where


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _not_of_a_list(where: Any, row: dict[str, Any]) -> bool:
    return any(isinstance(found.get("$not"), list) for found in _objects(where))


def _own_names(where: Any, row: dict[str, Any]) -> bool:
    """Queries alone are meant, but to tell them from values would be to be the parser."""
    return any("constructor" in found or found.get("toJSON") for found in _objects(where))


def _negation_joined(where: Any, row: dict[str, Any]) -> bool:
    """A negation in an `$or` or `$nor` below a column that holds lists."""
    for key, item in where.items():
        if key == "$not" and _negation_joined(item, row):
            return True
        if key in ("$and", "$or", "$nor") and any(_negation_joined(one, row) for one in item):
            return True
        if not key.startswith("$") and _joins_negation(item):
            held = _within(row.get(key.split(".")[0]))
            if any(isinstance(value, list) for value in held):
                return True
    return False


def _within(value: Any) -> Iterator[Any]:
    yield value
    inside = value.values() if isinstance(value, dict) else value
    for item in inside if isinstance(value, dict | list) else ():
        yield from _within(item)


def _joins_negation(asked: Any) -> bool:
    return any(
        _negates(one)
        for found in _objects(asked)
        for key in ("$or", "$nor")
        for one in found.get(key, ())
    )


def _negates(query: Any) -> bool:
    return any(
        found.keys() & {"$ne", "$nin", "$nor", "$not"} or not found.get("$exists", True)
        for found in _objects(query)
    )


DIFFERENCES = [
    # -- paths
    Difference(
        "keys of a text",
        "a text is one value; JavaScript takes its characters and its `length` for keys of it",
        {"a.0": "x"},
        {"a": "xy"},
        True,
        False,
        _meets(_into_text),
    ),
    Difference(
        "`length` of a list",
        "`length` is a key like any other, and leads into each member of the list",
        {"a.length": 2},
        {"a": [1, 2]},
        True,
        False,
        _meets(_length),
    ),
    Difference(
        "keys that JavaScript reads as a number",
        "an index is written in digits; `1e0`, `-1` or a blank lead into each member",
        {"a.1e0": "x"},
        {"a": [{"1e0": "x"}]},
        False,
        True,
        _meets(_like_a_number),
    ),
    Difference(
        "keys that every JavaScript object has",
        "a row has the keys that were written: `constructor`, `toString` and such are missing",
        {"a.constructor": None},
        {"a": {}},
        False,
        True,
        _inherits,
    ),
    Difference(
        "keys that JavaScript knows an object by",
        "`constructor` and `toJSON` are columns like any other in a where, too",
        {"toJSON": "x"},
        {"toJSON": "x", "b": 1},
        False,
        True,
        explains_where=_own_names,
        stumbles=("reading 'toString'", "constructor.toString is not a function"),
    ),
    Difference(
        "past the end of a list",
        "what is missing is `null` there too; sift finds it neither equal nor unequal",
        {"a.5": None},
        {"a": [1]},
        False,
        True,
        _beyond_asked_for_null,
    ),
    Difference(
        "the type of what is below null",
        "nothing stands there, so it has no type; sift tests the `null` on the way",
        {"a.b": {"$type": "null"}},
        {"a": None},
        True,
        False,
        _null_has_a_type,
    ),
    Difference(
        "keys with dots",
        "a key that is a declared column of the data source, dots and all, means that column",
        {"a.b": 1},
        {"a.b": 1},
        False,
        True,
        columns=("a.b",),
    ),
    # -- values
    Difference(
        "null inside an object",
        "objects are equal where their keys are; sift takes `{a: null}` for `{b: null}`",
        {"o": {"a": None}},
        {"o": {"b": None}},
        True,
        False,
        _on_values(_EQUALITIES, _nulls_in_objects),
    ),
    Difference(
        "integers beyond 2^53",
        "integers are exact to 64 bits; JavaScript makes doubles of them",
        {"a": 9007199254740992},
        {"a": 9007199254740993},
        True,
        False,
        _large,
    ),
    Difference(
        "order of null, lists and objects",
        "only like is ordered with like: lists and objects not at all, `null` as `>=` and `<=` "
        "`null`; JavaScript turns them into texts and numbers",
        {"a": {"$gte": None}},
        {"a": []},
        True,
        False,
        _on_values(tuple(_SIGNS), _not_alike),
        stumbles=("Cannot convert object to primitive value",),
    ),
    Difference(
        "order of texts",
        "texts are ordered by code point; JavaScript orders halves of those beyond U+FFFF",
        {"a": {"$gt": "\uffff"}},
        {"a": "😀"},
        False,
        True,
        _on_values(tuple(_SIGNS), _units),
    ),
    Difference(
        "remainders of what is no number",
        "`$mod` is about numbers; JavaScript makes numbers of texts, booleans, null and lists",
        {"a": {"$mod": [2, 0]}},
        {"a": "4"},
        True,
        False,
        _odd_remainders,
    ),
    Difference(
        "remainders of fractions",
        "`$mod` counts in decimals, as the numbers are written",
        {"a": {"$mod": [0.1, 0]}},
        {"a": 0.3},
        False,
        True,
        _odd_remainders,
    ),
    Difference(
        "characters beyond U+FFFF in patterns",
        "a character is a code point; JavaScript sees two halves",
        {"a": {"$regex": "^.$"}},
        {"a": "😀"},
        False,
        True,
        _on_values(("$regex",), _astral),
    ),
    Difference(
        "lines in patterns",
        "with `m` a line ends at `\\n` alone, on every database",
        {"a": {"$regex": "^b", "$options": "m"}},
        {"a": "a\rb"},
        True,
        False,
        _on_values(
            ("$regex",),
            lambda op, value, operand: (
                "m" in operand[1]
                and isinstance(value, str)
                and re.search("[\r\u2028\u2029]", value) is not None
            ),
        ),
    ),
    Difference(
        "lists in lists",
        "`$elemMatch` is about the members of the list; sift stops at the first list inside it",
        {"a": {"$elemMatch": {"$eq": 2}}},
        {"a": [[1], 2]},
        False,
        True,
        _lists_in_lists,
    ),
    # -- operands
    Difference(
        "lists in `$all`",
        "a list is a value; sift takes it for an object of indexes",
        {"a": {"$all": [[1]]}},
        {"a": [1, 2]},
        True,
        False,
        _all_of_lists,
    ),
    Difference(
        "a list under `$not`",
        "a list is a value; sift takes it for an object of indexes",
        {"a": {"$not": [1]}},
        {"a": [1, 2]},
        False,
        True,
        explains_where=_not_of_a_list,
    ),
    Difference(
        "negations in `$or` and `$nor`",
        "below a column, too, a negation is about all members of a list; sift makes up its mind "
        "at the first",
        {"a": {"$not": {"$or": [{"$ne": 2}]}}},
        {"a": [1, 2]},
        False,
        True,
        explains_where=_negation_joined,
    ),
    # -- what one of them refuses
    Difference(
        "`$and`, `$or` and `$nor` under a column",
        "they are taken there, for clients that write ranges so",
        {"a": {"$or": [{"$lt": 1}, {"$gt": 5}]}},
        {"a": 6},
        "cannot be matched against property",
        True,
    ),
    Difference(
        "more types",
        "`$type` also takes `boolean` and `object`",
        {"a": {"$type": "object"}},
        {"a": {}},
        "Type alias does not exist",
        True,
    ),
    Difference(
        "operators of this language",
        "`$like`, `$iLike` and `$filters` are none of sift's",
        {"a": {"$like": "x%"}},
        {"a": "xy"},
        "Unsupported operation: $like",
        True,
    ),
    Difference(
        "`$where`",
        "it is JavaScript, and no client's code is run",
        {"$where": "this.a === 1"},
        {"a": 1},
        True,
        "`$where` is not an operator",
    ),
    Difference(
        "look-around and back-references",
        "patterns run in linear time",
        {"a": {"$regex": "^(?!x)"}},
        {"a": "y"},
        True,
        "look-around and flags in groups are not supported",
    ),
    Difference(
        "braces that stand for themselves",
        "what JavaScript lets pass for old pages' sake is refused: write `\\{`",
        {"a": {"$regex": "{"}},
        {"a": "{"},
        True,
        "write a literal `{` as `\\{`",
    ),
    Difference(
        "large patterns",
        "a repetition can be at most 255 times, and the whole is bounded: no database is held up",
        {"a": {"$regex": "x{256}"}},
        {"a": "x"},
        False,
        "a repetition can be at most 255 times",
    ),
    Difference(
        "other flags",
        "`$options` are `i`, `m` and `s`; the rest change nothing, or the dialect",
        {"a": {"$regex": "x", "$options": "u"}},
        {"a": "x"},
        True,
        "`$options` must be some of i, m, s",
    ),
    Difference(
        "`$options` alone",
        "an operator that would be ignored is refused",
        {"a": {"$options": "i"}},
        {"a": 1},
        True,
        "`where.a.$options` requires `$regex`",
    ),
    Difference(
        "a pattern that is no text",
        "an operand of the wrong type is refused",
        {"a": {"$regex": 5}},
        {"a": "5"},
        True,
        "must be a pattern, as text",
    ),
    Difference(
        "`$in` and `$nin` without a list",
        "an operand of the wrong type is refused",
        {"a": {"$in": 5}},
        {"a": 5},
        True,
        "must be a list",
    ),
    Difference(
        "`$elemMatch` of a list",
        "an operand of the wrong type is refused",
        {"a": {"$elemMatch": [1]}},
        {"a": [{"0": 1}]},
        True,
        "must be an object",
    ),
    Difference(
        "`$mod` without two numbers",
        "an operand of the wrong type is refused",
        {"a": {"$mod": [2]}},
        {"a": 4},
        False,
        "must be two numbers",
    ),
    Difference(
        "members that are no object",
        "what `$and`, `$or` and `$nor` join are objects",
        {"$or": [5]},
        {"a": 5},
        False,
        "must be an object of columns and conditions",
    ),
    Difference(
        "operators on the row",
        "operators must be under a column",
        {"$size": 2},
        {"a": 1},
        False,
        "is not allowed here; operators must be under a column",
    ),
    Difference(
        "plain keys beside operators",
        "one of them is a mistake",
        {"a": {"$elemMatch": {"$exists": True, "b": 1}}},
        {"a": [{"b": 1}]},
        True,
        "operators and other keys cannot be mixed",
    ),
    Difference(
        "names that no column can have",
        "a column has 1 to 255 characters, and none of them is NUL",
        {"": 1},
        {"a": 1},
        False,
        "a column name must have 1 to 255",
    ),
    Difference(
        "nesting and size",
        "a where nests at most 32 deep and has at most 10,000 conditions and members of lists",
        json.loads('{"$and":[' * 40 + '{"a": 1}' + "]}" * 40),
        {"a": 1},
        True,
        "is nested deeper than 32 levels",
    ),
]


def line(difference: Difference) -> str:
    """The difference's line in `docs/reference/query-language.md`."""
    where = json.dumps(difference.where, ensure_ascii=False)
    row = json.dumps(difference.row, ensure_ascii=False)
    if len(where) > 100:
        where = f"{where[:30]}…"
    cells = [
        difference.name,
        f"`{where}` on `{row}`".replace("\uffff", "\\uffff"),
        _said(difference.sift),
        _said(difference.here),
        difference.reason,
    ]
    return f"| {' | '.join(cells)} |"


def _said(answer: bool | str) -> str:
    if isinstance(answer, str):
        return "refused"
    return "found" if answer else "not found"


# -- a whole where

BOTH = frozenset({True, False})


def possible(node: Node, item: Any) -> frozenset[bool]:
    """What sift may answer to a where on a row, given what is explained."""
    if isinstance(node, Not):
        return frozenset(not answer for answer in possible(node.item, item))
    if isinstance(node, And | Or):
        answers = [possible(one, item) for one in node.items]
        return _joined(answers, isinstance(node, And))
    if any(difference.explains(node, item) for difference in DIFFERENCES):
        return BOTH
    if isinstance(node, Composite):
        return possible(node.item, item)
    if isinstance(node, ElemMatch):
        found = [
            possible(node.item, member)
            for value in end_values(item, node.path)
            if isinstance(value, list)
            for member in value
        ]
        return _joined(found, False)
    return frozenset({_holds(node, item)})


def _joined(answers: list[frozenset[bool]], every: bool) -> frozenset[bool]:
    """Whether all hold, or one does, where each may be this or that."""
    neutral = every
    can_be_neutral = all(neutral in answer for answer in answers)
    can_be_other = any((not neutral) in answer for answer in answers)
    return frozenset(
        answer for answer, can in ((neutral, can_be_neutral), (not neutral, can_be_other)) if can
    )


def _holds(field: Field, item: Any) -> bool:
    from rowkeeper.datasources.query.where import matches

    return matches(field, item)
