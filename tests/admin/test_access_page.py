"""The page on who can do what: what it says is so, and it says it to whom it may."""

from __future__ import annotations

import csv
import io
import json
from html import unescape
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.analysis.access_matrix import Caller, access_to, callers, grants
from rowkeeper.rules.analysis.subsumption import RuleFacts
from rowkeeper.rules.engine.decide import compile_rules, decide_delete, decide_insert, decide_select
from rowkeeper.rules.engine.requests import EntryRequest, Insert, QueryRequest
from rowkeeper.rules.engine.rule import OPERATIONS
from tests.admin.test_admin import boss, make, staff, url
from tests.reference.random_cases import COLUMNS, SEED
from tests.reference.random_lists import random_list

__all__ = ["boss"]

EXAMPLE = json.loads((Path(__file__).parents[1] / "cases" / "employees.json").read_text())


# -- what it says is so


def as_identity(caller: Caller) -> Identity | None:
    """Somebody of that kind, and no other; None where that would take some thought."""
    if caller.allow.kind == "nobody":
        return Identity()
    if caller.allow.kind == "tokens":
        return Identity(token_id=min(caller.allow.tokens))
    user: dict[str, Any] = {}
    for test in caller.allow.conditions:
        if test.op != "equals" or not isinstance(test.operand, str) or "{{" in test.operand:
            return None
        user[test.column] = test.operand
    return Identity(user=user)


def test_what_is_always_so_is_granted_and_what_is_not_so_is_denied() -> None:
    rnd = Random(f"matrix {SEED}")
    granted = denied = 0
    for _ in range(150):
        rules = random_list(rnd)
        ruleset = compile_rules(rules, COLUMNS)
        if ruleset.problems:
            continue
        facts = [RuleFacts.of(rule) for rule in ruleset.rules]
        for caller in callers(ruleset.rules):
            identity = as_identity(caller)
            if identity is None:
                continue
            everything = QueryRequest(parse_where({}, COLUMNS))
            for operation, decide, ask in (
                ("select", decide_select, everything),
                ("insert", decide_insert, Insert([{}])),
                ("delete", decide_delete, EntryRequest([{}])),
            ):
                found = grants(facts, caller, operation)  # type: ignore[arg-type]
                decision = decide(ruleset, identity, ask)  # type: ignore[operator]
                if any(grant.kind == "yes" for grant in found):
                    granted += 1
                    if operation != "insert":
                        assert decision.granted, (rules, caller.allow, operation)
                elif not found and caller.allow.kind in ("nobody", "tokens"):
                    denied += 1
                    assert not decision.granted, (rules, caller.allow, operation)
    assert granted > 50
    assert denied > 50


def test_a_column_that_is_always_read_is_shown_and_one_that_never_is_is_hidden() -> None:
    rnd = Random(f"columns {SEED}")
    checked = 0
    for _ in range(150):
        ruleset = compile_rules(random_list(rnd), COLUMNS)
        if ruleset.problems:
            continue
        facts = [RuleFacts.of(rule) for rule in ruleset.rules]
        for caller in callers(ruleset.rules)[:2]:
            found = grants(facts, caller, "select")
            identity = Identity() if caller.allow.kind == "nobody" else Identity(user={})
            decision = decide_select(ruleset, identity, EntryRequest([{"Email": "a"}]))
            for column in COLUMNS:
                if access_to(found, column)[0] == "no":
                    checked += 1
                    assert not (decision.granted and decision.shown.shows(column))
    assert checked > 100


# -- the page

pages = pytest.mark.django_db


def address(**query: Any) -> str:
    parts = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{reverse('admin:rowkeeper_access')}?{parts}"


def csv_rows(client: Client, **query: Any) -> list[list[str]]:
    response = client.get(address(format="csv", **query))
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.reader(io.StringIO(text)))


@pages
def test_the_employees(boss: Client) -> None:
    source = make("Employees", columns=EXAMPLE["columns"], rules=EXAMPLE["rules"])
    html = unescape(boss.get(address(source=source.pk)).content.decode())
    for text in (
        "nobody signed in",
        "anyone signed in",
        "signed in, Role is “Admin”",
        "everything (rule 1)",
        "all but Password, Salary (rule 2)",
        "all but Role, Admin, Permissions, if Email is the user's Email (rule 3)",
        "Column by column",
    ):
        assert text in html, text
    rows = {tuple(row[2:5]): row[5:] for row in csv_rows(boss)[1:]}
    assert rows["anyone signed in", "read", "Salary"] == ["no", "", ""]
    assert rows["anyone signed in", "read", "Email"] == ["yes", "", "2"]
    assert rows["anyone signed in", "change", "Email"] == ["if", "Email is the user's Email", "3"]
    assert rows["anyone signed in", "change", "Role"] == ["no", "", ""]
    assert rows["anyone signed in", "delete", ""] == ["no", "", ""]
    assert rows["signed in, Role is “Admin”", "read", "Salary"] == ["yes", "", "1"]
    assert rows["signed in, Role is “Admin”", "delete", ""] == ["yes", "", "1"]
    assert rows["nobody signed in", "read", "Email"] == ["no", "", ""]
    assert len(rows) == 3 * (3 * len(EXAMPLE["columns"]) + 1)


@pages
def test_tokens_apps_and_scripts(boss: Client) -> None:
    rules = [
        {"type": ["select"], "allow": {"tokens": [7, 9]}, "appId": [3], "include": ["Email"]},
        {"script": "return {'granted': True}"},
        {"type": ["delete"], "allow": {"tokens": [7]}, "enabled": False},
    ]
    make("Staff", rules=rules)
    rows = {tuple(row[2:5]): row[5:] for row in csv_rows(boss)[1:]}
    assert rows["API token 7", "read", "Email"] == ["if", "only in app 3", "1"]
    assert rows["API token 9", "read", "Salary"] == ["script", "", "2"]
    assert rows["nobody signed in", "delete", ""] == ["script", "", "2"]


@pages
def test_no_cell_is_a_formula(boss: Client) -> None:
    evil = "=cmd|' /C calc'!A0"
    make("@evil", columns=[evil], rules=[{"type": ["select"], "allow": "all", "name": evil}])
    for row in csv_rows(boss):
        assert not any(cell[:1] in "=+-@\t\r" for cell in row if cell)
    assert "<b>" not in boss.get(address()).content.decode()


@pages
def test_it_is_about_those_whose_rules_one_may_change() -> None:
    mine = make("Mine", rules=[{"type": ["select"], "allow": "all"}])
    other = make("Other", rules=[{"type": ["select"], "allow": "all"}])
    ann = staff("ann", mine, "view", "change_rules")
    html = ann.get(address()).content.decode()
    assert "Mine" in html and "Other" not in html
    assert {row[1] for row in csv_rows(ann)[1:]} == {"Mine"}
    for number in (other.pk, 10**6, 10**30, "x", "²"):
        assert ann.get(address(source=number)).status_code == 404
        assert ann.get(address(source=number, format="csv")).status_code == 404
    bob = staff("bob", mine, "view", "change", "share")
    assert bob.get(address()).status_code == 403
    assert Client().get(address()).status_code == 302
    assert address().rstrip("?") in ann.get(url("changelist")).content.decode()
    assert address().rstrip("?") not in bob.get(url("changelist")).content.decode()


@pages
def test_it_costs_the_same_number_of_queries_however_much_there_is(boss: Client) -> None:
    def queries(page: str) -> int:
        boss.get(page)
        with CaptureQueriesContext(connection) as captured:
            assert boss.get(page).status_code == 200
        return len(captured)

    make("A", rules=[{"type": ["select"], "allow": "all"}])
    before = queries(address())
    for number in range(9):
        make(f"B{number}", rules=[{"type": [o], "allow": "all"} for o in OPERATIONS] * 5)
    assert queries(address()) == before
