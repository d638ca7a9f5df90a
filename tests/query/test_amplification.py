"""What a small request may not make of few rows: an answer that no memory holds, or a statement
that never ends.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import Any

import pytest

from rowkeeper.datasources.store import attempts, extended
from tests.support.calls import OPEN, Answer, Api, Place, place

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
        assert "a result would have" in answer.json["message"]


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


# -- joins


def joining(there: Place, **on: str) -> dict[str, Any]:
    return {"dataSourceId": there.model.pk, "on": on}


def test_entries_that_all_join_each_other_do_not_fill_the_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = place([OPEN], [{"A": "x", "B": at} for at in range(30)])
    join = joining(there, A="A")
    whole = len(query(api, there, join={"J": join}).text)
    assert whole > 30 * 30 * 100
    monkeypatch.setattr(extended, "MAX_JOINED_TEXT", whole // 2)
    answer = query(api, there, join={"J": join})
    assert answer.failure == INVALID
    assert answer.json["message"].startswith("`join.J` has too many results for one response")
    # All joins of an answer count together; what is asked for less of is answered.
    half = {**join, "limit": 12}
    assert query(api, there, join={"J": half}).status == 200
    assert query(api, there, join={"J": half, "K": half}).failure == INVALID
    assert query(api, there, join={"J": join}, limit=10).status == 200
    assert query(api, there, join={"J": {**join, "count": True}}).status == 200


def test_a_megabyte_is_not_joined_a_thousand_times_in_the_database(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list joins every entry that has one of its members: its row is read once all the same."""
    there = place([OPEN], [{"A": at} for at in range(300)])
    other = place([OPEN], [{"L": list(range(300)), "T": "x" * 10_000}, {"L": [7, 8]}], name="Other")
    read: list[int] = []
    run = extended.store.run
    monkeypatch.setattr(
        extended.store, "run", lambda *a: [read.append(len(str(row))) or row for row in run(*a)]
    )
    answer = query(api, there, join={"J": joining(other, A="L")})
    found = [[row["data"]["L"][0] for row in entry["joins"]["J"]] for entry in answer.entries]
    assert found == [[0, 7] if at in (7, 8) else [0] for at in range(300)]
    assert sum(read) < 50_000
    monkeypatch.setattr(extended, "MAX_JOINED", 299)
    answer = query(api, there, join={"J": joining(other, A="L")})
    assert answer.failure == INVALID and "has too many results" in answer.json["message"]


@pytest.mark.parametrize("more", [{}, {"required": True}, {"required": True, "count": True}])
def test_lists_are_not_joined_member_by_member_with_each_other(
    api: Api, more: dict[str, Any]
) -> None:
    """Two lists in one row, a megabyte, have ten billion pairs of members."""
    names = list("ABCDEFGHIJ")
    long = list(range(5_000))
    here = place([OPEN], [dict.fromkeys(names, at) for at in (3, 9_999)])
    rows = [dict.fromkeys(names, long), {**dict.fromkeys(names, 3), "A": [3, 3, 4]}]
    other = place([OPEN], [*rows, {**dict.fromkeys(names, 3), "A": [3], "J": [4]}], name="Other")
    on = {name: name for name in names}
    began = time.monotonic()
    answer = query(api, here, join={"J": {**joining(other, **on), **more}})
    assert time.monotonic() - began < 5
    found = [entry["joins"]["J"] for entry in answer.entries]
    if more.get("count"):
        assert found == [2]
    else:
        assert [[row["id"] for row in rows] for rows in found][:1] == [other.ids[:2]]
        assert len(found) == 1 if more else found[1] == []
    assert query(api, here, countOnly=True, join={"J": {**joining(other, **on), **more}}).json == {
        "count": len(found)
    }


# -- what is kept beyond a request


def long_texts(at: int) -> list[str]:
    return [f"{at}-{number}-{'x' * 1_000}" for number in range(60)]


KEPT: dict[str, Any] = {
    "operands": lambda at: {"where": {"L.x": {"$in": long_texts(at)}}},
    "operands of members": lambda at: {"where": {"L": {"$elemMatch": {"x": long_texts(at)}}}},
    "common values": lambda at: {"where": {"A": {"$in": [1, *long_texts(at)]}}, "limit": 2},
    "attributes": lambda at: {"attributes": [f"{at}-{n}-{'n' * 200}" for n in range(300)]},
}


@pytest.mark.parametrize("asked", KEPT.values(), ids=KEPT)
def test_a_process_does_not_grow_with_what_requests_have_asked(
    api: Api, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST", 2)
    there = place([OPEN], [{"A": 1, "L": [{"x": 2}]} for _ in range(5)])
    for at in range(20):
        assert query(api, there, **asked(at)).status == 200
    tracemalloc.start()
    try:
        for at in range(20, 80):
            query(api, there, **asked(at))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
