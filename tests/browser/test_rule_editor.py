"""The rule editor in a browser, under a strict policy: what it promises to hands, keys and eyes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.test import Client

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.format import pretty
from rowkeeper.rules.repository.canonical import in_order
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.engine.test_examples import ask
from tests.reference import random_cases
from tests.support.browser import *  # noqa: F403
from tests.support.browser import axe
from tests.support.people import headers_of, sign_in_source

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EMPLOYEES = json.loads((Path(__file__).parents[1] / "cases" / "employees.json").read_text())
WANTED = in_order(
    [{k: v for k, v in rule.items() if k != "enabled"} for rule in EMPLOYEES["rules"]]
)


def make(name: str, rules: Any = (), **fields: Any) -> DataSource:
    source = DataSource(name=name, **{"columns": EMPLOYEES["columns"], **fields})
    saving.save(source)
    save_rules(source, list(rules))
    return DataSource.objects.get(pk=source.pk)


def change_page(page: Any, source: DataSource) -> None:
    page.goto(f"/admin/rowkeeper_datasources/datasource/{source.pk}/change/")
    page.locator(".rowkeeper-rules").wait_for()
    # What is asked of the server first moves what the mouse is about to meet.
    page.wait_for_load_state("networkidle")


def text_of(page: Any) -> str:
    return str(page.locator("#id_rules").input_value())


def rules_on(page: Any) -> Any:
    return json.loads(text_of(page))


def saved(page: Any) -> None:
    """By somebody who means what they save: what is asked about is ticked."""
    page.locator("[name=_save]").click()
    page.locator(".messagelist .success, #id_confirmed").first.wait_for()
    if page.locator("#id_confirmed").count():
        page.locator("#id_confirmed").check()
        page.locator("[name=_save]").click()
    page.locator(".messagelist .success").wait_for()


def people() -> DataSource:
    return sign_in_source("People", list(EMPLOYEES["users"].values()))


def filled(source: DataSource) -> dict[str, int]:
    """The rows of the worked example, anew; by the address of each, the number of its entry."""
    held = registry.source_of(source)
    with store.writing(held, [], whole=True):
        source.entries.all().delete()
        return {row.data["Email"]: row.id for row in store.insert(held, EMPLOYEES["entries"])}


def answers(source: DataSource, users: DataSource) -> dict[str, tuple[int, list[str]]]:
    """What the API answers to each case of the worked example: status, and whose rows."""
    found, client = {}, Client()
    # Once each: who signs in again and again is stopped.
    signed_in = {
        name: headers_of(Client(), users, row["Email"]) for name, row in EMPLOYEES["users"].items()
    }
    for case in EMPLOYEES["cases"]:
        headers = signed_in.get(case["as"], {})
        response = ask(client, f"/v1/data-sources/{source.pk}/data", case, filled(source), headers)
        rows = (
            response.json()["entries"] if "emails" in case and response.status_code == 200 else []
        )
        found[case["name"]] = (response.status_code, [row["data"]["Email"] for row in rows])
    return found


# What the worked example says of each case.
BEHAVES = {
    case["name"]: (
        {None: 200, "rules": 400, "login": 401}[case.get("denied")],
        case.get("emails", []),
    )
    for case in EMPLOYEES["cases"]
}


def bob_is_denied(page: Any, source: DataSource) -> None:
    """The panel beside the rules, which are not saved, has said why Bob gets no other role."""
    page.locator(".rks-verdict").wait_for()
    verdict = page.locator(".rks-verdict").inner_text()
    assert "Denied" in verdict and "update: 400" in verdict
    said = page.locator(".rks-trace > li").all_inner_texts()
    assert ["does not allow writes to Role" in text for text in said] == [False, False, True, False]
    assert ("rule 3 would have granted the request without Role") in page.locator(
        ".rks-nearest"
    ).inner_text()
    # And on the row of the list; nothing was saved, and the page is the one of the rules.
    assert (
        "does not allow writes" in page.locator(".rk-rule").nth(2).locator(".rk-paint").inner_text()
    )
    assert page.url.endswith(f"/datasource/{source.pk}/change/")
    assert rules_of(source) == []
    assert source.entries.get(data__Email="bob@acme.com").data["Role"] == "User"


RAISED = '{"Email": "bob@acme.com", "Role": "Admin"}'


# -- by mouse alone


class Mouse:
    """Clicks and drags: every text of a rule is chosen from what is offered."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def pick(self, field: Any, value: str) -> None:
        field.click()
        self.page.locator(f'[role=option][data-value="{value}"]:visible').first.click()

    def preset(self, name: str) -> Any:
        self.page.locator(".rk-add").click()
        self.page.locator(f"[data-preset={name}]").click()
        return self.page.locator("dialog")

    def add(self) -> None:
        self.page.get_by_role("button", name="Add the rule").click()
        self.page.locator("dialog").wait_for(state="detached")

    def hide(self, within: Any, label: str, *columns: str) -> None:
        for column in columns:
            self.pick(within.get_by_role("combobox", name=f"Add to: {label}"), column)

    def require(self, rule: Any, column: str, test: str, kind: str = "", value: str = "") -> None:
        rule.get_by_role("button", name="Add a requirement").click()
        line = rule.locator(".rk-line").last
        self.pick(line.get_by_role("combobox", name=re.compile("column$")), column)
        # The list of a `select` is the system's: no page can click into it.
        line = rule.locator(".rk-line").last
        line.get_by_role("combobox", name=re.compile("test$")).select_option(test)
        if kind:
            line = rule.locator(".rk-line").last
            line.get_by_role("combobox", name=re.compile("kind of value$")).select_option(kind)
            self.pick(line.get_by_role("combobox", name=re.compile("value$")).last, value)

    def drag(self, number: int, above: int) -> None:
        rules, mouse = self.page.locator(".rk-rule"), self.page.mouse
        grip = rules.nth(number - 1).locator(".rk-grip")
        grip.scroll_into_view_if_needed()
        grip.hover()
        mouse.down()
        # Until the row is where it is to be, as the rows of the page move: warnings appear in them,
        # and the page scrolls near its edges.
        for _ in range(30):
            box = rules.nth(above - 1).bounding_box()
            mouse.move(box["x"] + 20, box["y"] + 2, steps=5)
            if "rk-dragged" in (rules.nth(above - 1).get_attribute("class") or ""):
                break
        mouse.up()

    def ask_as(self, users: DataSource, name: str, operation: str, entry: int, body: str) -> None:
        """What is asked is text of one's own: its fields are clicked into, and filled."""
        panel = self.page.locator(".rks")
        panel.locator("#rks-kind").click()
        panel.locator("#rks-kind").select_option("row")
        panel.locator("#rks-source").select_option(str(users.pk))
        panel.locator("#rks-operation").select_option(operation)
        for field, text in (("#rks-name", name), ("#rks-entry", str(entry)), ("#rks-body", body)):
            panel.locator(field).click()
            self.page.keyboard.insert_text(text)
        panel.get_by_role("button", name="Ask", exact=True).click()


@pytest.mark.everywhere
def test_employees_by_mouse_alone(page: Any) -> None:
    users, source = people(), make("Employees")
    bob_is = filled(source)["bob@acme.com"]
    change_page(page, source)
    mouse = Mouse(page)
    mouse.preset("admins")
    mouse.add()
    dialog = mouse.preset("own-rows")
    dialog.get_by_role("checkbox", name="Read").click()
    mouse.hide(dialog, "Columns to hide from them", "Role", "Admin", "Permissions")
    mouse.add()
    dialog = mouse.preset("signed-in")
    mouse.hide(dialog, "Columns to hide", "Password", "Salary")
    mouse.add()
    mouse.preset("empty")
    mouse.add()
    rule = page.locator(".rk-rule").nth(3)
    rule.get_by_role("checkbox", name="Read").click()
    rule.get_by_role("checkbox", name="Add").click()
    mouse.require(rule, "Email", "given")
    mouse.require(rule, "First Name", "given")
    mouse.require(rule, "Email", "equals", "user", "Email")
    mouse.require(rule, "Role", "equals", "text", "User")
    rule.get_by_role("radio", name="All but").click()
    mouse.hide(rule, "All columns but these", "Admin", "Permissions")
    # The two in the middle were made the other way round: folded, one is dragged above the other.
    assert in_order(rules_on(page)) == [WANTED[at] for at in (0, 2, 1, 3)]
    for opener in page.locator("[aria-expanded=true].rk-opener").all()[::-1]:
        opener.click()
    mouse.drag(3, above=2)
    assert in_order(rules_on(page)) == WANTED
    mouse.ask_as(users, "bob@acme.com", "update", bob_is, RAISED)
    bob_is_denied(page, source)
    saved(page)
    assert rules_of(source) == WANTED
    assert answers(source, users) == BEHAVES
    # Another order and one rule less; and back to what was.
    change_page(page, source)
    page.get_by_role("button", name="Move rule 4 up").click()
    page.get_by_role("switch", name="Rule 2 is on").click()
    saved(page)
    bob = headers_of(Client(), users, "bob@acme.com")
    read = f"/v1/data-sources/{source.pk}/data"
    assert Client().get(read, headers=bob).status_code == 400
    page.goto(f"/admin/rowkeeper_datasources/datasource/{source.pk}/rules/history/")
    page.get_by_role("link", name=re.compile("^Revision")).last.click()
    page.locator("#id_confirmed").click()
    page.get_by_role("button", name=re.compile("^Restore")).click()
    page.locator(".messagelist .success").wait_for()
    assert rules_of(source) == WANTED
    assert answers(source, users) == BEHAVES


# -- by keyboard alone


class Keys:
    """Tab, arrows, Enter and letters, and nothing else."""

    def __init__(self, page: Any) -> None:
        self.page, self.press, self.type = page, page.keyboard.press, page.keyboard.type

    def to(self, selector: str, key: str = "Tab", most: int = 150) -> None:
        for _ in range(most):
            if self.page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            self.press(key)
        pytest.fail(f"no {key} leads to {selector}")

    def enter(self, selector: str, key: str = "Tab") -> None:
        self.to(selector, key)
        self.press("Enter")

    def preset(self, name: str) -> None:
        self.enter(".rk-add")
        self.enter(f"[data-preset={name}]")

    def fill(self, label: str, *values: str) -> None:
        self.to(f'[aria-label="{label}"]')
        for value in values:
            self.type(value)
            self.press("Enter")

    def add(self) -> None:
        self.to("dialog .rk-primary")
        self.press("Enter")
        self.page.locator("dialog").wait_for(state="detached")

    def require(
        self, number: int, column: str, test: str = "", kind: str = "", value: str = ""
    ) -> None:
        self.to("[data-rk=add]")
        self.press("Enter")
        assert self.page.evaluate("document.activeElement.placeholder") == "Column"
        self.type(column)
        self.press("Enter")
        self.to(f'[aria-label="Condition {number}, test"]')
        if test:
            self.press(test)
        if kind:
            self.to(f'[aria-label="Condition {number}, kind of value"]')
            self.press(kind)
        if value:
            self.to(f'[aria-label="Condition {number}, value"]')
            self.type(value)
            self.press("Enter")

    def ask_as(self, users: str, name: str, operation: str, entry: int, body: str) -> None:
        self.to("#rks-kind")
        self.type("user of")
        fields = {"source": users, "name": name, "operation": operation, "entry": entry}
        for field, text in {**fields, "body": body}.items():
            self.to(f"#rks-{field}")
            self.type(str(text))
        self.press("Control+Enter")


def test_employees_by_keyboard_alone(page: Any) -> None:
    users, source = people(), make("Employees")
    bob_is = filled(source)["bob@acme.com"]
    change_page(page, source)
    keys = Keys(page)
    keys.preset("admins")
    keys.add()
    keys.preset("signed-in")
    keys.fill("Add to: Columns to hide", "Password", "Salary")
    keys.add()
    keys.preset("own-rows")
    keys.to("dialog input[value=select]")
    keys.press("Space")
    keys.fill("Add to: Columns to hide from them", "Role", "Admin", "Permissions")
    keys.add()
    keys.preset("empty")
    keys.add()
    keys.to(".rk-rule:nth-child(4) [value=select]")
    keys.press("Space")
    keys.to("[value=insert]")
    keys.press("Space")
    keys.to("[value=loggedIn]")
    keys.require(1, "Email", test="Home")
    keys.require(2, "First Name", test="Home")
    keys.require(3, "Email", kind="Home", value="Email")
    keys.require(4, "Role", value="User")
    keys.to('.rk-rule:nth-child(4) [data-property="include exclude"] [type=radio]')
    keys.press("ArrowDown")
    keys.fill("Add to: All columns but these", "Admin", "Permissions")
    assert in_order(rules_on(page)) == WANTED
    # Down and up again: the order is told, and the focus stays.
    keys.to('[aria-label="Move rule 4 up"]', "Shift+Tab")
    keys.press("Enter")
    assert page.locator(".rowkeeper-rules [role=status].rowkeeper-hidden").inner_text() == (
        "Rule 4 is now rule 3 of 4."
    )
    assert page.evaluate("document.activeElement.ariaLabel") == "Move rule 3 up"
    keys.to('[aria-label="Move rule 3 down"]')
    keys.press("Enter")
    assert in_order(rules_on(page)) == WANTED
    keys.ask_as("People", "bob@acme.com", "update", bob_is, RAISED)
    bob_is_denied(page, source)
    keys.enter("[name=_save]", "Shift+Tab")
    page.locator("#id_confirmed").wait_for()
    keys.to("#id_confirmed")
    keys.press("Space")
    keys.enter("[name=_save]")
    page.locator(".messagelist .success").wait_for()
    assert rules_of(source) == WANTED
    assert answers(source, users) == BEHAVES
    # From the list of data sources to the page, and one rule less.
    page_of = f"a[href$='/datasource/{source.pk}/change/']"
    keys.enter(f"#result_list {page_of}")
    page.locator(".rk-rule").nth(3).wait_for()
    keys.to('[aria-label="Rule 3 is on"]')
    keys.press("Space")
    keys.enter("[name=_save]")
    page.locator(".messagelist .success").wait_for()
    assert answers(source, users) == {**BEHAVES, "a user updates the own record": (400, [])}
    # The history of the rules, the revision before, and back to that.
    keys.enter(f"#result_list {page_of}")
    page.locator(".rk-rule").nth(3).wait_for()
    keys.enter("a[href$='/rules/history/']")
    page.locator(".rowkeeper-history").wait_for()
    keys.enter(".rowkeeper-history > li:last-child a")
    page.locator("#back").wait_for()
    keys.to("#id_confirmed")
    keys.press("Space")
    keys.enter("[type=submit].default")
    page.locator(".messagelist .success").wait_for()
    assert rules_of(source) == WANTED
    assert answers(source, users) == BEHAVES


# -- the list

THREE = [
    {"name": "one", "type": ["select"], "allow": "all"},
    {"name": "two", "type": ["insert"], "allow": "loggedIn"},
    {"name": "three", "type": ["select", "delete"], "allow": "loggedIn"},
]


def wait_for_summary(page: Any) -> None:
    """Wait until the page says who gets in, which moves what is below it.

    Not by `wait_for_function`, whose polling the content security policy refuses.
    """
    from playwright.sync_api import expect

    expect(page.locator(".rk-access span").first).not_to_contain_text("…")


def names(page: Any) -> list[str]:
    return [rule.get("name") for rule in rules_on(page)]


def test_rules_are_dragged_switched_off_deleted_and_brought_back(page: Any) -> None:
    source = make("Notes", THREE)
    change_page(page, source)
    wait_for_summary(page)
    grip, first = page.locator(".rk-grip").nth(2), page.locator(".rk-rule").nth(0)
    grip.hover()
    page.mouse.down()
    box = first.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 30, steps=5)
    page.mouse.move(box["x"] + 20, box["y"] + 2, steps=5)
    page.mouse.up()
    assert names(page) == ["three", "one", "two"]
    page.locator(".rk-grip").nth(0).hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 400, steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert names(page) == ["three", "one", "two"]
    page.get_by_role("switch", name="Rule 2 is on").click()
    page.get_by_role("button", name=re.compile("two")).click()
    page.locator(".rk-danger").click()
    assert names(page) == ["three", "one"]
    page.get_by_role("button", name="Undo").click()
    assert names(page) == ["three", "one", "two"]
    saved(page)
    assert rules_of(source) == [THREE[2], {**THREE[0], "enabled": False}, THREE[1]]


def test_chips_say_who_gets_in_and_filter(page: Any) -> None:
    change_page(page, make("Notes", THREE))
    chip = page.locator("[data-operation=insert]")
    wait_for_summary(page)
    assert "signed in" in chip.inner_text()
    assert "nobody" in page.locator("[data-operation=update]").inner_text()
    chip.click()
    assert page.locator(".rk-rule:visible").count() == 1
    page.get_by_role("button", name="Move rule 2 up").click()
    assert names(page) == ["one", "two", "three"]
    chip.click()
    assert page.locator(".rk-rule:visible").count() == 3


def test_a_decision_is_painted_and_changes_are_told(page: Any) -> None:
    change_page(page, make("Notes", THREE))
    page.evaluate(
        """() => {
        const area = document.getElementById("id_rules");
        window.told = [];
        document.addEventListener("rowkeeper:rules", ({ detail }) => window.told.push(detail.text));
        area.dispatchEvent(new CustomEvent("rowkeeper:paint", { detail: { lines: [
            { position: 1, code: "allow", text: "does not apply to this", granted: false },
            { position: 2, code: "granted", text: "grants", granted: true },
        ] } }));
    }"""
    )
    assert page.locator(".rk-paint:visible").all_inner_texts() == [
        "does not apply to this",
        "grants",
    ]
    assert page.locator("[data-painted=granted]").count() == 1
    page.get_by_role("button", name="Move rule 1 down").click()
    assert page.evaluate("window.told") == [text_of(page)]
    assert page.locator(".rk-paint:visible").count() == 0


# -- nothing is lost


ODD: list[Any] = [
    {"type": ["select"], "allow": {"user": {"Age": {"equals": 1.0}, "2": {"equals": 2**53 + 1}}}},
    {"type": ["select"], "allow": "all", "include": ["a"], "exclude": ["b"], "appId": []},
    {"script": "# ünïcödé \\ \"\nreturn {'granted': True}\n", "name": "😀 <b>", "enabled": False},
    {
        "require": [
            "a",
            {"b": {"contains": "x", "on": "stored", "equals": 1e21}, "a": {"notequals": -0.5}},
            {"10": {"equals": "{{ user.[First Name] }}"}, "9": {"equals": 1e-7}},
        ],
        "allow": {"tokens": [3, 1]},
        "type": ["update", "select"],
    },
]


def odd_lists(count: int) -> list[list[Any]]:
    """Valid lists with unusual shapes."""
    rnd = Random(random_cases.SEED)
    found = []
    for _ in range(count):
        rules = [
            random_cases.rule(rnd, rnd.choice(random_cases.OPERATIONS))
            for _ in range(rnd.randint(0, 5))
        ]
        rules += rnd.sample(ODD, rnd.randint(0, 2))
        for rule in rules:
            if random_cases.chance(rnd, 0.3):
                rule = {**rule, "name": rnd.choice(random_cases.TEXTS).replace("\x00", "")}
        rnd.shuffle(rules)
        found.append([dict(rnd.sample(list(rule.items()), len(rule))) for rule in rules])
    return found


OPEN_AND_READ = """async (texts) => {
    const { RuleList } = await import("/static/rowkeeper/rules/editor.js");
    const form = document.getElementById("id_rules").form;
    const data = document.getElementById("id_rules").dataset.rowkeeperRules;
    return texts.map((text) => {
        const area = document.createElement("textarea");
        area.dataset.rowkeeperRules = data;
        area.value = text;
        form.append(area);
        const list = new RuleList(area);
        for (const row of list.rows.values()) {
            row.toggle(true, "form");
            row.toggle(true, "json");
            row.toggle(false);
        }
        const opened = area.value;
        const [first, last] = [list.items[0], list.items.at(-1)];
        // There and back: what is not changed keeps its text to the letter.
        if (first !== last) {
            list.move(first, list.items.length - 1);
            list.move(first, 0);
        }
        const moved = area.value;
        if (first) { list.edited(first); }
        const edited = area.value;
        list.root.remove();
        return [opened, moved, edited];
    });
}"""


def test_opening_changes_nothing_in_200_lists(page: Any) -> None:
    page.route(
        "**/check-rules/",
        lambda route: route.fulfill(json={"problems": [], "rules": [], "access": {}}),
    )
    change_page(page, make("Notes"))
    texts = [pretty(rules, 2) for rules in odd_lists(200)]
    for text, (opened, moved, edited) in zip(
        texts, page.evaluate(OPEN_AND_READ, texts), strict=True
    ):
        assert opened == text
        assert moved == text
        # A rule that is written anew is written as the server writes it.
        assert edited == text


def test_saving_without_a_change_changes_nothing(page: Any) -> None:
    for number, rules in enumerate([ODD, *odd_lists(40)[1::20]]):
        source = make(f"Notes {number}", rules, columns=random_cases.COLUMNS)
        before = json.dumps(rules_of(source))
        change_page(page, source)
        for opener in page.locator(".rk-opener").all():
            opener.click()
        saved(page)
        assert json.dumps(rules_of(source)) == before
        assert DataSource.objects.get(pk=source.pk).revision == source.revision


def test_one_edit_leaves_all_else_as_it_was_typed(page: Any) -> None:
    change_page(page, make("Notes"))
    odd = '{"type":["select"],  "allow" : {"user":{"Age":{"equals":1.50}}}}'
    typed = f'[ {odd},\n{{"allow":"all","type":["delete"]}} ]'
    page.locator("#id_rules").fill(typed)
    page.locator(".rk-opener").nth(1).click()
    page.get_by_role("checkbox", name="Change").click()
    assert odd in text_of(page)
    assert rules_on(page)[1] == {"allow": "all", "type": ["update", "delete"]}
    page.locator(".rk-opener").nth(0).click()
    page.locator(".rk-name").first.fill("who is one and a half")
    assert '"Age": {"equals": 1.50}' in text_of(page)


# -- JSON, and rules from elsewhere


def test_what_the_form_has_no_words_for_stays_json(page: Any) -> None:
    source = make(
        "Notes", [{"type": ["select"], "allow": "all", "include": ["A"], "exclude": ["B"]}]
    )
    change_page(page, source)
    page.locator(".rk-opener").click()
    raw = page.locator(".rk-body").get_by_role("textbox", name="as JSON")
    raw.last.fill('["C"')
    assert "cannot" not in text_of(page)
    page.locator("[name=_save]").click()
    page.locator(".errorlist").first.wait_for()
    assert rules_of(source)[0]["exclude"] == ["B"]
    page.locator("#id_rules").fill(
        '[{"type": ["select"], "allow": "all", "colour": [1, {"a": 2.0}]}]'
    )
    page.locator(".rk-opener").click()
    assert page.get_by_role("textbox", name="`colour`").input_value() == '[1, {"a": 2.0}]'
    page.get_by_role("button", name="Remove `colour`").click()
    saved(page)
    assert rules_of(source) == [{"type": ["select"], "allow": "all"}]


def test_one_rule_as_json_and_back(page: Any) -> None:
    source = make("Notes", THREE)
    change_page(page, source)
    page.locator(".rk-opener").nth(1).click()
    page.get_by_role("button", name="JSON", exact=True).click()
    area = page.get_by_role("textbox", name="Rule 2 as JSON")
    area.fill('{"name": "two", "type": ["insert"], "allow": "all",')
    assert "expected" in page.locator(".rk-body .rk-note").inner_text()
    area.fill('{"name": "two", "type": ["insert"], "allow": "all", "exclude": ["Role"]}')
    page.get_by_role("button", name="Form", exact=True).click()
    assert page.locator(".rk-chip bdi").all_inner_texts() == ["Role"]
    saved(page)
    assert rules_of(source) == [
        THREE[0],
        {**THREE[1], "allow": "all", "exclude": ["Role"]},
        THREE[2],
    ]


FLIPLET = """{"accessRules": [
  {"type": "select", "allow": "loggedIn", "enabled": "true", "id": 7, "appId": ["12"]},
  {"type": ["SELECT"], "allow": {"user": {"Role": "Admin"}}, "enabled": true, "name": ""},
  {"type": ["update"], "allow": {"tokens": ["42857"]}, "enabled": false, "platform": ["web"]},
  {"script": "if (!user) { return { granted: false }; }", "enabled": true}
]}"""


def test_rules_from_elsewhere_are_converted_or_named(page: Any) -> None:
    change_page(page, make("Notes"))
    page.locator(".rk-add").click()
    page.locator("[data-preset=paste]").click()
    page.get_by_role("textbox", name="Rules as JSON").fill(json.dumps(EMPLOYEES["rules"]))
    page.get_by_role("button", name="Add the rules").click()
    assert rules_on(page) == EMPLOYEES["rules"]
    assert page.locator("[data-of=paste]").count() == 0
    page.locator("#id_rules").fill("[]")
    page.locator(".rk-add").click()
    page.locator("[data-preset=paste]").click()
    page.get_by_role("textbox", name="Rules as JSON").fill(FLIPLET)
    page.get_by_role("button", name="Add the rules").click()
    assert rules_on(page) == [
        {"type": ["select"], "allow": "loggedIn", "enabled": True, "appId": [12]},
        {"type": ["select"], "allow": {"user": {"Role": {"equals": "Admin"}}}, "enabled": True},
        # What may have narrowed a rule stays, so that it is not saved unseen.
        {"type": ["update"], "allow": {"tokens": [42857]}, "enabled": False, "platform": ["web"]},
        {"script": "if (!user) { return { granted: false }; }", "enabled": True},
    ]
    told = page.locator(".rk-message").inner_text()
    for word in ("`id`", "`appId`", "`tokens`", "`platform`", "JavaScript"):
        assert word in told


# -- scripts


def test_a_script_has_an_editor_that_completes(page: Any) -> None:
    people()
    source = make("Employees")
    change_page(page, source)
    loaded = (
        "performance.getEntriesByType('resource').some((e) => e.name.includes('script-editor'))"
    )
    assert not page.evaluate(loaded)
    page.locator(".rk-add").click()
    page.locator("[data-preset=script]").click()
    content = page.locator(".cm-content")
    content.wait_for()
    assert page.evaluate(loaded)
    content.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("if user.Dep")
    page.locator(".cm-tooltip-autocomplete").wait_for()
    page.wait_for_timeout(150)
    page.keyboard.press("Enter")
    page.keyboard.type(" == 'IT':\nreturn {'granted': True")
    assert (
        rules_on(page)[0]["script"] == "if user.Department == 'IT':\n    return {'granted': True}"
    )
    # What is wrong is marked where it is, as one types.
    page.keyboard.press("End")
    page.keyboard.type("\nimport os")
    page.locator(".cm-lintRange-error").wait_for()
    assert page.locator(".cm-lintRange-error").inner_text().startswith("import")
    # Tab leads out: no trap.
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('.rk-script-host')")


# -- for eyes: the page as a whole stands in `test_admin_looks`


def test_axe_finds_nothing_serious_in_a_dialog(page: Any) -> None:
    people()
    change_page(page, make("Employees", EMPLOYEES["rules"]))
    page.locator(".rk-add").click()
    page.locator("[data-preset=own-rows]").click()
    # Before axe, which brings styles of its own.
    assert page.evaluate("window.violations") == []
    for scheme, width in [("dark", 1280), ("light", 390)]:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe(page, "dialog") == []
    page.evaluate("window.violations = []")
    page.faults.clear()
