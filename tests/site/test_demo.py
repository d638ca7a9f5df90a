"""The demo: loaded again and again, it repairs what is missing and leaves what was changed."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from project.demo import credentials
from project.demo.load import Demo, load
from project.management.commands.loaddemo import lines_about
from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.repository.rules import problems_with, rules_of, save_rules

CASES = Path(__file__).parents[1] / "cases"
DEMO = Path(__file__).parents[2] / "project" / "demo"
EXAMPLES = ("employees", "staff")

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "demo.json"


def counts() -> dict[str, int]:
    models = (App, ApiToken, DataSource, Entry, LoginSession, User)
    return {model.__name__: model.objects.count() for model in models}


def ask(client: Client, demo: Demo | None, where: Any = None) -> tuple[int, str | None]:
    headers = {"Auth-token": demo.session} if demo is not None else {}
    response = client.post(
        "/v1/data-sources/Employees/data/query",
        {"where": where},
        content_type="application/json",
        headers=headers,
    )
    return response.status_code, response.json().get("type")


def bob() -> Entry:
    return Entry.objects.get(data_source__name="Users", data__Email="bob@acme.com")


# -- what is loaded


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_those_of_the_cases(name: str) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    assert json.loads((DEMO / f"{name}.json").read_text()) == {
        key: case[key] for key in ("name", "columns", "entries", "rules")
    }


def test_everything_is_there(path: Path) -> None:
    demo = load(path)
    assert list(DataSource.objects.order_by("id").values_list("name", flat=True)) == [
        "Employees",
        "Staff",
        "Users",
    ]
    for name in EXAMPLES:
        case = json.loads((CASES / f"{name}.json").read_text())
        model = DataSource.objects.get(name=case["name"])
        assert rules_of(model) == case["rules"]
        assert problems_with(rules_of(model), model.columns) == []
        assert [entry.data for entry in model.entries.order_by("id")] == case["entries"]
    assert demo.people == ("alice@acme.com", "bob@acme.com", "carol@acme.com", "dave@acme.com")
    assert User.objects.get(username="admin").check_password(demo.admin_password or "")
    assert bob().data["Password"] not in (demo.people_password, "")


def test_everyone_of_the_examples_can_sign_in(path: Path, client: Client) -> None:
    demo = load(path)
    for email in demo.people:
        body = {
            "passport": "dataSource",
            "dataSourceName": "Users",
            "where": {"Email": email, "Password": demo.people_password},
        }
        response = client.post("/v1/session/authorize", body, content_type="application/json")
        assert response.status_code == 200, email


def test_the_token_manages_and_is_kept(path: Path, client: Client) -> None:
    demo = load(path)
    response = client.get("/v1/data-sources", headers={"Auth-token": demo.api_token})
    assert len(response.json()["dataSources"]) == 3
    assert json.loads(path.read_text())["api_token"] == demo.api_token


def test_the_file_is_for_the_owner_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        load(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["demo.json"]


def test_secrets_differ_between_installations(tmp_path: Path) -> None:
    one, other = credentials.read(tmp_path / "a"), credentials.read(tmp_path / "b")
    assert one.admin_password != other.admin_password
    assert one.people_password != other.people_password
    assert one.people_password != one.admin_password
    assert one.api_token != other.api_token


@pytest.mark.parametrize("text", ["", "{", "[]", '{"api_token": 7, "session": null}'])
def test_a_file_that_cannot_be_read_is_made_anew(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    demo = load(path)
    assert json.loads(path.read_text())["session"] == demo.session


# -- again and again


def test_again_nothing_is_made_and_the_same_is_told(path: Path) -> None:
    first, before = load(path), counts()
    assert load(path) == first
    assert counts() == before


def test_what_was_changed_stays(path: Path, client: Client) -> None:
    first = load(path)
    model = DataSource.objects.get(name="Employees")
    save_rules(model, [])
    model.entries.all().delete()
    Entry.objects.create(data_source=model, data={"Email": "new@acme.com"})
    User.objects.get(username="admin").set_password("mine")
    admin = User.objects.get(username="admin")
    admin.set_password("mine")
    admin.is_superuser = False
    admin.save()
    again = load(path)
    assert rules_of(model) == []
    assert [entry.data for entry in model.entries.all()] == [{"Email": "new@acme.com"}]
    admin.refresh_from_db()
    assert admin.check_password("mine") and not admin.is_superuser
    assert again == replace(first, admin_password=None)
    assert "(the password was changed)" in "\n".join(lines_about(again, "http://x"))


def test_what_is_missing_is_repaired(path: Path, client: Client) -> None:
    first = load(path)
    DataSource.objects.get(name="Employees").delete()
    bob().delete()
    User.objects.all().delete()
    again = load(path)
    assert again.people_password == first.people_password
    assert again.admin_password == first.admin_password
    assert again.api_token == first.api_token
    assert ask(client, again) == (200, None)
    assert DataSource.objects.get(name="Users").entries.count() == 4


def test_another_database_gets_the_same_secrets(path: Path) -> None:
    first = load(path)
    for model in (LoginSession, ApiToken, DataSource, App, User):
        model.objects.all().delete()
    again = load(path)
    assert (again.api_token, again.people_password) == (first.api_token, first.people_password)
    assert again.session != first.session


def test_a_lost_file(path: Path) -> None:
    first = load(path)
    path.unlink()
    again = load(path)
    assert again.admin_password is None and again.people_password is None
    assert again.api_token != first.api_token
    assert again.session not in (None, first.session)


def test_a_session_that_ended_is_begun_anew(path: Path, client: Client) -> None:
    first = load(path)
    client.post("/v1/session/logout", headers={"Auth-token": first.session})
    assert ask(client, first) == (401, "auth.invalid")
    again = load(path)
    assert again.session != first.session
    assert ask(client, again) == (200, None)
    assert load(path) == again


def test_a_password_that_was_changed_is_not_told(path: Path, client: Client) -> None:
    first = load(path)
    source = registry.source_of(DataSource.objects.get(name="Users"))
    store.admin_save(source, bob().pk, {**bob().data, "Password": "mine"})
    again = load(path)
    assert again.people_password is None and again.session != first.session
    assert ask(client, again) == (200, None)
    assert first.people_password not in "\n".join(lines_about(again, "http://x"))


def test_a_token_that_was_revoked_stays_so(path: Path) -> None:
    from rowkeeper.accounts.tokens import revoke

    load(path)
    revoke(ApiToken.objects.get())
    again = load(path)
    assert again.api_token is None and ApiToken.objects.count() == 1
    assert "(was revoked)" in "\n".join(lines_about(again, "http://x"))


def test_users_that_nobody_signs_in_against_any_more(path: Path, client: Client) -> None:
    load(path)
    model = DataSource.objects.get(name="Users")
    model.definition = {}
    saving.save(model)
    again = load(path)
    assert again.session is None
    lines = "\n".join(lines_about(again, "http://x"))
    assert lines.count("curl") == 1 and "cannot sign in" in lines


# -- what is printed


def test_the_three_lines_do_what_they_say(path: Path, client: Client, settings: Any) -> None:
    settings.VAR_DIR = path.parent
    output = StringIO()
    call_command("loaddemo", "--port", "8123", stdout=output)
    text = output.getvalue()
    said = re.findall(r"^(\w+).*:.*\n  (curl .*)$", text, re.M)
    assert [word for word, _ in said] == ["Answered", "Denied", "Not"]
    answers = [send(client, shlex.split(line)) for _, line in said]
    assert answers == [(200, None), (400, "datasource.access"), (401, "auth.required")]
    demo = load(path)
    for secret in (demo.admin_password, demo.people_password, demo.api_token):
        assert secret and secret in text
    assert "http://127.0.0.1:8123/admin/" in text
    again = StringIO()
    call_command("loaddemo", "--port", "8123", stdout=again)
    assert again.getvalue() == text


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.7", "http://192.0.2.7:8000/"),
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::1", "http://[::1]:8000/"),
    ],
)
def test_the_host_is_told(path: Path, settings: Any, host: str, shown: str) -> None:
    settings.VAR_DIR = path.parent
    output = StringIO()
    call_command("loaddemo", "--host", host, stdout=output)
    assert f"Rowkeeper: {shown} " in output.getvalue()


def test_make_run_tells_the_host_that_it_listens_on() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "loaddemo --host $(HOST) --port $(PORT)" in makefile


def send(client: Client, words: list[str]) -> tuple[int, str | None]:
    (url,) = [word for word in words if word.startswith("http://127.0.0.1:8123/")]
    pairs = [words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H"]
    headers = dict(pairs)
    response = client.post(
        url.removeprefix("http://127.0.0.1:8123"),
        words[words.index("-d") + 1],
        content_type=headers.pop("Content-Type"),
        headers=headers,
    )
    return response.status_code, response.json().get("type")


def test_the_newcomers_story(path: Path, client: Client) -> None:
    """The same query that was answered is denied after an edit in the admin."""
    demo = load(path)
    assert ask(client, demo) == (200, None)
    model = DataSource.objects.get(name="Employees")
    save_rules(model, [{**rule, "enabled": False} for rule in rules_of(model)])
    assert ask(client, demo) == (400, "datasource.access")
    assert ask(client, None)[0] == 401
