"""The simulator and the decision log in a real browser, under a strict content security policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.decision_log.journal import journal
from tests.admin.test_admin import make, url
from tests.admin.test_simulator import ROWS, RULES
from tests.support import calls
from tests.support.browser import *  # noqa: F403
from tests.support.browser import axe
from tests.support.people import sign_in_source

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BOB = {"Email": "bob@x", "Dept": "Sales", "Role": "User"}


@pytest.fixture
def source(transactional_db: None) -> DataSource:
    return make("Staff", ROWS, RULES, columns=["Email", "Dept", "Role", "Salary"])


def shown(page: Any) -> str:
    return str(page.locator("[data-result]").inner_text())


def test_bob_raises_his_role_by_keyboard_alone(page: Any, source: DataSource) -> None:
    bob = Entry.objects.get(data_source=source, data__Email="bob@x").pk
    page.goto(url("change", source.pk))
    page.locator("#rks-kind").focus()
    page.keyboard.type("session")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(json.dumps(BOB))
    page.keyboard.press("Tab")
    page.keyboard.type("update")
    page.keyboard.press("Tab")
    page.keyboard.type(str(bob))
    page.keyboard.press("Tab")
    page.keyboard.type('{"Email": "bob@x", "Role": "Admin"}')
    page.keyboard.press("Control+Enter")
    page.locator(".rks-verdict").wait_for()
    text = shown(page)
    assert "Denied" in text and "update: 400" in text
    assert "Nearest miss: rule 3 would have granted the request without Role" in text
    assert "does not allow writes to Role" in text
    # Painted on the row of the list, and nothing was saved or sent as a form.
    painted = page.locator(".rk-list > li").nth(2)
    assert "does not allow writes" in painted.inner_text()
    assert page.url.endswith(url("change", source.pk))
    assert Entry.objects.get(pk=bob).data == ROWS[0]


def test_what_is_asked_at_once_waits_for_the_data_sources(page: Any, source: DataSource) -> None:
    sign_in_source("People", [BOB])

    def late(route: Any) -> None:
        if route.request.method == "GET":
            page.wait_for_timeout(300)
        route.continue_()

    page.route("**/simulate/", late)
    page.goto(url("simulator", source.pk))
    page.locator("#rks-kind").select_option("row")
    page.locator("#rks-name").fill("bob@x")
    page.locator(".rks-ask").click()
    page.locator(".rks-verdict").wait_for()
    assert "cannot be simulated" not in shown(page)


def test_rules_that_are_typed_are_asked(page: Any, source: DataSource) -> None:
    page.goto(url("change", source.pk))
    page.locator(".rks-ask").click()
    page.locator(".rks-no").wait_for()
    area = page.locator("textarea[name=rules]")
    area.fill('[{"type": ["select"], "allow": "all", "exclude": ["Salary"]}]')
    page.locator(".rks-yes").wait_for()
    masked = page.locator(".rks-result thead .rks-masked")
    assert masked.inner_text().lower() == "salaryhidden"
    assert DataSource.objects.get().revision == source.revision


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_denial_is_opened_and_nothing_serious_is_found(
    page: Any, source: DataSource, scheme: str, width: int
) -> None:
    journal.reset()
    calls.bare_token()[1]("POST", f"data-sources/{source.pk}/data/query", {"where": {"Salary": 1}})
    journal.flush()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(url("decisions", source.pk))
    page.get_by_role("link", name="Open in the simulator").click()
    page.locator("[data-logged]").wait_for()
    page.locator("#rks-body").fill('{"where": {"Dept": "Sales"}}')
    page.locator("#rks-kind").select_option("data")
    page.locator("#rks-data").fill(json.dumps(BOB))
    page.locator(".rks-ask").click()
    page.locator(".rks-yes").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Before axe, which brings styles of its own.
    assert [*page.evaluate("window.violations"), *page.faults] == []
    assert axe(page) == []
    page.evaluate("window.violations = []")
    page.faults.clear()


def test_a_link_asks_the_same(page: Any, source: DataSource) -> None:
    page.goto(url("simulator", source.pk))
    page.locator("#rks-kind").select_option("data")
    page.locator("#rks-data").fill(json.dumps(BOB))
    page.locator("#rks-body").fill('{"where": {"Dept": "Labs", "N": 9007199254740993}}')
    page.locator("[data-copy]").click()
    link = page.evaluate("location.href")
    assert "#ask=" in link
    page.goto("about:blank")
    page.goto(link)
    page.locator(".rks-no").wait_for()
    assert "with Dept = Sales" in shown(page)
    assert "9007199254740993" in page.locator("#rks-body").input_value()
