"""Saving rules in the admin: what lets people do more is asked about first, what somebody else has
changed is never lost, and every page of the history is for those alone who may change the rules.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import boss, confirmation, errors, form_of, make, rows, staff, url

__all__ = ["boss"]
pytestmark = pytest.mark.django_db

READ: dict[str, Any] = {"type": ["select"], "allow": "loggedIn", "exclude": ["Salary"]}
OPEN: dict[str, Any] = {"type": ["select"], "allow": "loggedIn"}
SCRIPT: dict[str, Any] = {"script": "return {'granted': True}"}


@pytest.fixture
def source(db: None) -> DataSource:
    return make("People", [{"Email": "a@x.com", "Name": "Ann", "Salary": 5}], [READ])


def post(client: Client, source: DataSource, rules: Any, **more: str) -> Any:
    address = url("change", source.pk)
    return client.post(address, {**form_of(client, address), "rules": json.dumps(rules), **more})


def read(response: Any) -> str:
    """A page as it is read: names, which it marks as code, in backquotes."""
    # <bdi>can read </bdi><code><bdi>Salary</bdi></code><bdi> (rule 1)</bdi>
    html = re.sub(r"<code><bdi>(.*?)</bdi></code>", r"`\1`", response.content.decode())
    return unescape(re.sub(r"</bdi>`(.*?)`(<bdi>|(?=<))", r"`\1`", html))


def panel(response: Any) -> list[str]:
    """The lines of the panels above the form."""
    found = re.findall(r'<div class="rowkeeper-review".*?</div>', read(response), re.S)
    return [text for part in found for text in re.findall(r"<bdi>(.*?)(?:</bdi>|</li>)", part)]


# -- the review


def test_what_opens_a_column_is_asked_about(boss: Client, source: DataSource) -> None:
    response = post(boss, source, [OPEN])
    assert response.status_code == 200
    assert panel(response) == ["everyone who is signed in can read `Salary` (rule 1)"]
    assert "more than the rules in force, so nothing was saved yet" in errors(response)
    assert rules_of(source) == [READ]
    sent = {"confirmed": confirmation(response), "note": "payroll asked for it"}
    assert post(boss, source, [OPEN], **sent).status_code == 302
    assert rules_of(source) == [OPEN]
    last = Revision.objects.get(data_source=source, number=2)
    assert (last.origin, last.note, last.saved_by_name) == ("admin", "payroll asked for it", "boss")


def test_another_list_asks_again(boss: Client, source: DataSource) -> None:
    asked = confirmation(post(boss, source, [OPEN]))
    for rules in ([{**OPEN, "allow": "all"}], [OPEN, {"type": ["delete"], "allow": "all"}]):
        response = post(boss, source, rules, confirmed=asked)
        assert response.status_code == 200
        assert confirmation(response) != asked
    assert rules_of(source) == [READ]


def test_a_confirmation_is_for_the_rules_in_force_and_this_data_source(
    boss: Client, source: DataSource
) -> None:
    asked = confirmation(post(boss, source, [OPEN]))
    other = make("Other", rules=[READ])
    assert post(boss, other, [OPEN], confirmed=asked).status_code == 200
    save_rules(source, [])
    assert post(boss, source, [OPEN], confirmed=asked).status_code == 200


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{**READ, "exclude": ["Salary", "Name"]}],
        [{**READ, "enabled": False}],
        [{**READ, "allow": {"user": {"Role": {"equals": "Admin"}}}}],
        [{**READ, "require": ["Email"]}],
        [{**READ, "name": "called so"}],
    ],
)
def test_what_lets_nobody_do_more_is_saved_at_once(
    boss: Client, source: DataSource, rules: Any
) -> None:
    assert post(boss, source, rules).status_code == 302
    assert rules_of(source) == rules


def test_of_scripts_it_is_said_that_it_cannot_be_told(boss: Client, source: DataSource) -> None:
    response = post(boss, source, [READ, SCRIPT])
    assert panel(response) == [
        "rule 2 is a script: this page cannot show whom it lets in, or what it allows"
    ]
    assert post(boss, source, [READ, SCRIPT], confirmed=confirmation(response)).status_code == 302
    # Where it stays as it is, nobody is asked about it again.
    assert post(boss, source, [READ, {**SCRIPT, "enabled": False}]).status_code == 302


def test_a_new_data_source_is_not_asked_about(boss: Client) -> None:
    sent = {"name": "New", "columns": "A", "app": "", "type": "", "definition": "{}"}
    response = boss.post(url("add"), {**sent, "rules": json.dumps([OPEN])})
    assert response.status_code == 302, errors(response)
    assert [each.origin for each in Revision.objects.all()] == ["admin"]


def test_rules_that_are_not_valid_are_not_asked_about(boss: Client, source: DataSource) -> None:
    response = post(boss, source, [{**OPEN, "allow": "everyone"}])
    assert panel(response) == []
    assert "`allow`" in errors(response)


def test_what_is_shown_is_escaped(boss: Client, source: DataSource) -> None:
    evil = "<img src=x>"
    DataSource.objects.filter(pk=source.pk).update(columns=["Salary", evil])
    save_rules(source, [{**READ, "exclude": [evil], "name": evil}], note=evil)
    pages = [
        post(boss, source, [OPEN]),
        boss.get(url("rules_history", source.pk)),
        boss.get(url("rules_revision", source.pk, 1)),
        boss.get(url("rules_revision", source.pk, 2)),
    ]
    for page in pages:
        assert evil not in page.content.decode()
        assert "&lt;img src=x&gt;" in page.content.decode()


# -- two at once


def test_what_the_other_changed_is_shown_beside_what_one_typed(
    boss: Client, source: DataSource
) -> None:
    opened = form_of(boss, url("change", source.pk))
    save_rules(source, [{**READ, "name": "Staff"}], note="a name for it")
    typed = json.dumps([READ, {"type": ["delete"], "allow": {"tokens": [7]}}])
    response = boss.post(url("change", source.pk), {**opened, "rules": typed})
    assert response.status_code == 200
    assert panel(response)[:4] == [
        "code or a shell",
        "a name for it",
        "rule 1 is now named “Staff”",
        "rule 2 is new: API token 7 can delete",
    ]
    assert rules_of(source) == [{**READ, "name": "Staff"}]


def test_what_one_did_not_touch_stays_the_others(boss: Client, source: DataSource) -> None:
    opened = form_of(boss, url("change", source.pk))
    save_rules(source, [OPEN])
    response = boss.post(url("change", source.pk), {**opened, "name": "Renamed"})
    assert response.status_code == 302, errors(response)
    source.refresh_from_db()
    assert (source.name, rules_of(source)) == ("Renamed", [OPEN])


# -- the pages


def test_the_history_tells_each_change(boss: Client, source: DataSource) -> None:
    save_rules(source, [{"type": ["delete"], "allow": "all"}, READ], note="for the clean-up")
    save_rules(source, [OPEN], User.objects.get(username="boss"), origin="admin")
    html = read(boss.get(url("rules_history", source.pk)))
    for text in (
        "the first recorded revision",
        "rule 1 is new: Everyone, signed in or not, can delete",
        "for the clean-up",
        "rule 1 no longer has `exclude`, which was `Salary`",
        "everyone who is signed in can read `Salary` (rule 1)",
        "everyone, signed in or not, can no longer delete entries (rule 1)",
        "boss, through the admin",
        "3 revisions",
    ):
        assert text in html, text
    assert html.index("Revision 3") < html.index("Revision 2") < html.index("Revision 1")
    assert url("rules_history", source.pk) in boss.get(url("change", source.pk)).content.decode()


def test_the_page_of_a_revision_shows_who_saved_it_and_its_changes(
    boss: Client, source: DataSource
) -> None:
    user = User.objects.get(username="boss")
    save_rules(source, [OPEN], user, origin="admin", note="for everyone")
    save_rules(source, [])
    older = read(boss.get(url("rules_revision", source.pk, 2)))
    for text in (
        "Revision 2",
        "boss, through the admin",
        "for everyone",
        "rule 1 no longer has `exclude`, which was `Salary`",
        "Restore revision 2",
    ):
        assert text in older, text
    newest = read(boss.get(url("rules_revision", source.pk, 3)))
    assert "These are the rules in force." in newest and "Restore revision" not in newest


def back(client: Client, source: DataSource, number: int, **more: str) -> Any:
    address = url("rules_revision", source.pk, number)
    seen = form_of(client, address).get("seen", "")
    return client.post(address, {"seen": seen, **more})


def test_going_back_is_a_new_revision(boss: Client, source: DataSource) -> None:
    save_rules(source, [])
    save_rules(source, [{**READ, "name": "again"}])
    response = back(boss, source, 2, note="too much")
    assert response.status_code == 302
    assert rules_of(source) == []
    last = Revision.objects.get(data_source=source, number=4)
    assert (last.reverts, last.note, last.origin) == (2, "too much", "admin")
    assert "reverted to revision 2" in LogEntry.objects.latest("pk").change_message


def test_going_back_to_more_is_confirmed(boss: Client, source: DataSource) -> None:
    save_rules(source, [])
    page = boss.get(url("rules_revision", source.pk, 1)).content.decode()
    assert "everyone who is signed in can read all but Salary (rule 1)" in page
    assert back(boss, source, 1).status_code == 200
    assert rules_of(source) == []
    assert back(boss, source, 1, confirmed="yes").status_code == 302
    assert rules_of(source) == [READ]


def test_going_back_is_refused_where_the_rules_are_others_by_now(
    boss: Client, source: DataSource
) -> None:
    save_rules(source, [])
    address = url("rules_revision", source.pk, 1)
    seen = form_of(boss, address)["seen"]
    save_rules(source, [OPEN])
    response = boss.post(address, {"seen": seen, "confirmed": "yes"})
    assert response.status_code == 200
    assert rules_of(source) == [OPEN]


def test_going_back_to_what_is_not_valid_any_more(boss: Client, source: DataSource) -> None:
    DataSource.objects.filter(pk=source.pk).update(columns=["a.b", "Name"])
    save_rules(source, [{**READ, "exclude": ["a.b"]}])
    save_rules(source, [])
    DataSource.objects.filter(pk=source.pk).update(columns=["Name"])
    page = read(boss.get(url("rules_revision", source.pk, 2)))
    assert "there is no column `a.b`" in page
    response = boss.post(url("rules_revision", source.pk, 2), {"seen": "x", "confirmed": "yes"})
    assert response.status_code == 200
    assert rules_of(source) == []


def test_going_back_to_a_script_needs_the_right_to_scripts(source: DataSource) -> None:
    save_rules(source, [SCRIPT])
    save_rules(source, [])
    ann = staff("ann", source, "view", "change_rules")
    response = back(ann, source, 2, confirmed="yes")
    assert "`write_scripts` is required" in response.content.decode()
    assert rules_of(source) == []


def test_the_history_is_for_those_who_may_change_the_rules(source: DataSource) -> None:
    other = make("Other", rules=[{**READ, "name": "hush"}])
    ann = staff("ann", source, "view", "change", "change_rules")
    bob = staff("bob", source, "view", "change", "share", "delete")
    for page, *args in (["rules_history"], ["rules_revision", 1]):
        assert ann.get(url(page, source.pk, *args)).status_code == 200
        assert ann.get(url(page, other.pk, *args)).status_code == 404
        assert ann.post(url(page, other.pk, *args), {"seen": ""}).status_code == 404
        assert ann.get(url(page, 10**6, *args)).status_code == 404
        assert bob.get(url(page, source.pk, *args)).status_code == 403
        assert bob.post(url(page, source.pk, *args), {"seen": ""}).status_code == 403
        assert Client().get(url(page, source.pk, *args)).status_code == 302
    assert ann.get(url("rules_revision", source.pk, 99)).status_code == 404
    assert ann.get(url("rules_revision", source.pk, 10**20)).status_code == 404
    assert "History of the rules" not in bob.get(url("change", source.pk)).content.decode()


def test_pages_of_the_history_cost_the_same_number_of_queries(
    boss: Client, source: DataSource
) -> None:
    def queries(address: str) -> int:
        boss.get(address)
        with CaptureQueriesContext(connection) as captured:
            assert boss.get(address).status_code == 200
        return len(captured)

    save_rules(source, [])
    pages = [url("rules_history", source.pk), url("rules_revision", source.pk, 1)]
    before = [queries(page) for page in pages]
    for number in range(50):
        save_rules(source, [{**READ, "name": f"n{number}"}] * (number + 1))
    assert [queries(page) for page in pages] == before
    assert "?page=2" in boss.get(pages[0]).content.decode()


def test_entries_are_not_touched(boss: Client, source: DataSource) -> None:
    save_rules(source, [])
    back(boss, source, 1, confirmed="yes")
    assert rows(source) == [{"Email": "a@x.com", "Name": "Ann", "Salary": 5}]
