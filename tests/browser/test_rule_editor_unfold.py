"""The rule editor under django-unfold, which replaces the admin's site: on a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import PATIENCE, axe, browser  # noqa: F401
from tests.support.servers import free_port, running

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SET_UP = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.catalog import saving
from rowkeeper.rules.repository.rules import save_rules
User.objects.create_superuser("boss", password="pw")
source = DataSource(name="Employees", columns=["Email", "Role"])
saving.save(source)
reads, deletes = {"type": ["select"], "allow": "all"}, {"type": ["delete"], "allow": "loggedIn"}
save_rules(source, [reads, deletes])
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server with the theme, on a database of its own."""
    pytest.importorskip("unfold")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.support.unfold_settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "SECRET_KEY": "for the test alone, for the test alone, for the test alone",
    }
    manage = [sys.executable, "manage.py"]
    run = {"cwd": ROOT, "env": environment}
    subprocess.run([*manage, "shell", "-v0"], input=SET_UP, text=True, check=True, **run)
    port = free_port()
    command = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with (
        (tmp_path / "log").open("w") as log,
        running(port, *command, stdout=log, stderr=log, **run),
    ):
        yield f"http://127.0.0.1:{port}"


def test_rules_are_edited_under_another_theme(address: str, browser: Any) -> None:  # noqa: F811
    page = browser.new_page(base_url=address, viewport={"width": 390, "height": 900})
    page.set_default_timeout(PATIENCE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto("/admin/login/?next=/admin/rowkeeper_datasources/datasource/1/change/")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", "pw")
    page.press("[name=password]", "Enter")
    page.locator(".rk-rule").nth(1).wait_for()
    from playwright.sync_api import expect

    expect(page.locator(".rk-words").first).not_to_contain_text("…")
    page.get_by_role("button", name="Move rule 2 up").click()
    page.locator(".rk-opener").first.click()
    page.get_by_role("radio", name="All but").click()
    page.get_by_role("combobox", name="Add to: All columns but these").click()
    page.locator('[role=option][data-value="Role"]:visible').click()
    for scheme in ("light", "dark"):
        page.evaluate(
            "(dark) => document.documentElement.classList.toggle('dark', dark)", scheme == "dark"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert axe(page, ".rowkeeper-rules") == []
    page.locator("[name=_save]").click()
    page.wait_for_url("**/datasource/")
    page.goto("/admin/rowkeeper_datasources/datasource/1/change/")
    page.locator(".rk-rule").nth(1).wait_for()
    text = page.locator("#id_rules").input_value()
    assert text.index("delete") < text.index('"exclude": ["Role"]') < text.index("select")
    assert faults == []
