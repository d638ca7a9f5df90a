"""A real browser before the site, under a strict content security policy, for the browser tests.

`from tests.support.browser import *` gives a test module the fixtures `site`, `browser` and `page`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from pytest_django.live_server_helper import LiveServer

__all__ = ["axe", "browser", "page", "signed_in_page", "site"]

# Milliseconds after which what a page does not do is a fault, also on a busy machine.
PATIENCE = 180_000
POLICY = {"default-src": ["'self'"], "script-src": ["'self'"], "style-src": ["'self'"]}
# What must not be there in the end: violations of the policy, faults of scripts.
_NOTE = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push([event.effectiveDirective, event.blockedURI, event.sample,
        event.sourceFile, event.lineNumber, event.columnNumber].join(" ")));
"""


class StrictPolicy:
    """Django 5.2 has no middleware for the policy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = "; ".join(
            f"{name} {' '.join(values)}" for name, values in POLICY.items()
        )
        return response


def _strict() -> dict[str, Any]:
    own = django.VERSION >= (6, 0)
    name = (
        "django.middleware.csp.ContentSecurityPolicyMiddleware"
        if own
        else "tests.support.browser.StrictPolicy"
    )
    # Static files as the site itself serves them: listed once, when it starts.
    static = {"WHITENOISE_AUTOREFRESH": False}
    return {"MIDDLEWARE": [*settings.MIDDLEWARE, name], "SECURE_CSP": POLICY, **static}


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The address of a server that sends the policy with every page."""
    with override_settings(**_strict()), django_db_blocker.unblock():
        server = LiveServer("localhost")
        yield server.url
        server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a module."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    # Playwright's loop would make Django think that it runs in one.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=args)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def signed_in_page(browser: Any, site: str, user: User, **kwargs: Any) -> Any:
    """A page of its own, signed in to the admin as this user; faults end up in `page.faults`."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(
        **{"viewport": {"width": 1280, "height": 900}, "base_url": site, **kwargs}
    )
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": site}]
    )
    context.add_init_script(_NOTE)
    context.set_default_timeout(PATIENCE)
    made = context.new_page()
    made.faults = []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on(
        "console",
        lambda said: (
            made.faults.append(said.text)
            if said.type == "error" or "Content Security Policy" in said.text
            else None
        ),
    )
    return made


@pytest.fixture
def page(transactional_db: None, browser: Any, site: str) -> Iterator[Any]:
    """A page signed in as a superuser. In the end, nothing was violated and nothing failed."""
    made = signed_in_page(browser, site, User.objects.create_superuser("boss"))
    yield made
    wrong = [*made.evaluate("window.violations"), *made.faults]
    assert not wrong, wrong
    made.context.close()


def axe(page: Any, within: str | None = None) -> list[str]:
    """The serious findings of axe, one line each."""
    run = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run
    # Colors change in steps when the theme does; axe would judge one that is seen for a moment.
    page.evaluate(
        "Promise.race([new Promise((done) => setTimeout(done, 2000)),"
        "Promise.allSettled(document.getAnimations().map((one) => one.finished))])"
    )
    found = run(page, within)
    return [
        f"{finding['id']}: {node['target']} {node.get('failureSummary', '')[:300]}"
        for finding in found.response["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
