"""The page on scripts is so: each script on it is run, on what the table below it says.

- ```` ```python script NAME ````: a script; the tables `| Who | Asks | The script |` below are
  about it.
- ```` ```json rows of NAME ````: a data source that scripts look into.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.engine.decide import Decision, compile_rules
from rowkeeper.rules.engine.requests import (
    Change,
    DecisionRequest,
    EntryRequest,
    Insert,
    QueryRequest,
    Update,
)
from rowkeeper.rules.sandbox.limits import Limits
from rowkeeper.rules.sandbox.worker.names import FUNCTIONS, INPUTS
from rowkeeper.rules.scripts.run import Scripts
from rowkeeper.rules.simulator.run import DECIDE
from tests.docs.test_docs import ROOT, _like, blocks, identity_of, quoted, table

PAGE = ROOT / "docs" / "reference" / "scripts.md"
# Found by `DataSources(123)`.
NUMBERED = {"Offices": 123}


def scripts() -> dict[str, str]:
    """Every script of the page, by its name."""
    return {
        block.kind[1].removeprefix("script "): block.text
        for block in blocks(PAGE)
        if block.kind[0] == "python"
    }


def _rows() -> list[Any]:
    found, script = [], ""
    for block in blocks(PAGE):
        if block.kind[0] == "python":
            script = block.kind[1].removeprefix("script ")
        elif block.kind == ("table", "Who Asks The script"):
            found += [
                pytest.param(script, row, id=f"{script}-{number}")
                for number, row in enumerate(block.rows, 1)
            ]
    return found


@pytest.fixture
def looked_up(db: None) -> int:
    """The data sources of the page; the id of who may view them."""
    for block in blocks(PAGE):
        if block.kind[1].startswith("rows of "):
            name = block.kind[1].removeprefix("rows of ")
            model = DataSource.objects.create(pk=NUMBERED.get(name), name=name)
            with store.writing(registry.source_of(model), []):
                store.insert(registry.source_of(model), json.loads(block.text))
    return int(get_user_model().objects.create_user("boss", is_superuser=True).pk)


def ask_of(text: str) -> tuple[Any, DecisionRequest]:
    verb, batch = text.split()[0], " both " in text
    stored, _, sent = text.partition(" with ")
    before, values = ([json.loads(value) for value in quoted(part)] for part in (stored, sent))
    if verb == "select":
        written = before[0] if before else {}
        return "select", QueryRequest(parse_where(written), written=written)
    if verb == "insert":
        return "insert", Insert(before, batch)
    if verb == "remove":
        return "delete", EntryRequest(before, batch)
    assert verb == "update", text
    pairs = enumerate(zip(values, before, strict=True), 1)
    changes = [Change(row, data, id=number) for number, (row, data) in pairs]
    return "update", Update(changes, batch=batch)


@pytest.mark.parametrize(("script", "row"), _rows())
def test_scripts_say_what_the_page_says(script: str, row: list[str], looked_up: int) -> None:
    who, asks, answer = row
    ruleset = compile_rules([{"script": scripts()[script]}], [])
    operation, ask = ask_of(asks)
    run = Scripts({}, looked_up)
    decision: Decision = DECIDE[operation](ruleset, identity_of(who), ask, run)
    (line,) = decision.trace
    said, _, message = answer.partition(": ") if answer[:5] == "fails" else (answer, "", "")
    said, _, more = said.partition("; ")
    told = {"granted": "grants", "script": "does not grant", "script-error": "fails"}
    assert told.get(line.code, "grants, but hides what the request names") == said, line
    if said == "fails":
        assert line.text.endswith(f": {message}"), line
    if more.startswith("hides"):
        assert not any(decision.shown.shows(column) for column in quoted(more))
        assert decision.shown.shows("Name")
    if more.startswith("runs"):
        wanted = [json.loads(re.sub("…", '"…"', text)) for text in quoted(more)]
        if operation == "select":
            assert isinstance(ask, QueryRequest)
            assert decision.where(ask.where) == parse_where(wanted[0])
        else:
            assert _like(list(decision.rows), wanted), decision.rows


def test_every_script_has_a_table() -> None:
    assert {param.values[0] for param in _rows()} == set(scripts())
    assert len(_rows()) >= 40


# -- tables of names


def test_the_table_of_limits_is_whole() -> None:
    rows = table(PAGE, "Setting Default What it bounds")
    told = {row[0].strip("`"): eval(row[1].strip("`")) for row in rows}
    assert told == {field.name.upper(): field.default for field in fields(Limits)}


def test_every_name_that_a_script_sees_is_told() -> None:
    names = {re.match(r"\w+", row[0].strip("`"))[0] for row in table(PAGE, "Name Holds")}  # type: ignore[index]
    assert names == {*INPUTS, "now", "now_ms", "print"}
    cells = [cell for row in table(PAGE, "Functions Names") for cell in row]
    told = {word for cell in cells for text in quoted(cell) for word in text.split()}
    assert told == set(FUNCTIONS)
