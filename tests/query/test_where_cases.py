"""The cases of the query language: each in memory, on the database, and in sift where it has it.

A group of `tests/cases/where.json` is an operator (or a subject), its rows, and its cases: a
sentence, a where, and the numbers of the rows that it finds, or a part of the message with which
it is refused. `differs` names the difference from sift (`tests/reference/differences.py`) that is
seen here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.where import matches, parse_where
from tests.query.test_sift import found, stored
from tests.reference.differences import DIFFERENCES
from tests.support.javascript import sift

GROUPS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "cases" / "where.json").read_text(encoding="utf-8")
)
CASES = [
    pytest.param(group, case, id=f"{group['operator']}: {case['says']}")
    for group in GROUPS
    for case in group["cases"]
]
# What sift does not have; such a case is left out there.
NOT_IN_SIFT = ('"$like"', '"$iLike"', '"$filters"')


@pytest.mark.parametrize(("group", "case"), CASES)
def test_in_memory(group: dict[str, Any], case: dict[str, Any]) -> None:
    columns = case.get("columns", [])
    if "refused" in case:
        with pytest.raises(Malformed) as raised:
            parse_where(case["where"], columns)
        assert case["refused"] in raised.value.message
        return
    node = parse_where(case["where"], columns)
    assert [n for n, row in enumerate(group["rows"]) if matches(node, row)] == case["finds"]


@pytest.mark.django_db
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["operator"])
def test_on_the_database(group: dict[str, Any]) -> None:
    source, ids = stored(group["rows"])
    for case in group["cases"]:
        if "finds" in case:
            node = parse_where(case["where"], case.get("columns", []))
            assert found(source, ids, node) == case["finds"], case["says"]


@cache
def _sift() -> dict[str, list[list[int] | str]]:
    asked = [
        {"rows": group["rows"], "wheres": [case["where"] for case in group["cases"]]}
        for group in GROUPS
    ]
    return {group["operator"]: answers for group, answers in zip(GROUPS, sift(asked), strict=True)}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["operator"])
def test_in_sift(group: dict[str, Any]) -> None:
    for case, answer in zip(group["cases"], _sift()[group["operator"]], strict=True):
        if any(name in json.dumps(case["where"]) for name in NOT_IN_SIFT):
            assert "differs" not in case, case["says"]
        elif "differs" in case:
            assert case["differs"] in {difference.name for difference in DIFFERENCES}
            assert answer != case.get("finds") and not _both_refuse(case, answer), case["says"]
        else:
            assert answer == case.get("finds") or _both_refuse(case, answer), (case["says"], answer)


def _both_refuse(case: dict[str, Any], answer: list[int] | str) -> bool:
    return "refused" in case and isinstance(answer, str)
