"""Two people who change the same at once, in the admin and by commands."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from rowkeeper.accounts.models import App
from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import boss, errors, form_of, post, url
from tests.support.calls import OPEN, READ, place

__all__ = ["boss"]
pytestmark = pytest.mark.django_db
SEEN = "somebody else changed this after you opened the page"


@pytest.fixture
def source(db: None) -> DataSource:
    views = {"V": {"where": {"A": 1}}}
    return place([OPEN], [{"A": 1, "B": 2}], type="old", definition={"views": views}).model


def saved(source: DataSource, **fields: Any) -> DataSource:
    """What somebody else saves meanwhile."""
    source = DataSource.objects.get(pk=source.pk)
    for name, value in fields.items():
        setattr(source, name, value)
    saving.save(source)
    return source


OTHERS: list[tuple[str, Any, Any]] = [
    ("name", "Theirs", "Mine"),
    ("type", "theirs", "mine"),
    ("columns", ["A"], "A\r\nB\r\nC"),
    ("columns", ["B", "A"], "A\r\nB\r\nC"),
    ("definition", {"views": {}}, '{"views": {"V": {"where": {"A": 2}}}}'),
    ("definition", {}, '{"views": {"V": {"where": {"A": 2}}}}'),
    ("indexed_columns", [], "A\r\nB"),
]


@pytest.mark.parametrize(("field", "theirs", "mine"), OTHERS)
def test_what_both_have_changed_is_refused(
    boss: Client, source: DataSource, field: str, theirs: Any, mine: str
) -> None:
    source = saved(source, indexed_columns=["A"])
    address = url("change", source.pk)
    opened = form_of(boss, address)
    theirs_saved = saved(source, **{field: theirs})
    for _ in range(2):
        response = post(boss, address, {**opened, field: mine})
        assert response.status_code == 200 and SEEN in errors(response)
        found = DataSource.objects.get(pk=source.pk)
        assert getattr(found, field) == theirs and found.rules_tag == theirs_saved.rules_tag
    assert post(boss, address, {**form_of(boss, address), field: mine}).status_code == 302


@pytest.mark.parametrize(("field", "theirs", "mine"), OTHERS)
def test_what_one_has_not_touched_stays_as_it_is(
    boss: Client, source: DataSource, field: str, theirs: Any, mine: str
) -> None:
    source = saved(source, indexed_columns=["A"])
    address = url("change", source.pk)
    opened = form_of(boss, address)
    saved(source, **{field: theirs})
    other = "type" if field != "type" else "name"
    assert post(boss, address, {**opened, other: "Another"}).status_code == 302
    found = DataSource.objects.get(pk=source.pk)
    assert getattr(found, field) == theirs and getattr(found, other) == "Another"


def test_both_may_make_the_same_change(boss: Client, source: DataSource) -> None:
    address, app = url("change", source.pk), App.objects.create(name="An app")
    opened = form_of(boss, address)
    saved(source, columns=["A", "B", "C"], type="new", app=app)
    sent = {**opened, "columns": "A\r\nB\r\nC", "type": "new", "app": str(app.pk)}
    assert post(boss, address, sent).status_code == 302
    assert DataSource.objects.get(pk=source.pk).columns == ["A", "B", "C"]


def test_the_app_that_both_have_changed(boss: Client, source: DataSource) -> None:
    one, two = (App.objects.create(name=name) for name in ("One", "Two"))
    address = url("change", source.pk)
    opened = form_of(boss, address)
    saved(source, app=one)
    response = post(boss, address, {**opened, "app": str(two.pk)})
    assert response.status_code == 200 and SEEN in errors(response)
    assert DataSource.objects.get(pk=source.pk).app == one


def test_columns_that_others_added_are_kept(boss: Client, source: DataSource) -> None:
    address = url("change", source.pk)
    opened = form_of(boss, address)
    saved(source, columns=["A", "Theirs", "B"])
    assert post(boss, address, {**opened, "columns": "A\r\nB\r\nMine"}).status_code == 302
    found = DataSource.objects.get(pk=source.pk)
    assert sorted(found.columns) == ["A", "B", "Mine", "Theirs"]


# -- files of rules


@pytest.fixture
def folder(source: DataSource, tmp_path: Path) -> Path:
    call_command("exportrules", "--with-revision", "--output", str(tmp_path), stdout=StringIO())
    return tmp_path


def edit(folder: Path, rules: list[Any]) -> None:
    [path] = folder.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "rules": rules}))


def test_a_file_that_is_based_on_an_older_revision(source: DataSource, folder: Path) -> None:
    edit(folder, [READ, OPEN])
    save_rules(source, [READ])
    for words in (["--check"], []):
        with pytest.raises(CommandError) as refused:
            call_command("importrules", str(folder), *words, stdout=StringIO())
        assert "have changed since revision 1" in str(refused.value)
        assert "rule 1" in str(refused.value)
    assert rules_of(source) == [READ]
    call_command("exportrules", "--with-revision", "--output", str(folder), stdout=StringIO())
    edit(folder, [READ, OPEN])
    call_command("importrules", str(folder), stdout=StringIO())
    assert rules_of(source) == [READ, OPEN]


def test_a_file_whose_rules_are_in_force_is_no_conflict(source: DataSource, folder: Path) -> None:
    edit(folder, [READ])
    save_rules(source, [READ])
    call_command("importrules", str(folder), stdout=StringIO())
    assert rules_of(source) == [READ]


def test_a_file_without_a_revision_is_held_to_none(source: DataSource, tmp_path: Path) -> None:
    call_command("exportrules", "--output", str(tmp_path), stdout=StringIO())
    save_rules(source, [READ])
    call_command("importrules", str(tmp_path), stdout=StringIO())
    assert rules_of(source) == [OPEN]


def test_a_revision_that_is_none(source: DataSource, folder: Path) -> None:
    [path] = folder.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": "1"}))
    with pytest.raises(CommandError, match="revision"):
        call_command("importrules", str(folder), stdout=StringIO())


def test_a_revision_that_is_ahead(source: DataSource, folder: Path) -> None:
    edit(folder, [READ, OPEN])
    [path] = folder.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": 7}))
    with pytest.raises(CommandError) as refused:
        call_command("importrules", str(folder), stdout=StringIO())
    said = "there is no revision 7, so nothing was saved: the rules are at revision 1"
    assert said in str(refused.value) and "changed since" not in str(refused.value)


def test_nothing_is_said_of_scripts_before_the_revision_is_compared(
    boss: Client, source: DataSource, folder: Path
) -> None:
    edit(folder, [{"script": "return None"}])
    save_rules(source, [READ])
    output = StringIO()
    by = ["--user", User.objects.get().username, "--take-over-scripts"]
    with pytest.raises(CommandError, match="changed since revision 1"):
        call_command("importrules", str(folder), *by, stdout=output)
    assert output.getvalue() == ""
