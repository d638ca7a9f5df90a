"""`loaddemo [--host HOST] [--port PORT]`: load the demo, and show logins and things to try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from project.demo.load import ADMIN, BOB, Demo, load
from rowkeeper.datasources.management.base import SiteCommand


class Command(SiteCommand):
    """Creates what is missing and changes nothing else. Prints the same text at each start."""

    help = (
        "Loads the parts of the demo that are missing, and prints the logins and three "
        "commands to try."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("--port", type=int, default=8000, help="the port of the site")
        parser.add_argument("--host", default="127.0.0.1", help="the host of the site")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the demo and print how to use it."""
        demo = load(settings.VAR_DIR / "demo.json")
        for line in lines_about(demo, f"http://{_reached(options['host'])}:{options['port']}"):
            self.stdout.write(line)


def _reached(host: str) -> str:
    """The host as it is written in a URL; 127.0.0.1 for a site that listens on all addresses."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104  (compared, not listened on)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def lines_about(demo: Demo, site: str) -> Iterator[str]:
    """The lines to print: the URL, the logins, and three commands to paste."""
    yield from ("", f"Rowkeeper: {site}/  (press Ctrl-C to stop)", "")
    yield f"  admin      {site}/admin/"
    yield f"             {ADMIN} / {demo.admin_password or '(the password was changed)'}"
    yield "  people     in the data source Users, to sign in through the API:"
    yield f"             {', '.join(demo.people)}"
    yield f"             password {demo.people_password or '(was changed)'}"
    yield f"  API token  id {demo.api_token_id}, app {demo.app_id}, with the admin's permissions"
    yield f"             {demo.api_token or '(was revoked)'}"
    yield ""
    yield from _lines(demo, f"{site}/v1/data-sources/Employees/data/query")


def _lines(demo: Demo, url: str) -> Iterator[str]:
    everyone: dict[str, Any] = {"type": "select"}
    rich = {"type": "select", "where": {"Salary": {"$gt": 90000}}}
    if demo.session is not None:
        yield "Answered: Bob reads the employees, without Salary and Password."
        yield f"  {curl(url, everyone, demo.session)}"
        yield ""
        yield "Denied by the rules (400 datasource.access): Bob filters by a hidden column."
        yield f"  {curl(url, rich, demo.session)}"
        yield ""
    else:
        yield f"{BOB} cannot sign in any more, so there are no commands to try as Bob."
        yield ""
    yield "Not signed in (401 auth.required): the first command, without a credential."
    yield f"  {curl(url, everyone)}"
    yield ""


def curl(url: str, body: dict[str, Any], token: str = "") -> str:
    """A shell command that sends a request, and prints the answer and its status."""
    words = ["curl -s -w '\\n%{http_code}\\n'", url]
    if token:
        words.append(f"-H 'Auth-token: {token}'")
    words += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body)}'"]
    return " ".join(words)
