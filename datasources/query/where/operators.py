"""The operators: one row each, with its check, its meaning in memory and its SQL on both databases.

A test applies to one value. Which values a condition tests (a member of a list, or the whole) is
the same for all operators: `paths`, `match` and `compiler.where` decide.

On SQLite a value is the JSON text of a scalar, or SQL's NULL if it is missing; lists and objects
are passed to a function that calls `holds`. On PostgreSQL a value is any jsonb, or NULL. In the SQL
below, `{v}` is replaced by the value, and every `%s` by a parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ...errors import Malformed
from ...sql import (
    BOOLEAN_POSTGRESQL,
    BOOLEAN_SQLITE,
    NEVER,
    NUMBER_POSTGRESQL,
    NUMBER_SQLITE,
    TEXT_POSTGRESQL,
    TEXT_SQLITE,
    Sql,
    concat,
    equal_postgresql,
)
from ...values.codec import canonical, dumps
from ...values.validation import KIND_NUMBER, is_scalar, kind, lower, printable, same
from ..regex.compile import compile_regex, matches_regex
from . import filters
from .comparison import equal, like, truthy
from .paths import MISSING


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the query language."""

    name: str
    # (operand, place) -> operand; raises Malformed.
    check: Callable[[Any, str], Any]
    # (value or MISSING, operand) -> whether the test holds.
    holds: Callable[[Any, Any], bool]
    as_sqlite: Callable[[Any], Sql]
    as_postgresql: Callable[[Any], Sql]
    # Whether the operator, with this operand, is negated: it holds if no value passes the test.
    negates: Callable[[Any], bool] = lambda operand: False
    # Whether it tests members of lists as well.
    opens_lists: bool = True
    # Whether it is allowed in a client's where; the others are for the conditions of rules.
    public: bool = True


# -- equality


def _anything(operand: Any, place: str) -> Any:
    return operand


def _a_list(operand: Any, place: str) -> Any:
    if not isinstance(operand, list):
        raise Malformed(f"{place} must be a list")
    for member in operand:
        if isinstance(member, dict) and any(key.startswith("$") for key in member):
            raise Malformed(f"{place}: operators are not allowed inside the list")
    return operand


def _among(value: Any, operand: Any) -> bool:
    return any(equal(value, member) for member in operand)


def texts_of(value: Any) -> list[str]:
    """Return the JSON texts that SQLite may have for a value that equals this one."""
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


# To scan a list of up to this many members is faster than to make a table of it.
FEW_MEMBERS = 64


def _among_postgresql(operand: Any) -> Sql:
    value = "coalesce({v},'null')" if None in operand else "{v}"
    if len(operand) > FEW_MEMBERS:
        # Inside a test, so that no planner turns it into a join.
        return Sql(
            f"({value} IN (SELECT jsonb_array_elements(%s::jsonb))) IS TRUE", (dumps(operand),)
        )
    return Sql(f"{value}=ANY(%s::jsonb[])", ([dumps(member) for member in operand],))


# -- order

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


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
            return _equal_sqlite(None) if only_null else NEVER
        if operand.__class__ is bool:
            return Sql(f"{BOOLEAN_SQLITE}{sign}%s", (int(operand),))
        if operand.__class__ is str:
            return Sql(f"{TEXT_SQLITE}{sign}%s", (operand,))
        return Sql(f"{NUMBER_SQLITE}{sign}%s", (operand,)) if is_scalar(operand) else NEVER

    def as_postgresql(operand: Any) -> Sql:
        if operand is None:
            return equal_postgresql(None) if only_null else NEVER
        if operand.__class__ is bool:
            return Sql(f"{BOOLEAN_POSTGRESQL}{sign}%s", (operand,))
        if operand.__class__ is str:
            return Sql(f"{TEXT_POSTGRESQL}{sign}%s", (operand,))
        if not is_scalar(operand):
            return NEVER
        return Sql(f"{NUMBER_POSTGRESQL}{sign}%s::numeric", (repr(operand),))

    return Operator(name, _anything, holds, as_sqlite, as_postgresql)


# -- presence


def _exists(value: Any, operand: Any) -> bool:
    return value is not MISSING


def _exists_sql(operand: Any) -> Sql:
    return Sql("{v} IS NOT NULL")


# -- text


def _a_text(operand: Any, place: str) -> Any:
    if not isinstance(operand, str):
        raise Malformed(f"{place} must be text, in which `%` matches any characters")
    return operand


def _likes(value: Any, operand: Any) -> bool:
    return value.__class__ is str and like(value, operand)


def _likes_any_case(value: Any, operand: Any) -> bool:
    return value.__class__ is str and like(lower(value), lower(operand))


def like_pattern(operand: str) -> str:
    """Return the pattern of `LIKE` for an operand of `$like`."""
    escaped = operand.replace("\\", "\\\\").replace("_", "\\_")
    return escaped if "%" in operand else f"%{escaped}%"


def _like_sqlite(operand: Any) -> Sql:
    if "%" in operand:
        return _long_enough(operand, Sql(f"rowkeeper_like({TEXT_SQLITE},%s)", (operand,)))
    return Sql(f"instr({TEXT_SQLITE},%s)>0", (operand,))


def _like_any_case_sqlite(operand: Any) -> Sql:
    text = f"rowkeeper_like(rowkeeper_lower({TEXT_SQLITE}),%s)"
    return _long_enough(operand, Sql(text, (lower(operand),)))


# For a longer pattern, a call of the function costs more than to check the length of a text first.
_LONG_PATTERN = 200


def _long_enough(operand: str, test: Sql) -> Sql:
    """Restrict a test to texts that are long enough to match."""
    if len(operand) <= _LONG_PATTERN:
        return test
    least = len(operand) - operand.count("%")
    return concat(Sql("CASE WHEN length({v})>=%s THEN ", (least,)), test, " END")


def _like_postgresql(operand: Any) -> Sql:
    return Sql(f"{TEXT_POSTGRESQL} LIKE %s", (like_pattern(operand),))


def _like_any_case_postgresql(operand: Any) -> Sql:
    text = "CASE jsonb_typeof({v}) WHEN 'string' THEN rowkeeper_lower({v}#>>'{}') END"
    return Sql(f'{text} COLLATE "C" LIKE %s', (like_pattern(lower(operand)),))


# -- types, sizes, remainders, patterns


def _function_call(name: str) -> Callable[[Any], Sql]:
    """Return the SQL on SQLite: a call of our function, which calls `holds`."""
    return lambda operand: Sql("rowkeeper_holds({v},%s,%s)", (name, dumps(operand)))


# Names of types in `$type`, with jsonb's names. JSON has no timestamps, so that one never matches.
_TYPES = {
    "number": "number",
    "string": "string",
    "bool": "boolean",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
    "null": "null",
    "timestamp": "timestamp",
}


def _a_type(operand: Any, place: str) -> Any:
    if not isinstance(operand, str) or operand not in _TYPES:
        raise Malformed(f"{place} must be one of {', '.join(_TYPES)}, not `{printable(operand)}`")
    return operand


def _has_type(value: Any, operand: Any) -> bool:
    return value is not MISSING and kind(value) == _TYPES[operand]


def _type_sqlite(operand: Any) -> Sql:
    names = {
        "number": ("integer", "real"),
        "string": ("text", "text"),
        "boolean": ("true", "false"),
    }
    wanted = names.get(_TYPES[operand], (_TYPES[operand], _TYPES[operand]))
    return Sql("json_type({v}) IN (%s,%s)", wanted)


def _type_postgresql(operand: Any) -> Sql:
    return Sql("jsonb_typeof({v})=%s", (_TYPES[operand],))


def _size(value: Any, operand: Any) -> bool:
    return value.__class__ is list and same(len(value), operand)


def _size_sqlite(operand: Any) -> Sql:
    # A scalar has no size; lists are passed to the function.
    return NEVER


def _size_postgresql(operand: Any) -> Sql:
    if operand.__class__ not in (int, float) or operand != int(operand):
        return NEVER
    return Sql(
        "CASE jsonb_typeof({v}) WHEN 'array' THEN jsonb_array_length({v})=%s END",
        (min(max(int(operand), -1), 2**31 - 1),),
    )


def _two_numbers(operand: Any, place: str) -> Any:
    if (
        not isinstance(operand, list)
        or len(operand) != 2
        or any(kind(number) != KIND_NUMBER for number in operand)
    ):
        raise Malformed(f"{place} must be two numbers, the divisor and the remainder")
    return operand


def _remainder(value: Any, operand: Any) -> bool:
    """Whether the remainder is equal, computed in decimals; it has the sign of the value."""
    if value is MISSING or kind(value) != KIND_NUMBER or not operand[0]:
        return False
    number, divisor = Fraction(repr(value)), Fraction(repr(operand[0]))
    rest = abs(number) % abs(divisor)
    return (rest if number >= 0 else -rest) == Fraction(repr(operand[1]))


def _remainder_postgresql(operand: Any) -> Sql:
    if not operand[0]:
        return NEVER
    divisor, rest = (repr(number) for number in operand)
    return Sql(f"({NUMBER_POSTGRESQL})%%%s::numeric=%s::numeric", (divisor, rest))


def _a_pattern(operand: Any, place: str) -> Any:
    """Check [pattern, options]. Raises `Malformed`."""
    source, options = operand
    if not isinstance(source, str):
        raise Malformed(f"{place} must be a pattern, as text")
    if not isinstance(options, str):
        raise Malformed(f"`$options` of {place} must be text")
    try:
        compile_regex(source, options)
    except Malformed as error:
        raise Malformed(f"{place}: {error.message}") from None
    return operand


def _fits(value: Any, operand: Any) -> bool:
    return value.__class__ is str and matches_regex(value, compile_regex(*operand))


def _fits_postgresql(operand: Any) -> Sql:
    regex = compile_regex(*operand)
    fits = f"{TEXT_POSTGRESQL} ~ %s"
    if not regex.seeks:
        return Sql(fits, (regex.postgresql,))
    # PostgreSQL builds its automaton again for each text; to search for a part is far faster.
    return Sql(
        f"CASE WHEN strpos({TEXT_POSTGRESQL},%s)>0 THEN {fits} ELSE 1=0 END",
        (regex.needs, regex.postgresql),
    )


# -- the `contains` of rules


def contains(value: Any, operand: Any) -> bool:
    """Whether a text contains the operand, or a list has a member that equals it."""
    if value.__class__ is str:
        return operand.__class__ is str and operand in value
    return value.__class__ is list and any(same(member, operand) for member in value)


def _contains_sqlite(operand: Any) -> Sql:
    # Lists are tested by the function that tests them for all operators; this is for text.
    if operand.__class__ is not str:
        return NEVER
    return Sql(f"instr({TEXT_SQLITE},%s)>0", (operand,))


def _contains_postgresql(operand: Any) -> Sql:
    text = "CASE jsonb_typeof({v}) WHEN 'array' THEN {v}@>%s::jsonb ELSE false END"
    params: tuple[Any, ...] = (dumps([operand]),)
    if operand.__class__ is not str:
        return Sql(text, params)
    return Sql(f"(strpos({TEXT_POSTGRESQL},%s)>0 OR {text})", (operand, *params))


def _nothing(value: Any, operand: Any) -> bool:
    return False


def _never(operand: Any) -> Sql:
    return NEVER


def _filter(
    condition: str,
    holds: Callable[[Any, Any], bool],
    as_postgresql: Callable[[Any], Sql],
    negates: bool = False,
    opens_lists: bool = True,
) -> Operator:
    """Return the row for a condition of `$filters`, whose operand `filters` has checked."""
    name = f"$filters {condition}"
    return Operator(
        name,
        _anything,
        holds,
        _function_call(name),
        as_postgresql,
        negates=lambda operand: negates,
        opens_lists=opens_lists,
        public=False,
    )


def _filter_rows() -> list[Operator]:
    def ordered(sign: str) -> Callable[[Any, Any], bool]:
        compare = _COMPARE[sign]

        def holds(value: Any, operand: Any) -> bool:
            number = filters.number_of(value)
            return number is not None and compare(number, Decimal(operand))

        return holds

    def dated(condition: str) -> Operator:
        def holds(value: Any, operand: Any) -> bool:
            return filters.in_span(value, filters.limits(condition, operand))

        def sql(operand: Any) -> Sql:
            return filters.in_span_postgresql(filters.limits(condition, operand))

        return _filter(condition, holds, sql)

    equal_, empty = filters.equal_any_case, filters.is_empty
    return [
        _filter("==", equal_, filters.equal_any_case_postgresql),
        _filter("!=", equal_, filters.equal_any_case_postgresql, negates=True),
        *(_filter(sign, ordered(sign), filters.ordered_postgresql(sign)) for sign in _COMPARE),
        _filter("contains", _part_any_case, filters.part_any_case_postgresql),
        _filter("empty", empty, filters.is_empty_postgresql, opens_lists=False),
        _filter("notempty", empty, filters.is_empty_postgresql, negates=True, opens_lists=False),
        _filter("between", filters.in_bounds, filters.in_bounds_postgresql),
        replace(_filter("oneof", _among, _among_postgresql), as_sqlite=_among_sqlite),
        *map(dated, ("dateis", "datebefore", "dateafter", "datebetween")),
    ]


def _part_any_case(value: Any, operand: Any) -> bool:
    return value.__class__ is str and lower(operand) in lower(value)


def _negation(of: Operator, name: str) -> Operator:
    return Operator(name, of.check, of.holds, of.as_sqlite, of.as_postgresql, lambda operand: True)


_EQ = Operator("$eq", _anything, equal, _equal_sqlite, equal_postgresql)
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
        Operator("$type", _a_type, _has_type, _type_sqlite, _type_postgresql),
        Operator("$size", _anything, _size, _size_sqlite, _size_postgresql),
        Operator("$mod", _two_numbers, _remainder, _function_call("$mod"), _remainder_postgresql),
        Operator("$regex", _a_pattern, _fits, _function_call("$regex"), _fits_postgresql),
        *_filter_rows(),
        # The meaning of `{}` in place of operators: a negated test that no value passes.
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

LOGICAL = frozenset({"$and", "$or", "$nor", "$not"})
# Operators that consist of others (see `parse`), or that modify another one.
COMPOSED = frozenset({"$all", "$elemMatch", "$filters", "$options"})
