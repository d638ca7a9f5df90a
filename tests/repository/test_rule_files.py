"""`exportrules`, `importrules` and `revertrules`: what is written is read again as what it was, all
of it or nothing.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import AccessRule, Revision
from rowkeeper.rules.repository.files import Directory, from_text, to_text
from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.admin.test_admin import make
from tests.reference.random_cases import COLUMNS, SEED
from tests.reference.random_lists import random_list

pytestmark = pytest.mark.django_db

READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
SCRIPT = "if user:\n    return {'granted': True}\nreturn {'granted': False}\n"


@pytest.fixture
def names() -> None:
    for key, name in ((7, "Importer"), (8, "Twin"), (9, "Twin"), (10, "=x")):
        ApiToken.objects.create(pk=key, name=name, digest=str(key) * 32)
    App.objects.create(pk=3, name="Front desk")


@pytest.fixture
def staff(names: None) -> DataSource:
    rules = [
        {"allow": {"tokens": [7, 8]}, "type": ["select"], "appId": [3]},
        {"name": "S", "script": SCRIPT},
    ]
    return make("Staff", rules=rules)


def run(command: str, *words: Any) -> list[str]:
    output = StringIO()
    call_command(command, *map(str, words), stdout=output)
    return output.getvalue().splitlines()


def test_a_file_has_names_in_it(staff: DataSource) -> None:
    assert json.loads("\n".join(run("exportrules", "Staff"))) == {
        "dataSource": "Staff",
        "rules": [
            {
                "type": ["select"],
                "allow": {"tokens": ["Importer", "Twin (8)"]},
                "appId": ["Front desk"],
            },
            {"name": "S", "script": SCRIPT.split("\n")},
        ],
    }


def test_a_round_trip_changes_nothing(staff: DataSource, tmp_path: Path) -> None:
    make("100% ä", rules=[READ])
    make("x" * 255)
    before = {source.name: rules_of(source) for source in DataSource.objects.all()}
    assert len(run("exportrules", "--output", tmp_path)) == 3
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert run("importrules", tmp_path) == ["3 read, 0 changed"]
    assert {source.name: rules_of(source) for source in DataSource.objects.all()} == before
    for source in DataSource.objects.all():
        save_rules(source, [])
    assert run("importrules", tmp_path)[-1] == "3 read, 2 changed"
    assert {source.name: rules_of(source) for source in DataSource.objects.all()} == before
    run("exportrules", "--output", tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_random_lists_are_read_as_they_were(names: None) -> None:
    rnd = Random(f"files {SEED}")
    source = make("Any", columns=COLUMNS)
    App.objects.create(pk=1, name="One")
    ApiToken.objects.create(pk=1, name="Importer", digest="x")
    directory = Directory.now()
    for _ in range(100):
        rules = random_list(rnd)
        text = to_text(source, rules, directory)
        read = from_text(text, directory)
        assert (read.name, read.rules, read.problems) == ("Any", rules, [])
        assert to_text(source, read.rules, directory) == text


def test_another_site_has_other_numbers(staff: DataSource, tmp_path: Path) -> None:
    run("exportrules", "--output", tmp_path)
    App.objects.all().delete()
    ApiToken.objects.all().delete()
    App.objects.create(pk=33, name="Front desk")
    ApiToken.objects.create(pk=71, name="Importer", digest="a")
    ApiToken.objects.create(pk=72, name="Twin (8)", digest="b")
    run("importrules", tmp_path)
    rule = rules_of(staff)[0]
    assert (rule["allow"], rule["appId"]) == ({"tokens": [71, 72]}, [33])


def test_a_token_that_is_gone_keeps_its_number_where_nobody_has_it(staff: DataSource) -> None:
    save_rules(staff, [{"type": ["select"], "allow": {"tokens": [99]}}])
    text = "\n".join(run("exportrules", "Staff"))
    assert from_text(text, Directory.now()).problems == []
    ApiToken.objects.create(pk=99, name="New", digest="n")
    (problem,) = from_text(text, Directory.now()).problems
    assert problem.path == "allow.tokens[0]"


BAD: list[tuple[Any, str]] = [
    ("[", "is not valid JSON"),
    ([], "the file must be an object"),
    ({"dataSource": "Staff"}, "the file must be an object"),
    ({"dataSource": "Staff", "rules": {}}, "`rules` must be a list"),
    ({"dataSource": "Staff", "rules": [], "id": 1}, "there is no property `id`"),
    ({"dataSource": "Other", "rules": []}, "there is no data source `Other`"),
    ({"dataSource": 1, "rules": []}, "`dataSource` must be a name"),
    (
        {"dataSource": "Staff", "rules": [READ, {**READ, "allow": {"tokens": ["Nobody"]}}]},
        "rule 2, `allow.tokens[0]`: there is no API token `Nobody`",
    ),
    (
        {"dataSource": "Staff", "rules": [{**READ, "allow": {"tokens": ["Twin"]}}]},
        "rule 1, `allow.tokens[0]`: there is more than one API token `Twin`",
    ),
    (
        {"dataSource": "Staff", "rules": [{**READ, "appId": ["Front desk", "Back"]}]},
        "rule 1, `appId[1]`: there is no app `Back`",
    ),
    (
        {"dataSource": "Staff", "rules": [{**READ, "appId": [3]}]},
        "rule 1, `appId[0]`: an app must be given by name here",
    ),
    ({"dataSource": "Staff", "rules": [{**READ, "allow": "x"}]}, "rule 1, `allow`: must be"),
]


@pytest.mark.parametrize(("content", "said"), BAD, ids=lambda value: str(value)[:40])
def test_where_one_is_wrong_none_is_saved(
    staff: DataSource, tmp_path: Path, content: Any, said: str
) -> None:
    make("Good")
    (tmp_path / "a.json").write_text(json.dumps({"dataSource": "Good", "rules": [READ]}))
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "b.json").write_text(text)
    before = list(AccessRule.objects.values())
    with pytest.raises(CommandError) as raised:
        run("importrules", tmp_path)
    assert said in str(raised.value)
    assert "b.json: " in str(raised.value)
    assert str(raised.value).endswith("nothing was saved")
    assert list(AccessRule.objects.values()) == before


def test_two_files_about_one_data_source_and_none_at_all(staff: DataSource, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"dataSource": "Staff", "rules": []}))
    with pytest.raises(CommandError, match="another file has rules for `Staff`"):
        run("importrules", tmp_path)
    with pytest.raises(CommandError, match="there is no file or folder"):
        run("importrules", tmp_path / "none.json")


def test_check_says_what_would_change_and_saves_nothing(staff: DataSource, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"dataSource": "Staff", "rules": [READ]}))
    told = run("importrules", "--check", path)
    assert "Staff: rule 1 is new: Everyone, signed in or not, can read everything" in told
    assert "Staff: warning: rule 1, `exclude`: everyone can read `Salary`" in told
    assert told[-1] == "1 read, 1 would change"
    assert len(rules_of(staff)) == 2
    run("importrules", path, "--note", "from git")
    last = Revision.objects.filter(data_source=staff).latest("number")
    assert (last.origin, last.note, last.rules) == ("command", "from git", [READ])


def test_who_imports_scripts_may_write_them(staff: DataSource, tmp_path: Path) -> None:
    run("exportrules", "--output", tmp_path)
    save_rules(staff, [])
    User.objects.create_user("ann")
    with pytest.raises(CommandError, match="`write_scripts` is required"):
        run("importrules", tmp_path, "--user", "ann")
    assert rules_of(staff) == []
    with pytest.raises(CommandError, match="there is no active user"):
        run("importrules", tmp_path, "--user", "bob")
    root = User.objects.create_superuser("root")
    run("importrules", tmp_path, "--user", "root")
    assert AccessRule.objects.get(data_source=staff, position=2).script_by_id is None
    run("importrules", tmp_path, "--user", "root", "--take-over-scripts")
    assert AccessRule.objects.get(data_source=staff, position=2).script_by_id == root.pk


def test_going_back_at_a_terminal(staff: DataSource) -> None:
    save_rules(staff, [])
    assert run("revertrules", "Staff", "--check")[0].startswith("Staff: rule 1 is new: API token 7")
    assert rules_of(staff) == []
    assert run("revertrules", "Staff", "--note", "oops")[-1] == (
        "the rules of revision 1 are in force again"
    )
    last = Revision.objects.filter(data_source=staff).latest("number")
    assert (last.number, last.reverts, last.note) == (3, 1, "oops")
    assert len(rules_of(staff)) == 2
    assert run("revertrules", "Staff", "1") == ["the rules of revision 1 are already in force"]
    for number in ("77", "-1", str(10**30)):
        with pytest.raises(CommandError, match="there is no revision"):
            run("revertrules", "Staff", "--", number)


def test_going_back_to_what_is_not_valid_any_more(staff: DataSource) -> None:
    DataSource.objects.filter(pk=staff.pk).update(columns=["a.b"])
    save_rules(staff, [{**READ, "exclude": ["a.b"]}])
    save_rules(staff, [])
    DataSource.objects.filter(pk=staff.pk).update(columns=[])
    with pytest.raises(CommandError, match="nothing was saved"):
        run("revertrules", "Staff", "2")
    assert rules_of(staff) == []


def test_where_there_is_nowhere_to_write_to(staff: DataSource) -> None:
    make("Other")
    with pytest.raises(CommandError, match="--output is required"):
        run("exportrules")
