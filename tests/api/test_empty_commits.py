"""A commit that writes nothing: whoever may read can send it, so it is no more than a read."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from rowkeeper.datasources import store
from rowkeeper.rules.models import IdempotencyKey
from tests.support import calls
from tests.support.calls import READ, place

pytestmark = pytest.mark.django_db
NOTHING: dict[str, Any] = {"entries": [], "append": True}


@pytest.mark.parametrize("path", ["commit", "data"])
@pytest.mark.parametrize(
    "rule", [READ, {"script": "return {'granted': True}"}], ids=["rule", "script"]
)
def test_it_opens_no_write(path: str, rule: dict[str, Any]) -> None:
    there = place([rule], [{"A": 1}])
    with patch.object(store, "writing", side_effect=AssertionError("it writes")):
        answer = calls.anonymous()("POST", f"{there.url}/{path}", NOTHING)
    assert answer.status == 200
    assert answer.json["clientIds"] == []
    if rule is READ:
        assert answer.rows == [{"A": 1}]


@pytest.mark.parametrize("path", ["commit", "data"])
def test_it_stores_no_key(path: str) -> None:
    there = place([READ], [{"A": 1}])
    api = calls.superuser()
    for _ in range(2):
        answer = api("POST", f"{there.url}/{path}", NOTHING, headers={"Idempotency-Key": "one"})
        assert answer.rows == [{"A": 1}]
    assert not IdempotencyKey.objects.exists()
