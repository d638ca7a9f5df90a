"""A site that was migrated by earlier code has the schema of a new one after `migrate`."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from rowkeeper.datasources.checks.schema import check_functions
from rowkeeper.datasources.indexes import postgresql_functions
from tests.support.databases import empty_databases

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "tests" / "upgrade"
LANDED = ROOT / "tests" / "cases" / "migrations.json"
LONG = bool(os.environ.get("ROWKEEPER_TEST_LONG"))


@cache
def commits() -> tuple[str, ...]:
    """Each commit that added or changed a migration, the first one first; none without git."""
    words = ["git", "log", "--format=%h", "--reverse", "--topo-order", "--", "*/migrations/*.py"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(done.stdout.split())


ANY = "any other"


def some_commits() -> list[str]:
    """All of them in long tests; else the first one, and one by chance.

    The choice is made in the test: all processes of a parallel run collect the same tests.
    """
    return list(commits()) if LONG else [*commits()[:1], ANY]


def extract(commit: str, folder: Path) -> Path:
    """The files of a commit in a new folder."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        # Python before 3.11.4, such as that of Debian 12, has no filters.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    return folder


def run(script: str, url: str, code: Path, *words: str) -> str:
    """What a script of `tests/upgrade` prints, run by the code in a folder."""
    done = subprocess.run(
        [sys.executable, str(CODE / script), *words],
        cwd=code,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(code),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(url: str, *words: str) -> Any:
    return json.loads(run("read.py", url, ROOT, *words).splitlines()[-1])


@pytest.fixture(scope="module")
def fresh(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the code of today says of a new site."""
    with empty_databases(tmp_path_factory.mktemp("fresh"), "fresh") as urls:
        return read(urls["fresh"])


@pytest.mark.django_db
@pytest.mark.skipif(len(commits()) < 2, reason="there is no git history here")
@pytest.mark.parametrize("commit", some_commits())
def test_an_upgrade_with_data_gives_the_schema_of_a_new_site(
    commit: str, fresh: Any, tmp_path: Path
) -> None:
    from tests.upgrade.fill import ROWS, RULES

    if commit == ANY:
        commit = random.choice(commits()[1:])
        print("upgraded from", commit)
    before = extract(commit, tmp_path / "before")
    with empty_databases(tmp_path, "upgraded") as urls:
        run("fill.py", urls["upgraded"], before)
        upgraded = read(urls["upgraded"])
    assert upgraded["schema"] == fresh["schema"]
    assert upgraded["warnings"] == fresh["warnings"]
    ann, anne, ben = ROWS
    assert upgraded["found"] == {
        "rows": [[ann, anne, ben], [anne], [ann], [ann], [ann]],
        "rules": RULES,
        "app": "App",
    }


# -- the functions on PostgreSQL


def of_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's functions are registered on each connection")


def reported() -> list[str]:
    return [str(warning.msg) for warning in check_functions(None, databases=["default"])]


@pytest.mark.django_db
def test_a_missing_and_a_different_function_are_reported_and_made_by_migrate() -> None:
    of_postgresql()
    assert reported() == []
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION rowkeeper_ends(jsonb,text[])")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION rowkeeper_in_years(ms bigint) RETURNS bigint "
            "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT ms $$"
        )
    missing, different = reported()
    assert "has no function `rowkeeper_ends(jsonb, text[])`" in missing
    assert "has another function `rowkeeper_in_years(bigint)`" in different
    assert check_functions(None, databases=[]) == []
    call_command("migrate", verbosity=0)
    assert reported() == []


@pytest.mark.django_db
def test_an_index_is_made_again_when_its_function_changes() -> None:
    of_postgresql()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION rowkeeper_lower(value text) RETURNS text "
            "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 'same' $$"
        )
        cursor.execute("CREATE TABLE rowkeeper_test (t text)")
        cursor.execute("INSERT INTO rowkeeper_test VALUES ('A'),('B')")
        cursor.execute("CREATE INDEX rowkeeper_test_i ON rowkeeper_test (rowkeeper_lower(t))")
        assert postgresql_functions.make(connection) == ["rowkeeper_lower(text)"]
        cursor.execute("SET LOCAL enable_seqscan=off")
        cursor.execute("SELECT t FROM rowkeeper_test WHERE rowkeeper_lower(t)='b'")
        assert cursor.fetchall() == [("B",)]


@pytest.mark.django_db(transaction=True)
def test_migrating_back_leaves_no_function() -> None:
    of_postgresql()
    try:
        call_command("migrate", "rowkeeper_datasources", "0001", verbosity=0)
        call_command("migrate", "rowkeeper_datasources", "zero", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT proname FROM pg_proc WHERE starts_with(proname,'rowkeeper')")
            assert cursor.fetchall() == []
    finally:
        call_command("migrate", verbosity=0)


# -- migrations that have landed


def digests() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for app in ("accounts", "datasources", "rules")
        for path in sorted((ROOT / app / "migrations").glob("0*.py"))
    }


@pytest.mark.checkout
def test_no_migration_is_edited_once_landed() -> None:
    landed, now = json.loads(LANDED.read_text("utf-8")), digests()
    edited = [name for name in landed if now.get(name) != landed[name]]
    assert not edited, (
        f"{', '.join(edited)}: sites have run these migrations; write a new one. PostgreSQL's "
        "functions are those of `datasources/indexes/postgresql_functions.py`."
    )
    new = {name: now[name] for name in now if name not in landed}
    assert not new, f"add the new migrations to {LANDED.name}:\n{json.dumps(new, indent=2)}"
