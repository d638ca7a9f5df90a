"""The lines of the review before a save, in words, and the same lines in the history."""

from __future__ import annotations

from typing import Any

import pytest

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.describe.escalation import opened, review
from rowkeeper.rules.describe.history import history
from rowkeeper.rules.repository.rules import save_rules
from tests.reference.random_lists import Rules

COLUMNS = ["Name", "Department", "Salary"]
SIGNED_IN = "everyone who is signed in"
OWN = {"Department": {"equals": "{{user.[Department]}}"}}
READ: dict[str, Any] = {"type": ["select"], "allow": "loggedIn"}
CASES: list[tuple[str, Rules, Rules, list[str]]] = [
    (
        "a condition is dropped and a column is opened",
        [{**READ, "exclude": ["Salary"], "require": [OWN]}],
        [READ],
        [
            f"{SIGNED_IN} can read `Salary` (rule 1)",
            f"{SIGNED_IN} can read entries without the condition that Department is the user's "
            "Department (rule 1)",
        ],
    ),
    (
        "a rule that comes first is removed",
        [{**READ, "exclude": ["Salary"]}, {**READ, "allow": "all"}],
        [{**READ, "allow": "all"}],
        [
            "everyone, signed in or not, can read `Salary` (rule 1), where rule 1 of the old rules "
            "decided first"
        ],
    ),
    (
        "a hidden column can be named by repeating what the rule requires",
        [{**READ, "include": ["Name"]}],
        [{**READ, "include": ["Name"], "require": [{"Department": {"equals": "HR"}}]}],
        [
            f"{SIGNED_IN} can choose entries to read by `Department`, which they cannot see, if "
            "Department is “HR” (rule 1)"
        ],
    ),
    (
        "a delete may repeat an equality by `$in`, which gives no column",
        [{"type": ["delete"], "allow": "loggedIn", "require": ["Department"]}],
        [
            {"type": ["delete"], "allow": "loggedIn", "require": ["Department"]},
            {
                "type": ["delete"],
                "allow": "loggedIn",
                "require": [{"Department": {"equals": "HR"}}, "Salary"],
            },
        ],
        [
            f"{SIGNED_IN} can delete entries without the condition that Department is given, if "
            "Department is “HR” and Salary is given (rule 2)"
        ],
    ),
    (
        "a list of columns is replaced",
        [{**READ, "include": ["Name"]}],
        [{**READ, "exclude": ["Salary"]}],
        [f"{SIGNED_IN} can read `Department`, all columns that are added later (rule 1)"],
    ),
    (
        "the condition of an update on the stored record is dropped",
        [{"type": ["update"], "allow": "loggedIn", "require": [OWN]}],
        [
            {
                "type": ["update"],
                "allow": "loggedIn",
                "require": [{"Department": {**OWN["Department"], "on": "submitted"}}],
            }
        ],
        [
            f"{SIGNED_IN} can change entries without the condition that Department is the "
            "user's Department (in the stored entry), if Department is the user's Department "
            "(in the submitted data) (rule 1)"
        ],
    ),
    (
        "a read that a delete by query needs",
        [{"type": ["delete"], "allow": {"tokens": [7]}}],
        [{"type": ["delete"], "allow": {"tokens": [7]}}, {**READ, "allow": {"tokens": [7]}}],
        [
            "API token 7 can read everything (rule 2); people who can delete entries can then also "
            "select by these columns which ones to delete"
        ],
    ),
    (
        "a script that was asked first is removed",
        [{"script": "return None"}, READ],
        [READ],
        [
            f"{SIGNED_IN} can read everything (rule 1), without the script that was evaluated "
            "before (rule 1 of the old rules)"
        ],
    ),
    (
        "a rule that shows less comes first",
        [READ],
        [{**READ, "exclude": ["Salary"], "require": ["Name"]}, READ],
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_review_says(before: Rules, after: Rules, lines: list[str]) -> None:
    assert opened(before, after, COLUMNS) == lines


@pytest.mark.django_db
def test_the_history_shows_the_same_lines() -> None:
    _, before, after, lines = CASES[0]
    source = DataSource.objects.create(name="People", columns=COLUMNS)
    save_rules(source, before)
    assert review(source, after) == lines
    renamed = [{**after[0], "name": f"rule {number}"} for number in range(20)]
    for rules in (after, renamed):
        save_rules(source, rules)
    newest, second, _ = history(source, list(source.revisions.order_by("-number")), 3)
    assert second.lines[-2:] == lines
    assert newest.more > 0
