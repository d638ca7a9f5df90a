"""The variables of the site's settings, each read by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TELL = """
import json
from project import settings
database = settings.DATABASES["default"]
print(json.dumps([str(database["NAME"]), database["OPTIONS"]]))
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a process prints that has these variables and no other of the site's."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, "SECRET_KEY": "x" * 50, **variables},
        capture_output=True,
        text=True,
    )


def database(url: str, **variables: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of the database that a URL names."""
    done = run(TELL, DATABASE_URL=url, **variables)
    assert done.returncode == 0, done.stderr
    name, options = json.loads(done.stdout)
    return name, options


def problem(url: str, **variables: str) -> str:
    """The last line of what is said of a URL that is refused."""
    done = run(TELL, DATABASE_URL=url, **variables)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("query", ["options=-c%20search_path%3Dother", "currentSchema=other"])
def test_options_of_the_url_are_kept_with_those_of_the_site(query: str) -> None:
    _, options = database(f"postgres://me@host/name?{query}", PGOPTIONS="-c statement_timeout=15s")
    words = options["options"].split("-c ")
    assert {word.strip() for word in words} >= {
        "plan_cache_mode=force_generic_plan",
        "search_path=other",
        "statement_timeout=15s",
    }


def test_an_option_of_the_url_wins_over_that_of_the_site() -> None:
    _, options = database("postgres://me@host/name?options=-c%20jit%3Don&sslmode=require")
    assert options["options"].rindex("jit=on") > options["options"].rindex("jit=off")
    assert options["sslmode"] == "require"


def test_a_schema_beside_options_is_refused_by_name() -> None:
    told = problem("postgres://me@host/name?currentSchema=a&options=-c%20jit%3Don")
    assert "`currentSchema` and `options`" in told


def test_a_timeout_for_sqlite_is_taken(tmp_path: Path) -> None:
    name, options = database(f"sqlite:///{tmp_path}/db.sqlite3?timeout=20")
    assert name == f"{tmp_path}/db.sqlite3"
    assert (options["timeout"], options["transaction_mode"]) == (20, "IMMEDIATE")


def test_another_option_for_sqlite_is_refused_by_name(tmp_path: Path) -> None:
    assert "`cache`" in problem(f"sqlite:///{tmp_path}/db.sqlite3?cache=shared")


def test_a_pooler_is_asked_for_no_options_and_no_prepared_statements() -> None:
    _, options = database(
        "postgres://me@host/name", DATABASE_POOLER="1", PGOPTIONS="-c statement_timeout=15s"
    )
    assert options["prepare_threshold"] is None
    assert not {"options", "pool", "server_side_binding"} & set(options)
    assert "a pooler does not pass on" in problem(
        "postgres://me@host/name?currentSchema=other", DATABASE_POOLER="1"
    )


def test_two_sites_share_a_database_by_schemas() -> None:
    """The tables of each are in its own schema."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        pytest.skip("needs PostgreSQL")
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        names = [f"site_{os.getpid()}_{n}" for n in (1, 2)]
        for name in names:
            server.execute(f"CREATE SCHEMA {name}")
        try:
            for name in names:
                done = run(MIGRATE, DATABASE_URL=f"{url}?options=-c%20search_path%3D{name},public")
                assert done.returncode == 0, done.stderr
            found = server.execute(
                "SELECT schemaname FROM pg_tables WHERE tablename='rowkeeper_datasources_entry'"
                " OR tablename LIKE '%%_datasource' AND schemaname = ANY(%s)",
                [names],
            ).fetchall()
            assert {row[0] for row in found} >= set(names)
        finally:
            for name in names:
                server.execute(f"DROP SCHEMA {name} CASCADE")


MIGRATE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
from rowkeeper.datasources.models import DataSource
assert not DataSource.objects.exists()
DataSource.objects.create(name="Only here")
"""


@pytest.mark.parametrize("given", ["/app", "/app/"])
def test_below_a_path_everything_is_below_it(given: str) -> None:
    """Pages, static files, cookies; asked as gunicorn passes it on."""
    code = """
import io, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
from project.wsgi import application
from django.conf import settings
settings.ALLOWED_HOSTS = ["localhost"]

def ask(path):
    said = {}
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/app", "PATH_INFO": path,
               "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.input": io.BytesIO(),
               "wsgi.url_scheme": "http", "QUERY_STRING": ""}
    body = application(environ, lambda status, headers: said.update(status=status, **dict(headers)))
    return said, b"".join(body).decode()

import re
said, page = ask("/admin/login/")
assert said["status"].startswith("200"), said
styles = re.findall(r'href="([^"]+[.]css)"', page)
assert styles and all(style.startswith("/app/static/") for style in styles), styles
for style in styles:
    said, _ = ask(style.removeprefix("/app"))
    assert said["status"].startswith("200"), (style, said)
said, _ = ask("/admin/")
assert said["Location"].startswith("/app/admin/login/"), said
said, _ = ask("/favicon.ico")
assert said["Location"].startswith("/app/static/"), said
assert settings.SESSION_COOKIE_PATH == settings.CSRF_COOKIE_PATH == "/app/"
"""
    done = run(code, SCRIPT_NAME=given, DATABASE_URL="sqlite://:memory:")
    assert done.returncode == 0, done.stderr


def test_a_path_that_is_none_is_refused() -> None:
    done = run("import project.settings", SCRIPT_NAME="app")
    assert "`SCRIPT_NAME` is `app`, expected a path such as `/app`" in done.stderr


def test_a_command_that_renders_no_template_does_not_load_what_renders_them() -> None:
    """Importing pybars compiles its grammar, which takes two seconds."""
    code = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
from django.core.management import call_command
import django
django.setup()
call_command("check")
assert "pybars" not in sys.modules and "pymeta" not in sys.modules
import rowkeeper.rules.api.urls
assert "pybars" not in sys.modules
import project.wsgi
assert "pybars" in sys.modules
"""
    done = run(code, DATABASE_URL="sqlite://:memory:")
    assert done.returncode == 0, done.stderr
