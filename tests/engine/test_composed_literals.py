"""An address in a rule means the person, however its accents are written."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.models import Entry
from rowkeeper.datasources.query.where import parse_where
from rowkeeper.rules.engine.decide import compile_rules, decide_select
from rowkeeper.rules.engine.requests import EntryRequest, QueryRequest
from rowkeeper.rules.repository.rules import save_rules
from tests.support.calls import Api, place
from tests.support.people import headers_of, sign_in_source

COMPOSED, DECOMPOSED = "jos\u00e9@acme.com", "jose\u0301@acme.com"
JOSE = Identity(user={"Email": COMPOSED})
SELECT: dict[str, Any] = {"type": ["select"], "allow": "all"}


@pytest.mark.parametrize("spelling", [COMPOSED, DECOMPOSED])
def test_a_rule_about_everybody_else_is_not_about_them(spelling: str) -> None:
    allow = {"user": {"Email": {"notequals": spelling}}}
    ruleset = compile_rules([{**SELECT, "allow": allow}], ["A"])
    ask = QueryRequest(parse_where({}))
    assert not decide_select(ruleset, JOSE, ask).granted
    assert decide_select(ruleset, Identity(user={"Email": "ann@acme.com"}), ask).granted


@pytest.mark.parametrize("spelling", [COMPOSED, DECOMPOSED])
def test_a_requirement_on_the_address_of_a_row(spelling: str) -> None:
    rules = [{**SELECT, "require": [{"Email": {"notequals": spelling}}]}]
    ruleset = compile_rules(rules, ["Email"], address="Email")
    assert not decide_select(ruleset, JOSE, EntryRequest([{"Email": COMPOSED}])).granted
    assert decide_select(ruleset, JOSE, EntryRequest([{"Email": "ann@acme.com"}])).granted
    where = parse_where({"Email": {"$ne": COMPOSED}})
    assert decide_select(ruleset, JOSE, QueryRequest(where)).granted
    only = compile_rules(
        [{**SELECT, "require": [{"Email": {"equals": spelling}}]}], ["Email"], address="Email"
    )
    assert decide_select(only, JOSE, EntryRequest([{"Email": COMPOSED}])).granted


def test_other_columns_are_compared_exactly() -> None:
    rules = [{**SELECT, "require": [{"Name": {"notequals": DECOMPOSED}}]}]
    ruleset = compile_rules(rules, ["Email", "Name"], address="Email")
    assert decide_select(ruleset, JOSE, EntryRequest([{"Name": COMPOSED}])).granted
    assert not decide_select(ruleset, JOSE, EntryRequest([{"Name": DECOMPOSED}])).granted


@pytest.mark.django_db
def test_over_http() -> None:
    people = sign_in_source("People", [{"Email": DECOMPOSED}, {"Email": "ann@acme.com"}])
    save_rules(people, [{**SELECT, "require": [{"Email": {"notequals": DECOMPOSED}}]}])
    there = place([{**SELECT, "allow": {"user": {"Email": {"notequals": DECOMPOSED}}}}], [{"A": 1}])
    jose, ann = Entry.objects.filter(data_source=people).order_by("id")
    address = f"data-sources/{people.pk}/data"
    for email, status in ((DECOMPOSED, 400), ("ann@acme.com", 200)):
        api = Api(headers_of(Client(), people, email))
        assert api("GET", there.data).status == status
        assert api("GET", f"{address}/{jose.pk}").failure == (400, "datasource.access")
        assert api("GET", f"{address}/{ann.pk}").status == 200
        found = api("POST", f"{address}/query", {"where": {"Email": {"$ne": COMPOSED}}})
        assert len(found.entries) == 1
