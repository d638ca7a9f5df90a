"""The operators: one row each, with its check, its meaning in memory and on both databases.

A test is about one value. Which values a condition looks at (a member of a list, or the whole)
is the same for all of them, and is said in `walk`, `memory` and `sql`.

On SQLite a value is the JSON text of a scalar, and SQL's NULL where it is missing (lists and
objects go to a function, which asks `holds`); on PostgreSQL it is any jsonb, or NULL. In the SQL
below `{v}` stands for that value, and every `%s` for a parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import Malformed
from ..jsontext import canonical, dumps
from ..values import is_scalar, lower, same
from .walk import MISSING


class Sql(NamedTuple):
    """SQL text with `%s` for each of its parameters."""

    text: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """What one operator of the language is."""

    name: str
    # (operand, place) -> operand; raises Malformed.
    check: Callable[[Any, str], Any]
    # (value or MISSING, operand) -> whether the test holds.
    holds: Callable[[Any, Any], bool]
    as_sqlite: Callable[[Any], Sql]
    as_postgresql: Callable[[Any], Sql]
    # Whether, with this operand, it holds where no value passes the test, rather than where one
    # does.
    negates: Callable[[Any], bool] = lambda operand: False
    # Looks at members of lists too.
    opens_lists: bool = True
    # May stand in a client's where; the others are for the conditions of rules.
    public: bool = True


# -- equality


def _anything(operand: Any, place: str) -> Any:
    return operand


def _a_list(operand: Any, place: str) -> Any:
    if not isinstance(operand, list):
        raise Malformed(f"{place} takes a list")
    return operand


def equal(value: Any, operand: Any) -> bool:
    """`$eq` on one value: missing and null are the same."""
    return operand is None if value is MISSING else same(value, operand)


def _among(value: Any, operand: Any) -> bool:
    return any(equal(value, member) for member in operand)


def texts_of(value: Any) -> list[str]:
    """The JSON texts under which SQLite may hold a value that is equal to this one."""
    if value.__class__ not in (int, float):
        return [canonical(value)]
    texts = [dumps(value)]
    if value.__class__ is float and value.is_integer() and abs(value) < 2**63:
        texts.append(str(int(value)))
    elif value.__class__ is int and int(float(value)) == value:
        texts.append(dumps(float(value)))
    return texts


def _equal_sqlite(operand: Any) -> Sql:
    return _among_sqlite([operand])


def _among_sqlite(operand: Any) -> Sql:
    texts = tuple(text for member in operand for text in texts_of(member))
    value = "coalesce({v},'null')" if None in operand else "{v}"
    if len(texts) == 1:
        return Sql(f"{value}=%s", texts)
    if len(texts) == 2:
        return Sql(f"({value}=%s OR {value}=%s)", texts)
    return Sql(f"{value} IN (SELECT value FROM json_each(%s))", (dumps(list(texts)),))


def _equal_postgresql(operand: Any) -> Sql:
    value = "coalesce({v},'null')" if operand is None else "{v}"
    return Sql(f"{value}=%s::jsonb", (dumps(operand),))


def _among_postgresql(operand: Any) -> Sql:
    value = "coalesce({v},'null')" if None in operand else "{v}"
    return Sql(f"{value}=ANY(%s::jsonb[])", ([dumps(member) for member in operand],))


# -- order

_TEXT_SQLITE = "CASE json_type({v}) WHEN 'text' THEN json_extract({v},'$') END"
_NUMBER_SQLITE = (
    "CASE json_type({v}) WHEN 'integer' THEN json_extract({v},'$') "
    "WHEN 'real' THEN rowkeeper_real({v}) END"
)
_BOOLEAN_SQLITE = "CASE {v} WHEN 'false' THEN 0 WHEN 'true' THEN 1 END"
_TEXT_POSTGRESQL = "CASE jsonb_typeof({v}) WHEN 'string' THEN {v}#>>'{}' END COLLATE \"C\""
_NUMBER_POSTGRESQL = "CASE jsonb_typeof({v}) WHEN 'number' THEN ({v})::numeric END"
_BOOLEAN_POSTGRESQL = "CASE jsonb_typeof({v}) WHEN 'boolean' THEN ({v})::boolean END"

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NEVER = Sql("1=0")


def _ordering(name: str, sign: str) -> Operator:
    compare = _COMPARE[sign]
    only_null = sign in (">=", "<=")

    def holds(value: Any, operand: Any) -> bool:
        if operand is None:
            return only_null and (value is None or value is MISSING)
        if not is_scalar(value) or not is_scalar(operand):
            return False
        left, right = value.__class__, operand.__class__
        alike = left is right or (left in (int, float) and right in (int, float))
        return alike and compare(value, operand)

    def as_sqlite(operand: Any) -> Sql:
        if operand is None:
            return _equal_sqlite(None) if only_null else _NEVER
        if operand.__class__ is bool:
            return Sql(f"{_BOOLEAN_SQLITE}{sign}%s", (int(operand),))
        if operand.__class__ is str:
            return Sql(f"{_TEXT_SQLITE}{sign}%s", (operand,))
        return Sql(f"{_NUMBER_SQLITE}{sign}%s", (operand,)) if is_scalar(operand) else _NEVER

    def as_postgresql(operand: Any) -> Sql:
        if operand is None:
            return _equal_postgresql(None) if only_null else _NEVER
        if operand.__class__ is bool:
            return Sql(f"{_BOOLEAN_POSTGRESQL}{sign}%s", (operand,))
        if operand.__class__ is str:
            return Sql(f"{_TEXT_POSTGRESQL}{sign}%s", (operand,))
        if not is_scalar(operand):
            return _NEVER
        return Sql(f"{_NUMBER_POSTGRESQL}{sign}%s::numeric", (repr(operand),))

    return Operator(name, _anything, holds, as_sqlite, as_postgresql)


# -- presence


def _exists(value: Any, operand: Any) -> bool:
    return value is not MISSING


def _exists_sql(operand: Any) -> Sql:
    return Sql("{v} IS NOT NULL")


def truthy(value: Any) -> bool:
    """Whether JavaScript takes a value for true; a list or an object always is."""
    return value.__class__ in (list, dict) or bool(value)


# -- text


def _a_text(operand: Any, place: str) -> Any:
    if not isinstance(operand, str):
        raise Malformed(f"{place} takes text, with `%` for any run of characters")
    return operand


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


def _likes(value: Any, operand: Any) -> bool:
    return value.__class__ is str and like(value, operand)


def _likes_any_case(value: Any, operand: Any) -> bool:
    return value.__class__ is str and like(lower(value), lower(operand))


def _like_pattern(operand: str) -> str:
    escaped = operand.replace("\\", "\\\\").replace("_", "\\_")
    return escaped if "%" in operand else f"%{escaped}%"


def _like_sqlite(operand: Any) -> Sql:
    if "%" in operand:
        return Sql(f"rowkeeper_like({_TEXT_SQLITE},%s)", (operand,))
    return Sql(f"instr({_TEXT_SQLITE},%s)>0", (operand,))


def _like_any_case_sqlite(operand: Any) -> Sql:
    return Sql(f"rowkeeper_like(rowkeeper_lower({_TEXT_SQLITE}),%s)", (lower(operand),))


def _like_postgresql(operand: Any) -> Sql:
    return Sql(f"{_TEXT_POSTGRESQL} LIKE %s", (_like_pattern(operand),))


def _like_any_case_postgresql(operand: Any) -> Sql:
    text = "CASE jsonb_typeof({v}) WHEN 'string' THEN rowkeeper_lower({v}#>>'{}') END"
    return Sql(f'{text} COLLATE "C" LIKE %s', (_like_pattern(lower(operand)),))


# -- the `contains` of rules


def contains(value: Any, operand: Any) -> bool:
    """A text of which the operand is a part, or a list with a member that equals it."""
    if value.__class__ is str:
        return operand.__class__ is str and operand in value
    return value.__class__ is list and any(same(member, operand) for member in value)


def _contains_sqlite(operand: Any) -> Sql:
    # Lists are looked into by the same function as for all operators; this is about text.
    if operand.__class__ is not str:
        return _NEVER
    return Sql(f"instr({_TEXT_SQLITE},%s)>0", (operand,))


def _contains_postgresql(operand: Any) -> Sql:
    text = "CASE jsonb_typeof({v}) WHEN 'array' THEN {v}@>%s::jsonb ELSE false END"
    params: tuple[Any, ...] = (dumps([operand]),)
    if operand.__class__ is not str:
        return Sql(text, params)
    return Sql(f"(strpos({_TEXT_POSTGRESQL},%s)>0 OR {text})", (operand, *params))


def _nothing(value: Any, operand: Any) -> bool:
    return False


def _never(operand: Any) -> Sql:
    return _NEVER


def _negation(of: Operator, name: str) -> Operator:
    return Operator(name, of.check, of.holds, of.as_sqlite, of.as_postgresql, lambda operand: True)


_EQ = Operator("$eq", _anything, equal, _equal_sqlite, _equal_postgresql)
_IN = Operator("$in", _a_list, _among, _among_sqlite, _among_postgresql)

OPERATORS: dict[str, Operator] = {
    row.name: row
    for row in (
        _EQ,
        _negation(_EQ, "$ne"),
        _ordering("$gt", ">"),
        _ordering("$gte", ">="),
        _ordering("$lt", "<"),
        _ordering("$lte", "<="),
        _IN,
        _negation(_IN, "$nin"),
        Operator(
            "$exists",
            _anything,
            _exists,
            _exists_sql,
            _exists_sql,
            negates=lambda operand: not truthy(operand),
        ),
        Operator("$like", _a_text, _likes, _like_sqlite, _like_postgresql),
        Operator(
            "$iLike", _a_text, _likes_any_case, _like_any_case_sqlite, _like_any_case_postgresql
        ),
        Operator(
            "contains",
            _anything,
            contains,
            _contains_sqlite,
            _contains_postgresql,
            opens_lists=False,
            public=False,
        ),
        # What `{}` means where operators could stand: no value has to pass any test.
        Operator(
            "anything",
            _anything,
            _nothing,
            _never,
            _never,
            negates=lambda operand: True,
            public=False,
        ),
    )
}

# Operators of the language that are not built yet: refused by name, never ignored.
UNSUPPORTED = frozenset({"$type", "$mod", "$all", "$size", "$elemMatch", "$regex", "$options"})
LOGICAL = frozenset({"$and", "$or", "$nor", "$not"})
