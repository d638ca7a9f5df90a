"""Where a router reads from replicas, no decision rests on what one of them has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import router
from django.test import override_settings

from rowkeeper.datasources.checks.settings import check_database
from rowkeeper.datasources.database.connection import OneDatabase, install
from tests.support.databases import empty_databases

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def urls(tmp_path: Path, db: None) -> Iterator[dict[str, str]]:
    """The addresses of two databases of the kind that the tests run on."""
    with empty_databases(tmp_path, "primary", "replica") as found:
        yield {"PRIMARY_URL": found["primary"], "REPLICA_URL": found["replica"]}


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process of the site with the replica."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.replica.settings",
            "DATABASE_POOL": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_nothing_is_granted_after_its_revocation(urls: dict[str, str]) -> None:
    done = process("-m", "tests.replica.run", **urls)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert len(seen) == 13
    for name, statuses in seen.items():
        assert statuses[:2] == [200, 200], (name, statuses)
        assert not {200, 500, 503} & set(statuses[2:]), (name, statuses)


def test_a_replica_as_the_database_is_an_error(urls: dict[str, str]) -> None:
    done = process("manage.py", "check", ROWKEEPER_DATABASE="replica1", **urls)
    assert done.returncode == 1
    assert "rowkeeper.E005" in done.stderr
    assert "send `auth.User` to `primary`" in done.stderr


def test_a_database_that_is_none_is_an_error() -> None:
    with override_settings(ROWKEEPER={**settings.ROWKEEPER, "DATABASE": "nowhere"}):
        (found,) = check_database(None)
    assert found.id == "rowkeeper.E004"
    assert "`default`" in str(found.hint)


class Elsewhere:
    """A router that keeps users apart, as Django's documentation does."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "auth_db" if model._meta.app_label == "auth" else None

    db_for_write = db_for_read


def test_users_in_another_database_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "routers", [OneDatabase(), Elsewhere()])
    found = [str(error.msg) for error in check_database(None) if error.id == "rowkeeper.E005"]
    assert any("send `auth.User` to `auth_db`" in text for text in found)
    assert not any("DataSource" in text for text in found)


def test_the_router_comes_first_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "routers", [Elsewhere(), OneDatabase()])
    install()
    install()
    assert [type(found) for found in router.routers] == [OneDatabase, Elsewhere]


_BARE = re.compile(
    r"from django\.db import [^\n]*\bconnections?\b|transaction\.(atomic|on_commit|set_rollback)\("
    r"(?![^\n]*using=)"
)


def test_no_code_goes_past_the_setting() -> None:
    allowed = {
        f"datasources/{name}.py"
        for name in ("database/connection", "checks/settings", "indexes/postgresql_functions")
    }
    for package in ("datasources", "accounts", "rules", "project"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if "/migrations/" not in name and name not in allowed:
                assert not _BARE.search(path.read_text("utf-8")), name
