"""Who wrote a script is kept: no save lends somebody's rights to a script that another wrote."""

from __future__ import annotations

import json
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import AccessRule, Revision, ScriptWriter
from rowkeeper.rules.repository.rules import rules_and_writers, save_rules
from tests.support.calls import data_source

pytestmark = pytest.mark.django_db

SPY = "return {'granted': DataSources('HR').count() > 0}"
READ: dict[str, Any] = {"type": ["select"], "allow": "all"}


class Place:
    """HR, whose rows only the administrator may view; and Staff, whose rules Mallory may change."""

    def __init__(self) -> None:
        self.hr = data_source("HR", ["Name"], [{"Name": "Ann"}], [])
        self.staff = data_source("Staff", ["Name"], [{"Name": "Bob"}], [])
        self.other = data_source("Other", ["Name"], [{"Name": "Bob"}], [])
        self.root = User.objects.create_superuser("root", password="x")
        self.mallory = User.objects.create_user("mallory", password="x", is_staff=True)
        for right in ("change_rules", "write_scripts", "view"):
            for source in (self.staff, self.other):
                assign_perm(f"rowkeeper_datasources.{right}_datasource", self.mallory, source)

    def planted(self) -> int:
        """Mallory saves the script, and removes it; the number of the revision that has it."""
        save_rules(self.staff, [READ, {"script": SPY}], self.mallory)
        number = DataSource.objects.get(pk=self.staff.pk).revision
        save_rules(self.staff, [READ], self.mallory)
        return number

    def spies(self, source: DataSource | None = None) -> bool:
        """Whether the script of the first rule reads HR."""
        save_rules(source or self.staff, _scripts_only(source or self.staff), None)
        reference = (source or self.staff).pk
        return Client().get(f"/v1/data-sources/{reference}/data").status_code == 200

    def as_user(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client


def _scripts_only(source: DataSource) -> list[Any]:
    return [rule for rule in rules_and_writers(source.pk)[0] if "script" in rule]


@pytest.fixture
def place() -> Place:
    return Place()


def writer(source: DataSource) -> Any:
    return rules_and_writers(source.pk)[1].get(SPY, "no such script")


def run(command: str, *words: Any) -> str:
    output = StringIO()
    call_command(command, *map(str, words), stdout=output)
    return output.getvalue()


def test_the_attack_needs_somebody_s_rights(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.root)
    assert place.spies()
    save_rules(place.other, [{"script": SPY + "\n"}], place.mallory)
    assert not place.spies(place.other)


# -- the ways back


def test_going_back_in_the_admin(place: Place) -> None:
    number = place.planted()
    client = place.as_user(place.root)
    name = "admin:rowkeeper_datasources_datasource_rules_revision"
    url = reverse(name, args=[place.staff.pk, number])
    page = client.get(url)
    sent = {"seen": page.context["seen"], "confirmed": "yes"}
    assert client.post(url, sent).status_code == 302
    assert writer(place.staff) == place.mallory.pk
    assert not place.spies()


@pytest.mark.parametrize("by", [(), ("--user", "root")])
def test_going_back_by_a_command(place: Place, by: tuple[str, ...]) -> None:
    number = place.planted()
    run("revertrules", "Staff", number, *by)
    assert writer(place.staff) == place.mallory.pk
    assert not place.spies()


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "not known"])
def test_an_import(place: Place, tmp_path: Path, forgotten: bool) -> None:
    save_rules(place.staff, [{"script": SPY}], place.mallory)
    run("exportrules", "Staff", "--output", tmp_path)
    save_rules(place.staff, [READ], place.mallory)
    if forgotten:
        ScriptWriter.objects.all().delete()
    told = run("importrules", tmp_path, "--user", "root")
    assert writer(place.staff) == (None if forgotten else place.mallory.pk)
    assert ("writer of this script is unknown" in told) is forgotten
    assert not place.spies()


def test_saving_again_by_code_or_by_the_api(place: Place) -> None:
    place.planted()
    save_rules(place.staff, [{"script": SPY}], place.root)
    assert writer(place.staff) == place.mallory.pk
    save_rules(place.staff, [], place.root)
    sent = json.dumps({"accessRules": [{"script": SPY}]})
    client = place.as_user(place.root)
    url = f"/v1/data-sources/{place.staff.pk}"
    assert client.put(url, sent, content_type="application/json").status_code == 200
    assert writer(place.staff) == place.mallory.pk
    assert not place.spies()


def test_a_text_of_another_data_source_is_nobodys(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.mallory)
    save_rules(place.other, [{"script": SPY}], place.root)
    assert writer(place.other) is None
    assert not place.spies(place.other)
    # Nor does a delegate get the rights of an administrator by a copy of their script.
    third = data_source("Third", ["Name"], [], [])
    save_rules(third, [{"script": SPY + "#"}], place.root)
    save_rules(place.staff, [{"script": SPY + "#"}], place.mallory)
    assert rules_and_writers(place.staff.pk)[1] == {SPY + "#": None}


def test_one_s_own_text_is_one_s_own_elsewhere(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.root)
    save_rules(place.other, [{"script": SPY}], place.root)
    assert writer(place.other) == place.root.pk


def test_a_writer_who_is_gone_stays_so(place: Place) -> None:
    number = place.planted()
    place.mallory.delete()
    run("revertrules", "Staff", number, "--user", "root")
    assert writer(place.staff) is None


def test_a_rule_that_code_saves_is_remembered(place: Place) -> None:
    AccessRule.objects.create(
        data_source=place.staff, position=1, script=SPY, script_by=place.mallory
    )
    AccessRule.objects.all().delete()
    save_rules(place.staff, [{"script": SPY}], place.root)
    assert writer(place.staff) == place.mallory.pk


def test_a_fixture_brings_no_writer(place: Place, tmp_path: Path) -> None:
    save_rules(place.staff, [{"script": SPY}], place.root)
    path = tmp_path / "writers.json"
    path.write_text(run("dumpdata", "rowkeeper_rules.scriptwriter"))
    save_rules(place.staff, [])
    ScriptWriter.objects.all().delete()
    call_command("loaddata", str(path), verbosity=0)
    save_rules(place.staff, [{"script": SPY}], place.mallory)
    assert writer(place.staff) is None


# -- to take a script over


def test_taking_over_on_its_page(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.mallory)
    client = place.as_user(place.root)
    url = reverse("admin:rowkeeper_datasources_datasource_rules_scripts", args=[place.staff.pk])
    page = client.get(url).content.decode()
    assert "mallory" in page and "DataSources(&#x27;HR&#x27;)" in page
    digest = ScriptWriter.objects.get().digest
    page = client.post(url, {"script": digest}, follow=True).content.decode()
    assert "select the checkbox above the button first" in page
    assert writer(place.staff) == place.mallory.pk, "the box is not ticked"
    page = client.post(url, {"script": "0" * 64, "read": "yes"}, follow=True).content.decode()
    assert "no rule contains this script any more" in page
    assert writer(place.staff) == place.mallory.pk
    client.post(url, {"script": digest, "read": "yes"})
    assert writer(place.staff) == place.root.pk
    assert place.spies()
    revision = Revision.objects.filter(saved_by=place.root).get()
    assert revision.note == "took over the script of rule 1"
    # Who takes over gives their own rights, no others.
    place.as_user(place.mallory).post(url, {"script": digest, "read": "yes"})
    assert writer(place.staff) == place.mallory.pk
    assert not place.spies()


def test_taking_over_needs_the_right_to_write_scripts(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.root)
    reader = User.objects.create_user("reader", is_staff=True)
    assign_perm("rowkeeper_datasources.change_rules_datasource", reader, place.staff)
    url = reverse("admin:rowkeeper_datasources_datasource_rules_scripts", args=[place.staff.pk])
    client = place.as_user(reader)
    assert "Take over" not in client.get(url).content.decode()
    client.post(url, {"script": ScriptWriter.objects.get().digest, "read": "yes"})
    assert writer(place.staff) == place.root.pk
    stranger = User.objects.create_user("stranger", is_staff=True)
    assert place.as_user(stranger).get(url).status_code in (302, 403, 404)


def test_taking_over_by_commands(place: Place, tmp_path: Path) -> None:
    number = place.planted()
    with pytest.raises(CommandError, match="requires --user"):
        run("revertrules", "Staff", number, "--take-over-scripts")
    told = run("revertrules", "Staff", number, "--user", "root", "--take-over-scripts", "--check")
    assert f"    {SPY}" in told and writer(place.staff) == "no such script"
    run("revertrules", "Staff", number, "--user", "root", "--take-over-scripts")
    assert writer(place.staff) == place.root.pk
    run("exportrules", "Staff", "--output", tmp_path)
    told = run("importrules", tmp_path, "--user", "mallory", "--take-over-scripts")
    assert f"    {SPY}" in told and "1 read, 1 changed" in told
    assert writer(place.staff) == place.mallory.pk
    told = run("importrules", tmp_path, "--user", "mallory", "--take-over-scripts")
    assert "1 read, 0 changed" in told


def test_a_save_warns_of_scripts_without_a_writer(place: Place) -> None:
    save_rules(place.staff, [{"script": SPY}], place.mallory)
    sent = json.dumps({"accessRules": [{"script": SPY}]})
    client = place.as_user(place.root)
    url = f"/v1/data-sources/{place.other.pk}"
    answer = client.put(url, sent, content_type="application/json").json()
    assert "script-writer-unknown" in [each["code"] for each in answer["warnings"]]


# -- what is stored already


def test_the_migration_notes_what_is_known(place: Place) -> None:
    place.planted()
    old = "return {'granted': False}"
    save_rules(place.staff, [{"script": old}], place.mallory)
    save_rules(place.staff, [{"script": SPY + " "}], place.root)
    ScriptWriter.objects.all().delete()
    step = import_module("rowkeeper.rules.migrations.0006_script_writers_of_stored_rules")
    step.note_writers(apps, SimpleNamespace(connection=connection))
    save_rules(place.staff, [{"script": text} for text in (SPY, old, SPY + " ")], place.root)
    assert rules_and_writers(place.staff.pk)[1] == {SPY: None, old: None, SPY + " ": place.root.pk}
