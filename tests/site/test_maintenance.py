"""What an operator does: indexes after a crash, SQLite's file, migrations backwards, logs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.test import Client

from project import settings as own
from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.checks.schema import check_indexes
from rowkeeper.datasources.indexes.build import existing, invalid
from rowkeeper.datasources.indexes.expressions import name_of, pieces_name_of
from rowkeeper.datasources.indexes.status import statuses
from rowkeeper.datasources.models import DataSource, Entry
from tests.support.calls import OPEN, data_source

ROOT = Path(__file__).resolve().parents[2]
TABLE = Entry._meta.db_table


def marked() -> DataSource:
    """A data source with an index of its column."""
    model = data_source("Rows", ["Name"], [{"Name": "Ann"}, {"Name": "Ben"}], [OPEN])
    call_command("indexes", "Rows", "--mark", "Name", "--build", stdout=StringIO())
    model.refresh_from_db()
    return model


def of(vendor: str) -> None:
    if connection.vendor != vendor:
        pytest.skip(f"this is about {vendor}")


# -- indexes that are invalid


def break_index(name: str) -> None:
    """Leave it as a crash leaves an index whose building was under way."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid=false WHERE indexrelid=%s::regclass", [name])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("which", ["column", "pieces", "whole", "left behind"])
@pytest.mark.parametrize("words", [(), ("Rows",)])
def test_an_invalid_index_is_named_and_made_again(which: str, words: tuple[str, ...]) -> None:
    of("postgresql")
    model = marked()
    assert check_indexes(None, databases=["default"]) == []
    if which == "left behind":
        name = "rowkeeper_entry_whole_ccnew"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE INDEX {name} ON {TABLE} (id)")
    else:
        name = {
            "column": name_of(model.pk, "Name"),
            "pieces": pieces_name_of(model.pk, "Name"),
            "whole": "rowkeeper_entry_whole",
        }[which]
    if which == "pieces" and name not in existing():
        pytest.skip("the server has no pg_trgm")
    break_index(name)
    (warning,) = check_indexes(None, databases=["default"])
    assert f"`{name}` is invalid" in str(warning.msg)
    assert "indexes --build" in str(warning.hint)
    call_command("indexes", *words, "--build", stdout=StringIO())
    assert invalid() == []
    assert check_indexes(None, databases=["default"]) == []
    model.refresh_from_db()
    assert [status.state for status in statuses(model)] == ["ready"]


@pytest.mark.django_db(transaction=True)
def test_indexes_of_all_data_sources() -> None:
    marked()
    data_source("Others", ["Name"], [], [])
    printed = StringIO()
    call_command("indexes", stdout=printed)
    assert "Rows" in printed.getvalue()
    assert "Others" not in printed.getvalue()
    with pytest.raises(CommandError, match="name the data source"):
        call_command("indexes", "--mark", "Name")


# -- SQLite's file


@pytest.mark.django_db(transaction=True)
def test_a_database_with_marked_columns_is_checked_and_vacuumed() -> None:
    of("sqlite")
    marked()
    printed = StringIO()
    call_command("sqlitecheck", "--vacuum", stdout=printed)
    assert printed.getvalue().splitlines() == [
        "the database is intact",
        "the file was rewritten",
    ]
    path = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.Error):
        other.execute("VACUUM")


@pytest.mark.django_db(transaction=True)
def test_what_is_wrong_with_a_database_is_named() -> None:
    of("sqlite")
    model = marked()
    connection.close()
    with closing(sqlite3.connect(str(connection.settings_dict["NAME"]))) as other:
        other.execute("PRAGMA foreign_keys=off")
        other.execute("DELETE FROM rowkeeper_datasources_datasource WHERE id=?", [model.pk])
        other.commit()
    with pytest.raises(CommandError, match="refers to a row of rowkeeper_datasources_datasource"):
        call_command("sqlitecheck", stdout=StringIO())
    with connection.cursor() as cursor:
        for table in ("rowkeeper_rules_accessrule", "rowkeeper_rules_revision", TABLE):
            cursor.execute(f"DELETE FROM {table}")


@pytest.mark.django_db
def test_another_database_has_its_own_tools() -> None:
    of("postgresql")
    with pytest.raises(CommandError, match="pg_amcheck"):
        call_command("sqlitecheck")


def synchronous(value: str | None) -> subprocess.CompletedProcess[str]:
    """What a process of the site says of SQLite's `synchronous`."""
    given = {key: text for key, text in os.environ.items() if key != "SQLITE_SYNCHRONOUS"}
    given |= {} if value is None else {"SQLITE_SYNCHRONOUS": value}
    code = (
        "import django;django.setup();from django.db import connection as c;"
        "print(c.cursor().execute('PRAGMA synchronous').fetchone()[0])"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **given,
            "DATABASE_URL": "sqlite://:memory:",
            "DJANGO_SETTINGS_MODULE": "project.settings",
        },
        capture_output=True,
        text=True,
    )


def test_what_is_stored_on_sqlite_survives_a_power_cut() -> None:
    assert synchronous(None).stdout.split() == ["2"]
    assert synchronous("normal").stdout.split() == ["1"]
    assert "`SQLITE_SYNCHRONOUS` is `OFF`" in synchronous("off").stderr


# -- migrations


@pytest.mark.django_db(transaction=True)
def test_migrating_back_with_marked_columns() -> None:
    model = marked()
    assert existing()
    try:
        call_command("migrate", "rowkeeper_rules", "zero", verbosity=0)
        call_command("migrate", "rowkeeper_accounts", "zero", verbosity=0)
        call_command("migrate", "rowkeeper_datasources", "zero", verbosity=0)
        assert TABLE not in connection.introspection.table_names()
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT 1 FROM pg_proc WHERE starts_with(proname,'rowkeeper')")
                assert cursor.fetchall() == []
    finally:
        call_command("migrate", verbosity=0)
    assert model.pk


@pytest.mark.django_db(transaction=True)
def test_migrating_back_and_forth_keeps_the_marks() -> None:
    model = marked()
    try:
        call_command("migrate", "rowkeeper_datasources", "0005", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    model.refresh_from_db()
    assert model.indexed_columns == ["Name"]
    call_command("indexes", "Rows", "--build", stdout=StringIO())
    model.refresh_from_db()
    assert [status.state for status in statuses(model)] == ["ready"]
    assert set(existing()) >= {name_of(model.pk, "Name")}


# -- the log, and what a failed save says


@pytest.mark.parametrize(("level", "shown"), [("ERROR", False), ("WARNING", True)])
def test_the_level_of_the_log_counts_for_django_as_well(level: str, shown: bool) -> None:
    code = (
        "import django;django.setup();import logging;"
        "logging.getLogger('django.request').warning('Not Found');"
        "logging.getLogger('django.server').warning('Not Found');"
        "logging.getLogger('rowkeeper.api').warning('Not Found')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": level, "DJANGO_SETTINGS_MODULE": "project.settings"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Not Found") == (3 if shown else 0)
    assert own.LOGGING["root"]["handlers"] == ["stderr"]


@pytest.mark.django_db
def test_not_every_integrity_error_is_about_the_name(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **words: Any) -> None:
        raise IntegrityError("NOT NULL constraint failed: something else")

    def create() -> Any:
        return admin_client.post(
            "/v1/data-sources",
            {"name": "New"},
            content_type="application/json",
            headers={"X-CSRFToken": ""},
        )

    monkeypatch.setattr(saving, "save", fails)
    response = create()
    assert (response.status_code, response.json()["type"]) == (500, "server.error")
    DataSource.objects.create(name="New")
    response = create()
    assert response.status_code == 400
    assert "already a data source with that name" in response.json()["message"]
