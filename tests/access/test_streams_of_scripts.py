"""Long answers under script rules: what a script looks up can change while they are sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.repository.rules import save_rules
from tests.store.test_streaming import small
from tests.support import calls
from tests.support.calls import OPEN, SourceApi, data_source

pytestmark = pytest.mark.django_db

ROWS = [{"Name": f"n{at % 7}", "Number": at, "Note": "text"} for at in range(20)]
LOOKS_UP = """
switch = DataSources("Switches").find_one(where={"Of": "Some"})
if not switch:
    return {"granted": False}
if switch.data.Below:
    query.Number = {"$lt": switch.data.Below}
return {"granted": True, "exclude": switch.data.Hidden or []}
"""
ASKS: dict[str, tuple[str, str, Any]] = {
    "every entry": ("GET", "/data", None),
    "a select without a limit": ("POST", "/data/query", {}),
    "a long limit": ("POST", "/data/query", {"limit": 5_000}),
    "a select in an order": ("POST", "/data/query", {"order": [["Number", "ASC"]]}),
    "some columns": ("POST", "/data/query", {"attributes": ["Number", "Note"]}),
}


@pytest.fixture
def switch() -> DataSource:
    return data_source("Switches", ["Of", "Below", "Hidden"], [{"Of": "Some"}], [OPEN])


def asking(monkeypatch: pytest.MonkeyPatch, script: str = LOOKS_UP) -> SourceApi:
    small(monkeypatch)
    model = data_source("Some", ["Name", "Number", "Note"], ROWS, [])
    save_rules(model, [{"script": script}], calls.django_user(is_superuser=True))
    return SourceApi(model)


def set_switch(**data: Any) -> None:
    Entry.objects.filter(data_source__name="Switches").update(data={"Of": "Some", **data})


@pytest.mark.parametrize("ask", ASKS)
def test_an_answer_ends_when_what_granted_it_is_gone(
    ask: str, switch: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = iter(asking(monkeypatch).send(*ASKS[ask]).streaming_content)
    assert b"n0" in next(parts) or ask == "some columns"
    assert b'"Number":3' in next(parts).replace(b": ", b":")
    switch.entries.all().delete()
    with pytest.raises(Busy):
        next(parts)
    assert list(parts) == []


# One that names a column may not go on once the column is hidden.
@pytest.mark.parametrize("ask", [name for name in ASKS if name != "some columns"])
def test_each_page_has_the_rows_and_columns_of_its_own_decision(
    ask: str, switch: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = iter(asking(monkeypatch).send(*ASKS[ask]).streaming_content)
    first = next(parts)
    assert first.count(b"Note") == 3
    set_switch(Below=8, Hidden=["Note"])
    rest = b"".join(parts)
    assert b"Note" not in rest
    rows = [entry["data"] for entry in json.loads(first + rest)["entries"]]
    assert [row["Number"] for row in rows] == list(range(8))


def test_a_script_that_uses_the_time_does_not_end_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = """
query.Number = {"$lt": now_ms()}
return {"granted": True}
"""
    answer = asking(monkeypatch, script).send("GET", "/data")
    found = json.loads(b"".join(answer.streaming_content))["entries"]
    assert [entry["data"] for entry in found] == ROWS


def test_pages_by_cursor_are_decided_each(
    switch: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = asking(monkeypatch)
    body = {"limit": 5, "order": [["Number", "ASC"]], "after": ""}
    first = there.query(**body)
    following = first.json()["pagination"]["next"]
    assert there.query(**{**body, "after": following}).status_code == 200
    switch.entries.all().delete()
    assert there.query(**{**body, "after": following}).status_code in (400, 401)


def test_rules_without_scripts_are_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from rowkeeper.rules.api import responses

    small(monkeypatch)
    there = SourceApi(data_source("Some", ["Name", "Number", "Note"], ROWS, [OPEN]))
    made: list[Any] = []
    guard_of = responses.guard_of
    monkeypatch.setattr(responses, "guard_of", lambda *args: made.append(args) or guard_of(*args))
    assert b"".join(there.send("GET", "/data").streaming_content).count(b'"Number"') == 20
    assert made == []
