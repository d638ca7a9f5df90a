"""The admin's pages on rules as they are looked at: nothing serious for axe on the whole of each,
light, dark and on a telephone; nothing wider than the page; no violation of a strict policy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import make, url
from tests.support import calls
from tests.support.browser import *  # noqa: F403
from tests.support.browser import axe
from tests.support.people import sign_in_source

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EMPLOYEES = json.loads((Path(__file__).parents[1] / "cases" / "employees.json").read_text())
RULES = [
    *EMPLOYEES["rules"],
    {"name": "Sales figures", "script": "return {'granted': user.Role == 'Admin'}"},
    {"type": ["select"], "allow": {"user": {"Role": {"equals": "{{user.[Role]}}"}}}},
]
CSV = "$id,Email,First Name,City\n{},alice@acme.com,Alicia,Berlin\n,dave@acme.com,Dave,Oslo\n"
# Each page wide and on a telephone, light and dark; the longest in all four.
TWO = [("light", 1280), ("dark", 390)]
FOUR = [*TWO, ("light", 390), ("dark", 1600)]


@pytest.fixture
def source(transactional_db: None) -> DataSource:
    """The worked example, with a past: three revisions, and a request that was denied."""
    people = sign_in_source("People", list(EMPLOYEES["users"].values()))
    made = make("Employees", EMPLOYEES["entries"], RULES[:2], columns=EMPLOYEES["columns"])
    save_rules(made, RULES[1::-1], note="who is signed in comes first")
    save_rules(made, RULES)
    journal.reset()
    where = {"where": {"Salary": {"$gt": 90000}}}
    calls.bare_token()[1]("POST", f"data-sources/{made.pk}/data/query", where)
    journal.flush()
    assert people.pk and rules_of(made) == RULES
    return made


def change(page: Any, source: DataSource) -> None:
    """All of it: a form and a script are open, checks are shown, and the panel has answered."""
    page.goto(url("change", source.pk))
    page.locator(".rk-problem").first.wait_for()
    for number in (0, 3, 4):
        page.locator(".rk-opener").nth(number).click()
    page.locator(".cm-content").wait_for()
    page.locator("#rks-kind").select_option("data")
    page.locator("#rks-data").fill(json.dumps(EMPLOYEES["users"]["bob"]))
    page.locator(".rks-ask").click()
    page.locator(".rks-yes").wait_for()
    assert page.locator(".rk-paint:visible").count() == len(RULES)
    # The panel stands below the form, and not behind it.
    buttons, panel = (page.locator(name).bounding_box() for name in (".submit-row", ".rks"))
    assert panel["y"] > buttons["y"] + buttons["height"]


def review(page: Any, source: DataSource) -> None:
    """What stands on top of the page where a save would let people do more."""
    page.goto(url("change", source.pk))
    page.locator("#id_rules").fill('[{"type": ["select", "insert"], "allow": "all"}]')
    page.locator("[name=_save]").click()
    page.locator("#id_confirmed").wait_for()
    page.locator(".rk-problem").first.wait_for()


def history(page: Any, source: DataSource) -> None:
    page.goto(url("rules_history", source.pk))
    assert page.locator(".rowkeeper-history > li").count() == 3


def revision(page: Any, source: DataSource) -> None:
    """An old one, to which one can go back."""
    page.goto(url("rules_revision", source.pk, 1))
    page.locator("summary").click()
    page.locator("[type=submit].default").wait_for()


def decisions(page: Any, source: DataSource) -> None:
    page.goto(url("decisions", source.pk))
    page.locator(".rks-details").wait_for()


def refusals(page: Any, source: DataSource) -> None:
    """Requests that no rules decided, in a wide table."""
    headers = {"Auth-token": "rk_wrong"}
    for _ in range(2):
        Client().get("/v1/user", headers=headers)
    journal.flush()
    page.goto(f"{url('changelist')}refusals/")
    page.locator(".results tbody code").first.wait_for()


def access(page: Any, source: DataSource) -> None:
    page.goto(f"{url('changelist')}access/?source={source.pk}")
    page.locator("#by-column").wait_for()


def import_preview(page: Any, source: DataSource) -> None:
    page.goto(url("import", source.pk))
    text = CSV.format(source.entries.get(data__Email="alice@acme.com").pk)
    file = {"name": "staff.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files(file)
    page.locator("[name=mode][value=update]").check()
    page.locator("input[type=submit]").click()
    page.locator("[aria-label='Changed entries']").wait_for()


@pytest.mark.parametrize(
    "opened",
    [change, review, history, revision, decisions, refusals, access, import_preview],
    ids=lambda opened: opened.__name__,
)
def test_nothing_serious_is_found(
    page: Any, source: DataSource, opened: Callable[[Any, DataSource], None]
) -> None:
    opened(page, source)
    # Before axe, which brings styles of its own.
    assert [*page.evaluate("window.violations"), *page.faults] == []
    for scheme, width in FOUR if opened is change else TWO:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
        assert axe(page) == [], (scheme, width)
    page.evaluate("window.violations = []")
    page.faults.clear()
