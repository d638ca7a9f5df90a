"""Saving a script: how long compiling takes at most, and who can cause it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import permission
from rowkeeper.rules.engine import parse
from rowkeeper.rules.repository.rules import rules_of, save_rules
from rowkeeper.rules.sandbox.worker import policy, spelling
from rowkeeper.rules.sandbox.worker.policy import check
from tests.support.calls import on_site

END = '\nreturn {"granted": True}'
# Each takes minutes in a time that is quadratic in its length, and half a second or less otherwise.
LONG_LINE = 'x = query # \u00b5\nz="' + "a" * 9_000 + '";' + "x.ab;" * 2_100 + END
SLOW = {"type": ["select"], "script": LONG_LINE}
READ = {"type": ["select"], "allow": "loggedIn"}


# -- how long compiling takes


class _Counted:
    """A compiled pattern that adds up how many bytes it reads."""

    def __init__(self, pattern: Any) -> None:
        self.pattern, self.read = pattern, 0

    def match(self, text: bytes, at: int) -> Any:
        found = self.pattern.match(text, at)
        self.read += 1 + (0 if found is None else len(found.group()))
        return found

    def findall(self, text: str) -> Any:
        self.read += len(text)
        return self.pattern.findall(text)


def _read_by(source: str, monkeypatch: pytest.MonkeyPatch) -> int:
    texts, runs = _Counted(spelling._RUN), _Counted(spelling._RUN_OF_BYTES)
    monkeypatch.setattr(spelling, "_RUN", texts)
    monkeypatch.setattr(spelling, "_RUN_OF_BYTES", runs)
    check(source)
    monkeypatch.undo()
    return texts.read + runs.read


@pytest.mark.parametrize(
    "source",
    [
        LONG_LINE,
        "x = query # \u00b5\n" + "x.ab;" * 3_800 + END,
        "x = query # \u00b5\ndict(" + ",".join(f"k{n}=1" for n in range(2_000)) + ")" + END,
        "x = query # \u00b5\n" + 'f"{x.ab}";' * 1_900 + END,
        'x = query # \u00b5\nz = f"' + "{x.ab}" * 3_000 + '"' + END,
        'x = query # \u00b5\nz = f"' + "a" * 9_000 + "{x.ab}" * 1_500 + '"' + END,
    ],
    ids=["text", "attributes", "keywords", "f-strings", "one f-string", "text in an f-string"],
)
def test_reading_names_takes_linear_time(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(source) <= policy.MAX_SOURCE
    assert check(source) == []
    # A name of an attribute is read at its place, and once more for its line.
    assert _read_by(source, monkeypatch) <= 3 * len(source)


def test_a_misspelled_name_is_found_behind_a_long_text() -> None:
    [problem] = check('z="' + "a\u00e9" * 3_000 + '";x=query.Wert_\u00b5' + END)
    assert (problem.line, problem.column) == (1, 6_014)
    assert "`Wert_\u00b5` is read by Python as `Wert_\u03bc`" in problem.message
    [problem] = check('y = 1\nz = f"{query.a\u00b5}"' + END)
    assert "`a\u00b5`" in problem.message
    [problem] = check("z = dict(a=1, a\u00b5=2)" + END)
    assert (problem.line, problem.column) == (1, 15)


def test_only_as_many_problems_are_looked_for_as_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    place = policy._Places.problem

    def counted(self: Any, node: Any, message: str) -> Any:
        asked.append(node)
        return place(self, node, message)

    monkeypatch.setattr(policy._Places, "problem", counted)
    for source in ("x._b;" * 3_500, "x.\u00b5;" * 3_500, "x = __b__;" * 1_500):
        asked.clear()
        assert len(check(f"x = query;{source}{END}")) == policy.MAX_PROBLEMS
        assert len(asked) == policy.MAX_PROBLEMS


def test_marks_without_end_are_refused_before_python_sorts_them() -> None:
    marks = "\u0315\u0300"
    for source in (f"x = query.a{marks * 9_000}", f'x = "{marks * 9_000}"'):
        [problem] = check(source + END)
        assert "combining characters" in problem.message
    assert check(f'x = "{marks * 15}"{END}') == []


@pytest.mark.parametrize("wrapped", ["{}" + ".a" * 80, "lambda:" * 80 + "{}"])
def test_many_nodes_deep_inside_others_are_refused(wrapped: str) -> None:
    many = "[" + "1," * 7_500 + "]"
    [problem] = check(f"x = {wrapped.format(many)}{END}")
    assert "nested too deeply" in problem.message
    assert check(f"x = {many}{END}") == check(f"x = {wrapped.format('[1, 2]')}{END}") == []


# -- who can cause it


@pytest.fixture
def source(db: None) -> DataSource:
    found = DataSource.objects.create(name="Notes", columns=["Title"])
    save_rules(found, [READ])
    return found


@pytest.fixture
def editor(source: DataSource) -> User:
    """Somebody who may change the rules of this data source, and not write scripts."""
    user = User.objects.create_user("editor", password="x", is_staff=True)
    for right in ("view", "change", "change_rules", "simulate"):
        assign_perm(permission(right), user, source)
    return user


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that are compiled while a test runs."""
    found: list[str] = []

    def counted(script: str) -> Any:
        found.append(script)
        return []

    monkeypatch.setattr(parse, "check", counted)
    return found


NEW = {"type": ["select"], "script": 'return {"granted": True}'}


def _site(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.mark.parametrize("rules", [[READ, NEW], [NEW, {"type": 1}, 5], [SLOW] * 10])
def test_the_api_asks_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str], rules: list[Any]
) -> None:
    answer = on_site(editor)("PUT", f"data-sources/{source.pk}", {"accessRules": rules})
    assert answer.failure == (403, "auth.forbidden")
    assert "write_scripts" in answer.json["message"]
    assert compiled == [] and rules_of(source) == [READ]


def test_the_admin_asks_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str]
) -> None:
    page = _site(editor)
    address = f"/admin/rowkeeper_datasources/datasource/{source.pk}/change/"
    form = page.get(address).context["adminform"].form
    data = {name: form[name].value() or "" for name in form.fields}
    data |= {"columns": '["Title"]', "definition": "{}", "rules": json.dumps([READ, NEW])}
    response = page.post(address, data)
    assert response.status_code == 200 and "write_scripts" in response.text
    assert compiled == [] and rules_of(source) == [READ]


def test_the_editor_s_checks_ask_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str]
) -> None:
    response = _site(editor).post(
        "/admin/rowkeeper_datasources/datasource/check-rules/",
        {"dataSource": source.pk, "columns": ["Title"], "rules": json.dumps([NEW])},
        content_type="application/json",
    )
    [problem] = response.json()["problems"]
    assert "write_scripts" in problem["message"] and problem["severity"] == "error"
    assert compiled == []


def test_the_simulator_asks_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str]
) -> None:
    response = _site(editor).post(
        f"/admin/rowkeeper_datasources/datasource/{source.pk}/simulate/",
        {"as": {"kind": "anonymous"}, "operation": "select", "rules": json.dumps([NEW])},
        content_type="application/json",
    )
    assert response.status_code == 403, response.text
    assert compiled == []


def test_an_import_asks_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "notes.json"
    path.write_text(json.dumps({"dataSource": "Notes", "rules": [NEW]}))
    with pytest.raises(CommandError, match="write_scripts"):
        call_command("importrules", path, user="editor")
    assert compiled == [] and rules_of(source) == [READ]


def test_a_revert_asks_for_the_right_first(
    editor: User, source: DataSource, compiled: list[str]
) -> None:
    save_rules(source, [NEW])
    save_rules(source, [READ])
    compiled.clear()
    with pytest.raises(PermissionMissing, match="write_scripts"):
        save_rules(source, [NEW], editor, reverts=source.revision - 1)
    assert compiled == []
    with pytest.raises(CommandError, match="write_scripts"):
        call_command("revertrules", "Notes", user="editor")
    assert rules_of(source) == [READ]


def test_a_script_that_stays_is_saved_by_those_who_may_not_write_one(
    editor: User, source: DataSource
) -> None:
    save_rules(source, [NEW])
    assert save_rules(source, [READ, NEW], editor)
    assert rules_of(source) == [READ, NEW]
