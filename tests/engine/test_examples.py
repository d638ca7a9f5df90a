"""The worked cases, through the engine and over HTTP: each comes out as it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from rowkeeper.accounts.identity import ANONYMOUS, Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.query.where import all_of, matches, parse_where
from rowkeeper.rules.engine.decide import (
    Decision,
    compile_rules,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
    login_could_help,
)
from rowkeeper.rules.engine.requests import Change, EntryRequest, Insert, QueryRequest, Update
from rowkeeper.rules.repository.rules import save_rules
from tests.support.people import headers_of, sign_in_source

CASES = Path(__file__).parents[1] / "cases"
FILES = [json.loads((CASES / name).read_text()) for name in ("employees.json", "staff.json")]
ALL = [
    pytest.param(example, case, id=f"{example['name']}: {case['name']}")
    for example in FILES
    for case in example["cases"]
]


def identity_of(example: dict[str, Any], case: dict[str, Any]) -> Identity:
    return Identity(user=example["users"][case["as"]]) if case["as"] else ANONYMOUS


def decision_of(example: dict[str, Any], case: dict[str, Any]) -> Decision:
    ruleset = compile_rules(example["rules"], example["columns"])
    identity = identity_of(example, case)
    rows = {row["Email"]: row for row in example["entries"]}
    if case["operation"] == "find":
        return decide_select(ruleset, identity, QueryRequest(parse_where(case.get("where"))))
    if case["operation"] == "insert":
        return decide_insert(ruleset, identity, Insert([case["data"]]))
    stored = rows[case["entry"]]
    if case["operation"] == "update":
        return decide_update(ruleset, identity, Update([Change(case["data"], stored)]))
    return decide_delete(ruleset, identity, EntryRequest([stored]))


@pytest.mark.parametrize(("example", "case"), ALL)
def test_through_the_engine(example: dict[str, Any], case: dict[str, Any]) -> None:
    decision = decision_of(example, case)
    assert decision.granted is ("denied" not in case)
    assert len(decision.trace) == len(example["rules"])
    if "denied" in case:
        identity = identity_of(example, case)
        login = identity.is_anonymous and login_could_help(
            decision.ruleset, identity, decision.operation
        )
        assert case["denied"] == ("login" if login else "rules")
    if "emails" in case:
        where = all_of([parse_where(case.get("where")), decision.conditions])
        found = [row for row in example["entries"] if matches(where, row)]
        assert [row["Email"] for row in found] == case["emails"]
        assert not any(decision.shown.shows(column) for column in case["hidden"])
    if "stored_after" in case and decision.granted:
        assert case["stored_after"].items() <= decision.rows[0].items()


@pytest.mark.django_db
@pytest.mark.parametrize(("example", "case"), ALL)
def test_over_http(client: Client, example: dict[str, Any], case: dict[str, Any]) -> None:
    model = DataSource.objects.create(name=example["name"], columns=example["columns"])
    source = registry.source_of(model)
    with store.writing(source, []):
        entries = store.insert(source, example["entries"])
    save_rules(model, example["rules"])
    ids = {entry.data["Email"]: entry.id for entry in entries}
    headers: Any = {}
    if case["as"]:
        people = sign_in_source("People", [example["users"][case["as"]]])
        headers = headers_of(client, people, example["users"][case["as"]]["Email"])
    response = ask(client, f"/v1/data-sources/{model.pk}/data", case, ids, headers)
    body = response.json()
    if case.get("denied"):
        kind = {"rules": (400, "datasource.access"), "login": (401, "auth.required")}
        assert (response.status_code, body["type"]) == kind[case["denied"]]
    else:
        assert response.status_code == 200, body
    if "emails" in case:
        rows = [entry["data"] for entry in body["entries"]]
        assert [row["Email"] for row in rows] == case["emails"]
        assert not any(column in row for row in rows for column in case["hidden"])
    if "stored_after" in case:
        key = ids[case["entry"]] if "entry" in case else body["id"]
        assert case["stored_after"].items() <= Entry.objects.get(pk=key).data.items()


def ask(client: Client, url: str, case: dict[str, Any], ids: dict[str, int], headers: Any) -> Any:
    if case["operation"] == "find":
        body = {"type": "select", **({"where": case["where"]} if "where" in case else {})}
        return client.post(
            f"{url}/query", json.dumps(body), content_type="application/json", headers=headers
        )
    if case["operation"] == "remove":
        return client.delete(f"{url}/{ids[case['entry']]}", headers=headers)
    where = f"{url}/{ids[case['entry']]}" if "entry" in case else url
    return client.put(
        where, json.dumps(case["data"]), content_type="application/json", headers=headers
    )
