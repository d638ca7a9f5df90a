"""Run in a project fresh from `startproject`: adds the installed apps, migrates, asks.

    python wheel.py            in a project with an app `accounts` of its own, and django-rules
    python wheel.py again      in the same project, once django-rules is uninstalled

What is added for rowkeeper is what `docs/how-to/install.md` tells a user to add.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path

SETTINGS = """
INSTALLED_APPS += ["rest_framework", "guardian"]
INSTALLED_APPS += ["rowkeeper.datasources", "rowkeeper.accounts", "rowkeeper.rules"]
AUTHENTICATION_BACKENDS = [
    "rowkeeper.accounts.backends.SignInLimits",
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
MIDDLEWARE.insert(0, "rowkeeper.rules.api.middleware.JsonErrorMiddleware")

# The project's own.
from importlib.util import find_spec
INSTALLED_APPS += ["accounts"]
AUTH_USER_MODEL = "accounts.User"
if find_spec("rules"):
    INSTALLED_APPS += ["rules.apps.AutodiscoverRulesConfig"]
    AUTHENTICATION_BACKENDS += ["rules.permissions.ObjectPermissionBackend"]
"""

URLS = """
from django.urls import include

urlpatterns.append(path("v1/", include("rowkeeper.rules.api.urls")))
"""

MODELS = """
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    department = models.CharField(max_length=20, default="Sales")
"""

PREDICATES = """
import rules

in_sales = rules.predicate(lambda user: user.department == "Sales")
rules.add_perm("accounts.sell", rules.is_authenticated & in_sales)
"""

RULES = [
    {"type": ["select"], "allow": "all", "require": [{"Name": {"equals": "a"}}]},
    {"script": "return {'granted': type == 'insert' and 'Name' in query}"},
]

QUERY = '{"where": {"Name": "a"}}'


def extend(path: str, text: str) -> None:
    """Append the text to the file."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def installed() -> None:
    """The packages come out of the wheel, whole, and nothing else does."""
    from importlib.metadata import files

    names = {str(file) for file in files("rowkeeper") or ()}
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"rowkeeper"}, tops
    for app in ("datasources", "accounts", "rules"):
        assert f"rowkeeper/{app}/py.typed" in names, f"{app}/py.typed is not in the wheel"
        migrations = f"rowkeeper/{app}/migrations/0"
        assert any(name.startswith(migrations) for name in names), f"{app}: migrations"
    assert any(name.startswith("rowkeeper/rules/templates/") for name in names), "templates"


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

    from django.contrib.auth import get_user_model

    root = get_user_model().objects.filter(username="root").first()
    client.force_login(root or get_user_model().objects.create_superuser("root"))
    for page in ("", "rowkeeper_datasources/datasource/", "rowkeeper_datasources/datasource/add/"):
        response = client.get(f"/admin/{page}", HTTP_HOST="localhost")
        assert response.status_code == 200, (page, response.status_code)


def rules_decide() -> None:
    """A select, an insert under a script, and `explain`."""
    from django.core.management import call_command
    from django.test import Client

    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    source = DataSource.objects.filter(name="Names").first()
    if source is None:
        source = DataSource(name="Names", columns=["Name"])
        saving.save(source)
        save_rules(source, RULES)
    client = Client(headers={"Host": "localhost"})
    url = f"/v1/data-sources/{source.pk}/data"
    made = client.put(url, {"Name": "a"}, content_type="application/json")
    assert made.status_code == 200, made.content
    found = client.post(f"{url}/query", {"where": {"Name": "a"}}, content_type="application/json")
    assert found.status_code == 200 and found.json()["entries"][0]["data"] == {"Name": "a"}, found
    denied = client.post(f"{url}/query", {}, content_type="application/json")
    assert (denied.status_code, denied.json()["type"]) == (401, "auth.required"), denied.content
    said = StringIO()
    call_command("explain", "Names", operation="select", query=QUERY, stdout=said)
    assert said.getvalue().startswith("granted"), said.getvalue()


def others_are_used() -> None:
    """The project's own users and permissions work beside rowkeeper's."""
    from django.contrib.auth import get_user_model

    from accounts.models import User

    assert get_user_model() is User
    if "again" not in sys.argv:
        import rules

        user = get_user_model().objects.get(username="root")
        assert rules.has_perm("accounts.sell", user), "django-rules"
        assert "rowkeeper" not in str(rules.__file__), rules.__file__


def scripts_run() -> None:
    """A worker finds what it needs where the wheel was installed, and nothing of the project."""
    from rowkeeper.rules.sandbox import run
    from rowkeeper.rules.sandbox.protocol import ScriptCall

    verdict = run(ScriptCall("return {'granted': not user}", "select", None, {}), None)  # type: ignore[arg-type]
    assert verdict.granted, verdict


def main() -> None:
    """Extend the project, migrate it, check it, ask it."""
    if "again" not in sys.argv:
        extend("example/settings.py", SETTINGS)
        extend("example/urls.py", URLS)
        Path("accounts/migrations").mkdir(parents=True)
        for name, text in (("__init__", ""), ("models", MODELS), ("rules", PREDICATES)):
            Path(f"accounts/{name}.py").write_text(text, encoding="utf-8")
        Path("accounts/migrations/__init__.py").touch()
    sys.path.insert(0, os.getcwd())
    os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"
    import django
    from django.core.management import call_command

    installed()
    django.setup()
    if "again" not in sys.argv:
        call_command("makemigrations", "accounts", verbosity=0)
    call_command("check", fail_level="WARNING")
    call_command("migrate", verbosity=0)
    answers()
    rules_decide()
    others_are_used()
    scripts_run()
    print("the wheel migrates and answers")


if __name__ == "__main__":
    main()
