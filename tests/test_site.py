"""The site around the apps: what it answers beside its pages, and a package that is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client, override_settings

from datasources.errors import Malformed
from datasources.values.codec import loads

ROOT = Path(__file__).parent.parent


def test_browsers_find_the_icon_that_they_ask_for(client: Client) -> None:
    response = client.get("/favicon.ico")
    assert response.status_code == 302
    assert finders.find(response.headers["Location"].removeprefix("/static/"))


@pytest.mark.parametrize("listed", [True, False])
def test_static_files_are_served_without_being_collected(listed: bool) -> None:
    """As the site does it, which lists them when it starts; and as the tests do it."""
    with override_settings(WHITENOISE_AUTOREFRESH=not listed):
        client = Client()
        response = client.get("/static/rowkeeper/rules/editor.js")
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/javascript")
        assert response.getvalue()
        assert client.get("/static/rowkeeper/rules/none.js").status_code == 404


@pytest.mark.parametrize("app", ["accounts", "rules"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, app: str) -> None:
    (tmp_path / "datasources").mkdir()
    other = tmp_path / "datasources" / "__init__.py"
    other.touch()
    found = subprocess.run(
        [sys.executable, "-c", f"import {app}.apps"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    (told,) = [line for line in found.stderr.splitlines() if "ImproperlyConfigured: " in line]
    assert str(other) in told and "Rename that package" in told


@pytest.mark.parametrize("text", ["{", b"\xff", "[" * 100_000])
def test_messages_name_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(Malformed, match=r"^the body (is no|nests)"):
        loads(text)
    with pytest.raises(Malformed, match=r"^the argument (is no|nests)"):
        loads(text, "the argument")
