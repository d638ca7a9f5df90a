"""The admin asks before it saves what is easily done by mistake, and says what it does."""

from __future__ import annotations

import json
import re
from html import unescape
from time import perf_counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rowkeeper.datasources import store
from rowkeeper.datasources.admin import entries
from rowkeeper.datasources.admin.confirmations import definition_lines, entry_lines, guesses
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from tests.admin.test_admin import errors, form_of, make, signed_in, url
from tests.support.calls import READ, Api

pytestmark = pytest.mark.django_db

LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}


@pytest.fixture
def boss() -> Client:
    return signed_in(User.objects.create_superuser("boss"))


@pytest.fixture
def people() -> DataSource:
    rows = [{"Email": "a@x.com", "Name": "Ann", "Office": "Oslo"}, {"Email": "b@x.com"}]
    return make("People", rows, [READ], columns=["Email", "Name", "Office"])


def digest_in(answer: Any) -> str:
    found = re.search(r'name="meant" value="(\w+)"', answer.content.decode())
    return found[1] if found else ""


def question_in(answer: Any) -> str:
    """What a page asks, as text; empty for no question."""
    found = re.search(
        r'aria-labelledby="meant-title">(.*?)</div>', answer.content.decode(), re.DOTALL
    )
    if found is None:
        return ""
    text = re.sub(r"</?code>", "`", re.sub(r"</?bdi>", "", found[1]))
    return unescape(re.sub(r"<[^>]+>", " ", text))


# -- an entry


def test_a_key_that_is_left_out_is_asked_about(boss: Client, people: DataSource) -> None:
    entry = Entry.objects.order_by("id")[0]
    address = url("entry", people.pk, entry.pk)
    sent = {**form_of(boss, address), "row": '{"Email": "a@x.com", "Name": "Ann"}'}
    answer = boss.post(address, sent)
    assert "`Office` is missing from the row: its value will be deleted" in question_in(answer)
    assert "nothing was saved" in errors(answer)
    entry.refresh_from_db()
    assert entry.data["Office"] == "Oslo"
    assert boss.post(address, {**sent, "meant": digest_in(answer)}).status_code == 302
    entry.refresh_from_db()
    assert entry.data == {"Email": "a@x.com", "Name": "Ann"}


def test_a_new_key_is_asked_about(boss: Client, people: DataSource) -> None:
    address = url("entry_add", people.pk)
    sent = {"row": '{"Email": "c@x.com", "Offcie": "Rome"}'}
    answer = boss.post(address, sent)
    question = question_in(answer)
    assert "`Offcie` is new: it will become a column of the data source" in question
    assert "Did you mean `Office` instead of `Offcie`?" in question
    assert Entry.objects.count() == 2
    assert DataSource.objects.get(pk=people.pk).columns == ["Email", "Name", "Office"]
    assert boss.post(address, {**sent, "meant": digest_in(answer)}).status_code == 302
    model = DataSource.objects.get(pk=people.pk)
    assert (model.columns[3:], model.written_columns) == (["Offcie"], [])


def test_guessing_what_is_meant_takes_no_time() -> None:
    columns = [f"{'column' * 6}{n:04}" for n in range(1_980)]
    row = {f"{'column' * 6}x{n:03}": 1 for n in range(500)}
    began = perf_counter()
    assert len(guesses(columns, row)) <= 3
    assert len(entry_lines(columns, frozenset(columns), {}, row)) <= 21
    names = {f"logi{n:05}": 1 for n in range(50_000)} | {"login" * 100_000: 1}
    definition_lines(DataSource(name="People"), names)
    assert perf_counter() - began < 1


def test_names_are_compared_when_nobody_waits(
    boss: Client, people: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data source is locked for as long as a transaction of the request lasts."""
    depth = len(connection.atomic_blocks)
    found: list[int] = []

    def guessed(*args: Any) -> list[str]:
        found.append(len(connection.atomic_blocks))
        return []

    monkeypatch.setattr(entries, "guesses", guessed)
    boss.post(url("entry_add", people.pk), {"row": '{"Offcie": 1}'})
    assert found == [depth]


def test_a_new_key_with_dots_says_what_becomes_of_the_path(
    boss: Client, people: DataSource
) -> None:
    answer = boss.post(url("entry_add", people.pk), {"row": '{"Office.City": "Rome"}'})
    assert "not to a path into another column" in question_in(answer)


def test_a_tick_is_for_one_change(boss: Client, people: DataSource) -> None:
    first, second = Entry.objects.order_by("id")
    address = url("entry", people.pk, first.pk)
    opened = form_of(boss, address)
    tick = digest_in(boss.post(address, {**opened, "row": '{"Email": "a@x.com"}'}))
    assert tick
    other = {**opened, "row": '{"Name": "Ann"}', "meant": tick}
    assert digest_in(boss.post(address, other)) not in ("", tick)
    elsewhere = url("entry", people.pk, second.pk)
    other = {**form_of(boss, elsewhere), "row": "{}", "meant": tick}
    assert digest_in(boss.post(elsewhere, other)) not in ("", tick)
    first.refresh_from_db()
    assert len(first.data) == 3


def test_a_change_of_values_is_not_asked_about(boss: Client, people: DataSource) -> None:
    entry = Entry.objects.order_by("id")[1]
    address = url("entry", people.pk, entry.pk)
    sent = {**form_of(boss, address), "row": '{"Email": "z@x.com", "Name": "Zoe"}'}
    assert boss.post(address, sent).status_code == 302
    # A column that the entry lacks is no new one, and a new entry may leave columns out.
    assert boss.post(url("entry_add", people.pk), {"row": "{}"}).status_code == 302


def test_the_entry_that_was_looked_at_is_the_one_that_is_saved(
    boss: Client, people: DataSource
) -> None:
    entry = Entry.objects.order_by("id")[0]
    address = url("entry", people.pk, entry.pk)
    sent = {**form_of(boss, address), "row": '{"Email": "a@x.com"}'}
    tick = digest_in(boss.post(address, sent))
    store.admin_save(registry.source_of(people), entry.pk, {"Email": "a@x.com", "Name": "Anna"})
    answer = boss.post(address, {**sent, "meant": tick})
    assert "was changed after" in errors(answer)


# -- columns


def change(client: Client, people: DataSource, **typed: str) -> tuple[Any, dict[str, str]]:
    address = url("change", people.pk)
    sent = {**form_of(client, address), **typed}
    return client.post(address, sent), sent


def test_a_renamed_column_is_asked_about(boss: Client, people: DataSource) -> None:
    answer, sent = change(boss, people, columns="Email\nName\nBranch")
    question = question_in(answer)
    assert "`Office` is removed from the columns, but 1 entry still has" in question
    assert "The API still shows it" in question
    assert "This does not rename a column: `Branch` will be empty" in question
    people.refresh_from_db()
    assert people.columns == ["Email", "Name", "Office"]
    done = boss.post(url("change", people.pk), {**sent, "meant": digest_in(answer)})
    assert done.status_code == 302
    people.refresh_from_db()
    assert people.columns == ["Email", "Name", "Branch"]
    rows = Api()("GET", f"data-sources/{people.pk}/data").rows
    assert rows[0]["Office"] == "Oslo"


def test_a_column_that_no_entry_holds_is_not_asked_about(boss: Client, people: DataSource) -> None:
    people.columns = [*people.columns, "Empty"]
    saving.save(people)
    assert change(boss, people, columns="Email\nName\nOffice")[0].status_code == 302
    assert change(boss, people, columns="Office\nName\nEmail\nNew")[0].status_code == 302


def test_a_column_made_by_a_writer_is_asked_about_as_well(boss: Client, people: DataSource) -> None:
    with store.writing(registry.source_of(people), ["Made"]):
        store.insert(registry.source_of(people), [{"Made": None}])
    answer, _ = change(boss, people, written_columns="")
    assert "`Made` is removed" in question_in(answer)


def test_counting_is_done_in_parts(people: DataSource) -> None:
    names = [f"c{n}" for n in range(120)]
    with store.writing(registry.source_of(people), names):
        store.insert(registry.source_of(people), [dict.fromkeys(names), {"c7": 1, 'c"8': 1}])
    found = store.column_counts(people.pk, [*names, 'c"8', "never"])
    assert found == {**dict.fromkeys(names, 1), "c7": 2, 'c"8': 1}


# -- the definition


def test_a_typo_that_switches_sign_in_off_is_asked_about(boss: Client, people: DataSource) -> None:
    people.definition = LOGIN
    saving.save(people)
    typo = json.dumps({"logn": LOGIN["login"]})
    answer, sent = change(boss, people, definition=typo)
    question = question_in(answer)
    assert "Nobody will be able to sign in against `People` any more" in question
    assert "Did you mean `login`?" in question
    people.refresh_from_db()
    assert people.definition == LOGIN
    tick = digest_in(answer)
    other = {**sent, "definition": "{}", "meant": tick}
    assert digest_in(boss.post(url("change", people.pk), other)) not in ("", tick)
    done = boss.post(url("change", people.pk), {**sent, "meant": tick})
    assert done.status_code == 302
    people.refresh_from_db()
    assert "login" not in people.definition


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, LOGIN, "People will be able to sign in"),
        (LOGIN, {"login": {**LOGIN["login"], "emailColumn": "Mail"}}, "address in `Mail`"),
        (LOGIN, {"login": {**LOGIN["login"], "passwordColumn": "Pin"}}, "password in `Pin`"),
        (
            LOGIN,
            {"login": {**LOGIN["login"], "sessionColumns": ["Name"]}},
            "sign-in will contain the person's `Name`",
        ),
        (
            {"login": {**LOGIN["login"], "sessionColumns": ["Name"]}},
            LOGIN,
            "sign-in will no longer contain",
        ),
        ({}, {"View": {}}, "Did you mean `views`?"),
        ({}, {"memo": "something else"}, ""),
        (LOGIN, {**LOGIN, "views": {}}, ""),
    ],
)
def test_what_a_definition_changes(before: Any, after: Any, said: str) -> None:
    lines = definition_lines(DataSource(name="People", definition=before), after)
    assert said in " ".join(lines)
    assert bool(lines) is bool(said)


@pytest.mark.parametrize(
    ("key", "column", "typo"),
    [("emailColumn", "Email", "Emial"), ("passwordColumn", "Password", "Pasword")],
)
def test_a_misspelled_sign_in_column_is_asked_about(
    boss: Client, people: DataSource, key: str, column: str, typo: str
) -> None:
    people.definition = LOGIN
    saving.save(people)
    after = json.dumps({"login": {**LOGIN["login"], key: typo}})
    question = question_in(change(boss, people, definition=after)[0])
    new = f"`{typo}` is not a column yet, and will be added. Did you mean `{column}`?"
    assert new in question
    assert f"2 of 2 entries have no text in `{typo}`: they cannot sign in." in question
    assert "Everybody who is signed in against `People` will be signed out" in question


def test_entries_without_an_address_are_counted_by_one_statement(people: DataSource) -> None:
    source = registry.source_of(people)
    store.admin_save(source, None, {"Email": "c@x.com", "Name": ""})
    store.admin_save(source, None, {"Email": "d@x.com", "Name": 4})
    people.definition = LOGIN
    after = {"login": {**LOGIN["login"], "emailColumn": "Name"}}
    with CaptureQueriesContext(connection) as made:
        lines = definition_lines(people, after)
    assert len(made) == 1
    assert "3 of 4 entries have no text in `Name`: they cannot sign in." in lines
    assert not any("is not a column" in line for line in lines)


def test_a_column_that_the_same_save_adds_is_no_misspelling(people: DataSource) -> None:
    after = {"login": {**LOGIN["login"], "emailColumn": "Emial", "passwordColumn": "Office"}}
    people.definition = LOGIN
    lines = definition_lines(people, after, [*people.columns, "Emial"])
    assert not any("is not a column" in line for line in lines)


def test_the_page_works_without_scripts_and_with_strict_content_security(
    boss: Client, people: DataSource
) -> None:
    answer, _ = change(boss, people, columns="Email")
    html = answer.content.decode()
    block = html[html.index('aria-labelledby="meant-title"') :][:2000]
    assert not re.search(r"<script|style=|\son\w+=", block)
    people.columns = ["<b>", *people.columns]
    saving.save(people)
    store.admin_save(registry.source_of(people), None, {"<b>": 1})
    answer, _ = change(boss, people, columns="Email\nName\nOffice")
    assert "&lt;b&gt;" in answer.content.decode()
