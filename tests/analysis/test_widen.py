"""What a new list of rules would grant that the old one does not: cases, and the promise that where
nothing is found nothing is granted anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from rowkeeper.rules.analysis.context import LintContext
from rowkeeper.rules.analysis.escalation import Escalation, ParsedList, escalations
from rowkeeper.rules.engine.parse import parse_rules
from tests.reference import random_cases as make
from tests.reference.random_cases import SEED
from tests.reference.random_lists import Rules, changed, decided, place, random_list, request

EXAMPLE = json.loads((Path(__file__).parents[1] / "cases" / "employees.json").read_text())
LISTS, REQUESTS = 500, 25


def listed(rules: Any, around: LintContext) -> ParsedList:
    return ParsedList.of(rules, parse_rules(rules, frozenset(around.columns), around.secret)[0])


def found(before: Rules, after: Rules, around: LintContext) -> list[Escalation]:
    return escalations(listed(before, around), listed(after, around), around.columns)


def is_valid(rules: Rules, around: LintContext) -> bool:
    return not parse_rules(rules, frozenset(around.columns), around.secret)[1]


def test_where_nothing_is_found_nothing_is_granted_anew() -> None:
    rnd = Random(f"widen {SEED}")
    silent = granted = denied = 0
    for _ in range(LISTS):
        around = place(rnd)
        before = random_list(rnd)
        after = changed(rnd, before)
        if not (is_valid(before, around) and is_valid(after, around)):
            continue
        if found(before, after, around):
            continue
        silent += 1
        was, now = decided(before, around), decided(after, around)
        for _ in range(REQUESTS):
            ask = request(rnd, after or before)
            old, new = ask(was), ask(now)
            granted, denied = granted + new.granted, denied + (old.granted and not new.granted)
            assert old.granted or not new.granted, (before, after)
            if new.granted and new.operation != "delete":
                opened = [c for c in make.KEYS if new.shown.shows(c) and not old.shown.shows(c)]
                assert not opened or new.operation != "select", (before, after, opened)
    assert silent > LISTS // 8
    assert granted > silent
    assert denied > silent // 4


def test_the_same_list_widens_nothing() -> None:
    rnd = Random(f"same {SEED}")
    for _ in range(200):
        around = place(rnd)
        rules = random_list(rnd)
        if is_valid(rules, around):
            assert found(rules, rules, around) == [], rules
