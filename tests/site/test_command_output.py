"""Commands write to any stream, and to any file system."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class

from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.rules.repository.files import file_names
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.support.calls import READ, Place, place

pytestmark = pytest.mark.django_db
NAME = "Größe 日本 😀"
RULE = {**READ, "name": f"für {NAME}", "include": ["Größe"]}
OURS = {
    name: app
    for name, app in get_commands().items()
    if app == "project" or app.startswith("rowkeeper.")
}


@pytest.fixture
def there() -> Place:
    return place([RULE], [{"Größe": 1}], NAME)


def output(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: str, **options: Any) -> str:
    """What a command writes to the standard output, redirected to a file of an encoding."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, write_through=True) as stream:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            call_command(*words, **options)
        stream.flush()
        return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("name", OURS)
def test_every_command_of_ours_does(name: str) -> None:
    assert isinstance(load_command_class(OURS[name], name), SiteCommand)


def test_there_are_such_commands() -> None:
    assert {"explain", "exportrules", "checkrules", "createtoken", "indexes"} <= set(OURS)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_character_that_the_encoding_lacks(
    encoding: str, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = NAME.encode(encoding, "replace").decode(encoding)
    checked = output(monkeypatch, encoding, "checkrules")
    assert wide in checked
    explained = output(monkeypatch, encoding, "explain", NAME, "--operation=select")
    assert f"für {NAME}".encode(encoding, "replace").decode(encoding) in explained
    assert output(monkeypatch, encoding, "indexes", NAME)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_rules_that_are_printed_stay_the_same(
    encoding: str, there: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the encoding is none that `importrules` reads, it gets escapes."""
    text = output(monkeypatch, encoding, "exportrules", NAME)
    assert json.loads(text)["rules"] == [RULE]
    assert ("\\u" in text) is (encoding != "utf-8")
    if encoding != "cp1252":
        file = tmp_path / "rules.json"
        file.write_bytes(text.encode(encoding))
        save_rules(there.model, [READ])
        call_command("importrules", str(file), stdout=io.StringIO())
        assert rules_of(there.model) == [RULE]


# -- names of files


def test_names_of_files_differ_by_more_than_case(tmp_path: Path) -> None:
    names = ["Users", "users", "USERS", "Staff", "Übersicht", "übersicht", "a" * 200, "A" * 200]
    for name in names:
        place([{**READ, "name": name}], [{"A": 1}], name)
    call_command("exportrules", output=str(tmp_path), stdout=io.StringIO())
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == len({file.lower() for file in files}) == len(names)
    assert {"users.json", "Staff.json"} <= set(files)
    written = {json.loads(path.read_text("utf-8"))["dataSource"] for path in tmp_path.iterdir()}
    assert written == set(names)
    # The file of one alone is the same.
    one = tmp_path / "one"
    call_command("exportrules", "Users", output=str(one), stdout=io.StringIO())
    (file,) = one.iterdir()
    assert file.name in files
    assert file.read_bytes() == (tmp_path / file.name).read_bytes()
    call_command("importrules", str(tmp_path), stdout=io.StringIO())


def test_a_name_that_is_made_to_collide() -> None:
    for name in ("Users", "users"):
        place([READ], [{"A": 1}], name)
    taken = file_names()["Users"].removesuffix(".json")
    place([READ], [{"A": 1}], taken)
    found = file_names()
    assert len({file.lower() for file in found.values()}) == 3
    assert found[taken] == f"{taken}.json"
