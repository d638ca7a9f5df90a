"""The query language beside npm sift, which is its reference: in memory, on the database in use,
and in sift itself, which is run. No difference but those of `tests/reference/differences.py`.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.select import Projection, Select
from rowkeeper.datasources.query.where import Node, matches, parse_where
from tests.reference.differences import BOTH, DIFFERENCES, Difference, possible
from tests.reference.hostile import Hostile
from tests.support.javascript import sift

SEED = 20261121
# Each batch is a test of its own: some sets of rows, and wheres for each set.
BATCHES, SETS, ROWS, WHERES = 14, 15, 12, 100
assert BATCHES * SETS * WHERES >= 20_000

Answer = list[int] | str


def answer(rows: list[dict[str, Any]], where: Any, columns: tuple[str, ...] = ()) -> Answer:
    """In memory: the numbers of the rows, or the message of the refusal."""
    try:
        node = parse_where(where, columns)
    except Malformed as error:
        return error.message
    return [number for number, row in enumerate(rows) if matches(node, row)]


def stored(rows: list[dict[str, Any]]) -> tuple[registry.Source, list[int]]:
    """The rows as a data source, and their ids."""
    source = registry.source_of(DataSource.objects.create(name=uuid4().hex, columns=[]))
    with store.writing(source, []):
        made = store.insert(source, rows)
    kept = store.fetch(source, [entry.id for entry in made])
    assert [kept[entry.id].data for entry in made] == rows
    return source, [entry.id for entry in made]


def found(source: registry.Source, ids: list[int], node: Node) -> list[int]:
    """On the database."""
    entries = store.select(source, Select(), node, Projection()).entries
    places = {entry: place for place, entry in enumerate(ids)}
    return [places[json.loads(text)["id"]] for text in entries]


def for_sift(value: Any) -> Any:
    """The same where without a logical operator right under a column, which sift refuses: as the
    negation of its negation.
    """
    if not isinstance(value, dict):
        return value
    return {key: _for_sift(key, item) for key, item in value.items()}


def _for_sift(key: str, item: Any) -> Any:
    if key in ("$and", "$or", "$nor", "$all"):
        return [for_sift(one) for one in item]
    if key in ("$not", "$elemMatch"):
        return for_sift(item)
    if key.startswith("$") or not isinstance(item, dict):
        return item
    if item.keys() & {"$and", "$or", "$nor"}:
        return {"$not": {"$not": for_sift(item)}}
    return for_sift(item) if any(name.startswith("$") for name in item) else item


@pytest.mark.django_db
@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_difference_but_the_documented_ones(batch: int) -> None:
    hostile = Hostile.of(f"{SEED}-{batch}")
    asked = []
    for _ in range(SETS):
        rows = hostile.rows(ROWS)
        asked.append({"rows": rows, "wheres": [hostile.where() for _ in range(WHERES)]})
    theirs = sift(
        [{**one, "wheres": [for_sift(where) for where in one["wheres"]]} for one in asked]
    )
    answered = differing = 0
    for one, answers in zip(asked, theirs, strict=True):
        source, ids = stored(one["rows"])
        for where, their in zip(one["wheres"], answers, strict=True):
            ours = answer(one["rows"], where)
            shown = json.dumps(where, ensure_ascii=False)
            if isinstance(ours, str) or isinstance(their, str):
                assert _refused(ours, their), (shown, ours, their)
                continue
            node = parse_where(where)
            assert found(source, ids, node) == ours, shown
            answered += 1
            for number in set(ours) ^ set(their):
                row = one["rows"][number]
                assert _explained(node, where, row), (shown, json.dumps(row, ensure_ascii=False))
                differing += 1
    # What is explained is rare, or nothing would have been compared.
    assert answered > 0.97 * SETS * WHERES
    assert differing < 0.02 * SETS * WHERES * ROWS


def _explained(node: Node, where: Any, row: dict[str, Any]) -> bool:
    return possible(node, row) == BOTH or any(
        difference.explains_where(where, row) for difference in DIFFERENCES
    )


def _refused(ours: Answer, their: Answer) -> bool:
    """Both refuse, or one of them for a documented reason."""
    messages = [text if isinstance(text, str) else None for text in (their, ours)]
    return None not in messages or any(
        difference.explains_refusal(*messages) for difference in DIFFERENCES
    )


@pytest.mark.django_db
@pytest.mark.parametrize("batch", range(2))
def test_what_sift_does_not_have_is_the_same_in_memory_and_on_the_database(batch: int) -> None:
    hostile = Hostile.of(f"{SEED}-own-{batch}", whole=True)
    answered = 0
    for _ in range(SETS):
        rows = hostile.rows(ROWS)
        source, ids = stored(rows)
        for where in (hostile.where() for _ in range(WHERES)):
            ours = answer(rows, where)
            if isinstance(ours, list):
                shown = json.dumps(where, ensure_ascii=False)
                assert found(source, ids, parse_where(where)) == ours, shown
                answered += 1
    assert answered > 0.95 * SETS * WHERES


# -- the differences themselves


@pytest.mark.django_db
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_differences_are_as_they_are_told(difference: Difference) -> None:
    where, row = difference.where, difference.row
    ((their,),) = sift([{"rows": [row], "wheres": [where]}])
    ours = answer([row], where, difference.columns)
    for told, seen in ((difference.sift, their), (difference.here, ours)):
        assert told in seen if isinstance(told, str) else told == (seen == [0]), seen
    assert difference.sift != difference.here
    if isinstance(ours, list):
        source, ids = stored([row])
        assert found(source, ids, parse_where(where, difference.columns)) == ours
    if not difference.columns and isinstance(their, list) and isinstance(ours, list):
        node = parse_where(where)
        assert _explained(node, where, row)


def test_names_are_used_once() -> None:
    names = [difference.name for difference in DIFFERENCES]
    assert len(names) == len(set(names))
