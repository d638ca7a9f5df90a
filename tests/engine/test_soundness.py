"""Reads, read twice: random rules, people, rows and wheres, decided by the engine and by the small
reading in `reading`. What a granted select returns is what the where and the requirements select
by brute force, no row less and none more; hidden columns never appear; and whether one may fetch
an entry agrees with whether one may list it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.query.select import Projection, Select
from rowkeeper.datasources.query.where import all_of, matches, parse_where
from rowkeeper.rules.engine.decide import Decision, compile_rules, decide_delete, decide_select
from rowkeeper.rules.engine.requests import EntryRequest, QueryRequest
from tests.reference import random_cases as make
from tests.reference import reading
from tests.reference.random_cases import CASES, CHUNKS, COLUMNS, SEED

ROWS = 24


@dataclass
class Case:
    """One random question."""

    rules: list[dict[str, Any]]
    identity: Identity
    operation: str
    where: dict[str, Any]

    def __str__(self) -> str:
        return json.dumps(
            {
                "rules": self.rules,
                "user": self.identity.user,
                "token": self.identity.token_id,
                "app": self.identity.app_id,
                "where": self.where,
            },
            ensure_ascii=False,
        )

    def applies(self, rule: dict[str, Any], operation: str) -> bool:
        who = self.identity
        user = None if who.user is None else dict(who.user)
        return reading.applies(rule, operation, user, who.token_id, who.app_id)

    def wants(self, rule: dict[str, Any]) -> list[Any]:
        """The required names, and (column, operator, rendered value) of the conditions."""
        user = None if self.identity.user is None else dict(self.identity.user)
        return [
            item if isinstance(item, str) else (*item[:2], reading.rendered(item[2], user))
            for item in reading.required(rule)
        ]


def random_case(rnd: Random) -> Case:
    operation = rnd.choice(["select", "select", "select", "delete"])
    rules = [make.rule(rnd, operation) for _ in range(rnd.randint(1, 3))]
    if operation == "delete":
        rules.append(make.rule(rnd, "select"))
    identity = Identity(
        user=make.user(rnd), token_id=rnd.choice([None, 1, 2]), app_id=rnd.choice([None, 1, 2])
    )
    case = Case(rules, identity, operation, {})
    target = rnd.choice(rules)
    wants = [w for w in case.wants(target) if isinstance(w, str) or w[2] is not reading.UNMET]
    case.where = make.implying(rnd, wants) if make.chance(rnd, 0.75) else make.where(rnd)
    return case


# -- the reading of a whole decision


def conditions(wants: list[Any]) -> list[Any]:
    return [item for item in wants if not isinstance(item, str)]


def unmet(case: Case, wants: list[Any], deletes: bool) -> bool:
    """Whether the where leaves a requirement unimplied."""
    for item in wants:
        if not isinstance(item, str):
            test = None if item[2] is reading.UNMET else reading.table(*item)
        else:
            test = named(item, deletes)
        if test is None or not reading.implies(case.where, COLUMNS, test):
            return True
    return False


def named(wanted: str, deletes: bool) -> Any:
    """Any condition on a required column; for a delete, an equality."""
    return lambda column, op, operand: column == wanted and (op == "$eq" or not deletes)


def granting_rule(case: Case, operation: str) -> int | reading.Word | None:
    """The position of the rule that grants, None, or `OPEN`."""
    for position, rule in enumerate(case.rules, 1):
        if not case.applies(rule, operation):
            continue
        wants = case.wants(rule)
        if unmet(case, wants, operation == "delete"):
            continue
        hides = reading.names_hidden(rule, case.where, COLUMNS, conditions(wants))
        if hides is reading.OPEN:
            return reading.OPEN
        if not hides:
            return position
    return None


def holds_all(wants: list[Any], row: dict[str, Any]) -> bool:
    return all(
        reading.stored_meets(column, op, value, row) for column, op, value in conditions(wants)
    )


def decided(case: Case) -> tuple[Decision, Any]:
    ruleset = compile_rules(case.rules, COLUMNS)
    assert ruleset.problems == (), case
    ask = QueryRequest(parse_where(case.where, COLUMNS))
    decide = decide_select if case.operation == "select" else decide_delete
    return decide(ruleset, case.identity, ask), ruleset


def check_grant(case: Case, decision: Decision) -> list[dict[str, Any]] | None:
    """The engine grants as the reading does; the rules that limit the rows, None where denied."""
    position = granting_rule(case, case.operation)
    limits = [position]
    if case.operation == "delete" and position is not None:
        limits.append(granting_rule(case, "select"))
    if reading.OPEN in limits:
        return None
    granted = None not in limits
    assert decision.granted is granted, f"granted: {decision.granted}\n{case}"
    if not granted:
        return None
    assert decision.rule is not None
    assert decision.rule.position == position, case
    return [case.rules[int(limit) - 1] for limit in limits if isinstance(limit, int)]


def expected_rows(case: Case, limits: list[dict[str, Any]], rows: list[Any]) -> list[int]:
    wants = [case.wants(rule) for rule in limits]
    return [
        n
        for n, row in enumerate(rows)
        if reading.fits(case.where, row, COLUMNS) and all(holds_all(w, row) for w in wants)
    ]


def check_by_id(
    case: Case, decision: Decision, ruleset: Any, listed: list[int], rows: list[Any]
) -> None:
    """May I read entry n? Is n among what I can list? The same, by the same rule."""
    assert decision.rule is not None
    rule = case.rules[decision.rule.position - 1]
    bare = any(isinstance(item, str) for item in case.wants(rule))
    decide = decide_select if case.operation == "select" else decide_delete
    for n, row in enumerate(rows):
        if not reading.fits(case.where, row, COLUMNS):
            continue
        one = decide(ruleset, case.identity, EntryRequest([row]))
        same_rule = one.rule is not None and one.rule.position == decision.rule.position
        if same_rule and case.operation == "select":
            assert n in listed, f"{row}\n{case}"
        if n in listed and not bare:
            assert one.granted, f"{row}\n{case}"


def check_shown(decision: Decision, rule: dict[str, Any], case: Case) -> None:
    for column in make.KEYS:
        assert decision.shown.shows(column) is reading.shows(rule, column), f"{column}\n{case}"


def check_case(case: Case, rows: list[Any]) -> tuple[Decision, list[int]] | None:
    """In memory. The decision and the rows that it lets out, where it grants."""
    decision, ruleset = decided(case)
    limits = check_grant(case, decision)
    if limits is None:
        return None
    expected = expected_rows(case, limits, rows)
    run = all_of([parse_where(case.where, COLUMNS), decision.conditions])
    found = [n for n, row in enumerate(rows) if matches(run, row)]
    assert found == expected, f"{[rows[n] for n in set(found) ^ set(expected)]}\n{case}"
    check_by_id(case, decision, ruleset, found, rows)
    if case.operation == "select":
        check_shown(decision, limits[0], case)
    return decision, expected


# -- the tests


def chunks(parts: int) -> Any:
    return pytest.mark.parametrize("seed", [f"{SEED}-{n}" for n in range(parts)])


@pytest.fixture
def stored(db: None, seed: str) -> tuple[Source, list[int], list[dict[str, Any]]]:
    """A data source with hostile rows: itself, their ids, and the rows."""
    rnd = Random(seed)
    rows = [make.row(rnd) for _ in range(ROWS)]
    model = DataSource.objects.create(name="Random", columns=COLUMNS)
    source = registry.source_of(model)
    with store.writing(source, []):
        made = store.insert(source, rows)
    return source, [entry.id for entry in made], rows


@chunks(CHUNKS)
def test_a_granted_read_returns_what_both_readings_say(seed: str, stored: Any) -> None:
    """Every case in memory; a granted select through SQL too."""
    source, ids, rows = stored
    rnd = Random(f"cases {seed}")
    granted = 0
    for _ in range(CASES // CHUNKS):
        case = random_case(rnd)
        checked = check_case(case, rows)
        if checked is None:
            continue
        granted += 1
        decision, expected = checked
        run = all_of([parse_where(case.where, COLUMNS), decision.conditions])
        if case.operation == "delete":
            assert store.count(source, run) == len(expected), case
            continue
        check_sql(case, source, run, decision, {ids[n]: rows[n] for n in expected})
    assert granted > CASES // CHUNKS // 6, "too few cases grant for the test to mean something"


def check_sql(
    case: Case, source: Source, run: Any, decision: Decision, expected: dict[int, Any]
) -> None:
    assert decision.rule is not None
    rule = case.rules[decision.rule.position - 1]
    texts = store.select(source, Select(), run, decision.shown).entries
    found = {entry["id"]: entry["data"] for entry in map(json.loads, texts)}
    assert list(found) == list(expected), f"{set(found) ^ set(expected)}\n{case}"
    for key, row in expected.items():
        visible = {name: held for name, held in row.items() if reading.shows(rule, name)}
        assert reading.equal(found[key], visible), f"{found[key]}\n{visible}\n{case}"


@chunks(CHUNKS)
def test_a_where_means_the_same_in_memory_in_sql_and_in_the_reading(seed: str, stored: Any) -> None:
    source, ids, rows = stored
    rnd = Random(f"wheres {seed}")
    for _ in range(CASES // CHUNKS // 3):
        where = make.where(rnd)
        node = parse_where(where, COLUMNS)
        said = json.dumps(where, ensure_ascii=False)
        expected = [n for n, row in enumerate(rows) if reading.fits(where, row, COLUMNS)]
        memory = [n for n, row in enumerate(rows) if matches(node, row)]
        assert memory == expected, f"{said}\n{[rows[n] for n in set(memory) ^ set(expected)]}"
        texts = store.select(source, Select(), node, Projection()).entries
        sql = [ids.index(json.loads(text)["id"]) for text in texts]
        assert sql == expected, f"{said}\n{[rows[n] for n in set(sql) ^ set(expected)]}"
