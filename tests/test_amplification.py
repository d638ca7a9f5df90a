"""What a small request may not make of few rows: an answer that no memory holds, or a statement
that never ends.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.calls import OPEN, Answer, Api, Place, place

pytestmark = pytest.mark.django_db

INVALID = (400, "request.invalid")


@pytest.fixture
def api() -> Api:
    return Api()


def query(api: Api, there: Place, **body: Any) -> Answer:
    return api("POST", f"{there.data}/query", body)


# -- aggregates and distinct


def grouped(reference: str, number: int) -> dict[str, Any]:
    return {"$group": {"_id": {f"k{at}": reference for at in range(number)}}}


def test_keys_of_keys_do_not_grow_with_every_stage(api: Api) -> None:
    there = place([OPEN], [{"A": 1}])
    for stages in (
        [grouped("$A", 50), *[grouped("$_id", 50)] * 3],
        [grouped("$A", 2), *[grouped("$_id", 2)] * 19],
        [{"$project": {"a": "$A"}}, *[grouped("$a", 15), {"$project": {"a": "$_id"}}] * 9],
    ):
        answer = query(api, there, aggregate=stages)
        assert answer.failure == INVALID, len(answer.text)
        assert "a result would hold" in answer.json["message"]


def test_what_a_result_holds_is_counted_where_it_is(api: Api) -> None:
    there = place([OPEN], [{"A": {"B": 7}}])
    names = [f"k{at}" for at in range(50)]
    apart = {"$project": {"_id": 0, **{name: f"$_id.{name}.B" for name in names}}}
    again = {"$project": dict.fromkeys(names, 1)}
    answer = query(api, there, aggregate=[grouped("$A", 50), apart, again])
    assert answer.entries == [dict.fromkeys(names, 7)]
    nested = {"$group": {"_id": {"a": "$_id", "b": "$_id.k0"}, "n": {"$sum": 1}}}
    answer = query(api, there, aggregate=[grouped("$A.B", 50), nested])
    assert answer.entries == [{"_id": {"a": dict.fromkeys(names, 7), "b": 7}, "n": 1}]


LONG = "x" * 5_000
WIDE = [f"{at:03}{'n' * 250}" for at in range(60)]
GIVEN: list[list[dict[str, Any]]] = [
    [{"$project": {"a": LONG}}],
    [{"$project": {"a": "\x01" * 900}}],
    [{"$project": dict.fromkeys(WIDE, "$A")}],
    [{"$project": {"a": "x" * 4_000}}, {"$project": {"a": 1, "b": "$a"}}],
    [{"$group": {"_id": LONG}}],
    [{"$group": {"_id": {"a": LONG}}}],
    [{"$group": {"_id": None, "a": {"$max": LONG}}}],
    [{"$group": {"_id": dict.fromkeys(WIDE[:50], "$A")}}],
]


@pytest.mark.parametrize("stages", GIVEN)
def test_what_a_pipeline_gives_does_not_stand_in_every_result(
    api: Api, stages: list[dict[str, Any]]
) -> None:
    there = place([OPEN], [{"A": at} for at in range(3)])
    answer = query(api, there, aggregate=stages)
    assert answer.failure == INVALID, len(answer.text)
    assert "the names and texts in a result" in answer.json["message"]


def test_columns_that_no_row_has_do_not_fill_every_combination(api: Api) -> None:
    there = place([OPEN], [{"A": at} for at in range(3)])
    answer = query(api, there, distinct=True, attributes=["A", *WIDE])
    assert answer.failure == INVALID, len(answer.text)
