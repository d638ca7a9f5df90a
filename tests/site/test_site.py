"""The site around the apps: what it answers beside its pages, and a package that is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client, override_settings

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.codec import loads

ROOT = Path(__file__).parents[2]


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


@pytest.mark.checkout
@pytest.mark.parametrize("name", ["datasources", "accounts", "rules"])
def test_each_package_has_one_import_name(name: str) -> None:
    code = f"""
import sys
import rowkeeper, rowkeeper.{name}
assert "django.apps.registry" not in sys.modules
try:
    import {name}
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"this package is imported as `rowkeeper.{name}`\n"


def test_no_module_is_loaded_under_two_names() -> None:
    files = [
        os.path.realpath(module.__file__)
        for name, module in list(sys.modules.items())
        if name != "__main__" and getattr(module, "__file__", None)
    ]
    ours = [file for file in files if file.startswith(f"{ROOT}/") and "/.venv" not in file]
    assert len(ours) > 100 and sorted(ours) == sorted(set(ours))


@pytest.mark.parametrize("text", ["{", b"\xff", "[" * 100_000])
def test_messages_name_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(Malformed, match=r"^the body is (not |nested)"):
        loads(text)
    with pytest.raises(Malformed, match=r"^the argument is (not |nested)"):
        loads(text, "the argument")
