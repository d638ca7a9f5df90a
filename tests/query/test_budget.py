"""How much one request may ask of a database in its wheres."""

from __future__ import annotations

from typing import Any

import pytest

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.joins import parse_joins
from rowkeeper.datasources.query.regex.compile import compile_regex
from rowkeeper.datasources.query.select import parse_query
from rowkeeper.datasources.query.where import Budget, parse_where
from rowkeeper.datasources.query.where.limits import (
    A_PATTERN,
    MAX_CONDITIONS,
    MAX_NAMES,
    MAX_PATTERNS,
)

TOO_LARGE = "has patterns that are too large in total"


def refused(value: Any) -> str:
    with pytest.raises(Malformed) as raised:
        parse_where(value)
    return raised.value.message


def patterns(*sources: str) -> dict[str, Any]:
    return {"$or": [{"A": {"$regex": source}} for source in sources]}


def test_patterns_are_compiled_when_the_whole_is_not_too_large() -> None:
    compile_regex.cache_clear()
    broken = [{"A": {"$regex": "("}}, *({"A": n} for n in range(MAX_CONDITIONS))]
    assert "more than 10000 conditions" in refused({"$or": broken})
    assert "a group is not closed" in refused({"$or": broken[:9]})
    whole = [{"A": {"$regex": f"a{n}"}} for n in range(MAX_CONDITIONS)]
    assert "more than 10000 conditions" in refused({"$or": whole})
    assert compile_regex.cache_info().currsize == 0


def test_patterns_count_together() -> None:
    most = MAX_PATTERNS // (A_PATTERN + 2 * 10)
    short = [f"{n:010}" for n in range(most + 1)]
    parse_where(patterns(*short[:most]))
    assert TOO_LARGE in refused(patterns(*short))
    # What repetitions are when they are written out counts as well.
    parse_where(patterns("[^a]{250}[^b]{250}", "[^c]{250}[^d]{250}"))
    assert TOO_LARGE in refused(patterns(*(f"[^{c}]{{250}}[^{c}]{{250}}" for c in "abcdefghij")))


def test_the_same_pattern_counts_once() -> None:
    parse_where({"$or": [{f"c{n % 500}": {"$regex": "^(ab|c)+$"}} for n in range(2_000)]})
    options = [{"$regex": "b" * 800, "$options": option} for option in ("", "i", "m", "s")]
    assert TOO_LARGE in refused({"$or": [{"A": one} for one in options]})


@pytest.mark.parametrize("inside", ["$not", "$elemMatch"])
def test_patterns_count_wherever_they_stand(inside: str) -> None:
    several = [{"A": {inside: {"$regex": f"{n:0200}"}}} for n in range(50)]
    assert TOO_LARGE in refused({"$and": several})


@pytest.mark.parametrize(
    ("where", "theirs", "why"),
    [
        (
            {"A": {"$in": [*range(6_000)]}},
            {"B": {"$in": [*range(6_000)]}},
            f"has more than {MAX_CONDITIONS} conditions or list members",
        ),
        (
            {"$or": [{"A": {"$not": {"$gt": n}}} for n in range(8_000)]},
            {"$or": [{"B": {"$not": {"$not": {"$gt": n}}}} for n in range(5_000)]},
            f"has more than {MAX_CONDITIONS} conditions or list members",
        ),
        (
            {"$or": [{"A": {"$not": {"$not": {"$gt": n}}}} for n in range(4_900)]},
            {"$or": [{"B": {"$not": {"$not": {"$gt": n}}}} for n in range(5_100)]},
            "has more than 20000 logical operators",
        ),
        (
            {f"a{n}": 1 for n in range(600)},
            {f"a{n}": 1 for n in range(600)},
            f"names more than {MAX_NAMES} columns and paths",
        ),
        (
            patterns(*(f"{n:0100}" for n in range(15))),
            patterns(*(f"{n:0101}" for n in range(15))),
            TOO_LARGE,
        ),
    ],
)
def test_the_wheres_of_joins_count_with_that_of_the_request(
    where: dict[str, Any], theirs: dict[str, Any], why: str
) -> None:
    join = {"Theirs": {"dataSourceId": 1, "on": {"A": "A"}, "where": theirs}}
    for ours in ({}, where):
        budget = Budget()
        parse_query({"where": ours}, ["A"], budget)
        if not ours:
            parse_joins(join, ["A"], lambda reference: ["A"], budget)
            continue
        with pytest.raises(Malformed) as raised:
            parse_joins(join, ["A"], lambda reference: ["A"], budget)
        assert (
            f"in `join.Theirs`: `where`, together with the previous ones, {why}"
        ) in raised.value.message
