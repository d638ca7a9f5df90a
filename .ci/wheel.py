"""Run in a project fresh from `startproject`: adds the installed apps, migrates, asks.

What is added is what the README tells a user to add.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SETTINGS = """
INSTALLED_APPS += ["rest_framework", "guardian", "datasources", "accounts", "rules"]
AUTHENTICATION_BACKENDS = [
    "accounts.backends.SignInLimits",
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
MIDDLEWARE.insert(0, "rules.api.middleware.JsonErrors")
"""

URLS = """
from django.urls import include

urlpatterns.append(path("v1/", include("rules.api.urls")))
"""


def extend(path: str, text: str) -> None:
    """Append the text to the file."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def installed() -> None:
    """The packages come out of the wheel, whole, and nothing else does."""
    from importlib.metadata import files

    names = {str(file) for file in files("rowkeeper") or ()}
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops <= {"datasources", "accounts", "rules"}, tops
    for app in ("datasources", "accounts", "rules"):
        assert f"{app}/py.typed" in names, f"{app}/py.typed is not in the wheel"
        assert any(name.startswith(f"{app}/migrations/0") for name in names), f"{app}: migrations"
    assert any(name.startswith("rules/templates/") for name in names), "templates"


def answers() -> None:
    """Without a login, `GET /v1/user` is a 401 in JSON; the admin's pages are there."""
    from django.test import Client

    client = Client()
    response = client.get("/v1/user", HTTP_HOST="localhost")
    assert response.status_code == 401, response.status_code
    assert response["Content-Type"].startswith("application/json"), response["Content-Type"]
    body = response.json()
    assert body["type"] == "auth.required" and body["message"], body
    response = client.get("/v1/nothing", HTTP_HOST="localhost")
    assert (response.status_code, response.json()["type"]) == (404, "notfound")

    from django.contrib.auth.models import User

    client.force_login(User.objects.create_superuser("root"))
    for page in ("", "rowkeeper_datasources/datasource/", "rowkeeper_datasources/datasource/add/"):
        response = client.get(f"/admin/{page}", HTTP_HOST="localhost")
        assert response.status_code == 200, (page, response.status_code)


def scripts_run() -> None:
    """A worker finds what it needs where the wheel was installed, and nothing of the project."""
    from rules.sandbox import run
    from rules.sandbox.protocol import ScriptCall

    verdict = run(ScriptCall("return {'granted': not user}", "select", None, {}), None)  # type: ignore[arg-type]
    assert verdict.granted, verdict


def main() -> None:
    """Extend the project, migrate it, check it, ask it."""
    extend("example/settings.py", SETTINGS)
    extend("example/urls.py", URLS)
    sys.path.insert(0, os.getcwd())
    os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"
    import django
    from django.core.management import call_command

    installed()
    django.setup()
    call_command("check", fail_level="WARNING")
    call_command("migrate", verbosity=0)
    answers()
    scripts_run()
    print("the wheel migrates and answers")


if __name__ == "__main__":
    main()
