"""Take the screenshots of the documentation from the demo: `make screenshots`.

The script loads the demo into a temporary database, serves it, sends a few requests, and takes the
pictures in the system's Chromium. It writes them to `docs/images/`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
# Bytes. A page with larger pictures is slow to load.
LARGEST = 150_000
WIDTH = 1280
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
EMPLOYEES = "/v1/data-sources/Employees/data/query"


def main() -> None:
    """Take all pictures, and report their sizes."""
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder)) as (site, password, session):
        send_requests(site, session)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=next(filter(None, map(shutil.which, CHROMIUM)), None),
                # Chromium's sandbox does not work for root, for example in a container.
                args=["--no-sandbox"] if os.geteuid() == 0 else [],
            )
            page = sign_in(browser, site, password)
            rule_editor(page)
            simulator(page)
            decision_log(page)
            browser.close()
    for path in sorted(IMAGES.glob("*.png")):
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}: {size:,} bytes")
        if size > LARGEST:
            sys.exit(f"{path.name} is larger than {LARGEST:,} bytes")


@contextmanager
def demo(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Serve the demo. Yields its URL, the administrator's password and a token of Bob."""
    os.environ.update(
        DATABASE_URL=f"sqlite:///{folder}/demo.sqlite3",
        SECRET_KEY=secrets.token_urlsafe(50),
        DJANGO_SETTINGS_MODULE="project.settings",
    )
    sys.path.insert(0, str(ROOT))
    import django
    from django.core.management import call_command

    django.setup()
    from project.demo.load import load

    call_command("migrate", verbosity=0)
    loaded = load(folder / "demo.json")
    if not loaded.admin_password or not loaded.session:
        sys.exit("the demo could not be loaded")
    port = free_port()
    server = subprocess.Popen(  # noqa: S603  (the site itself)
        [sys.executable, "-m", "project.serve", "--port", str(port)], cwd=ROOT
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}", loaded.admin_password, loaded.session
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """Return a port that no other program uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until the server accepts connections. Raises `TimeoutError` after 30 seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError("the site did not start")


def send_requests(site: str, session: str) -> None:
    """Send requests of different outcomes, and wait until the decision log has them."""
    for token, query in (
        (session, {"attributes": ["Salary"]}),
        ("", {}),
        (session, {"where": {"Salary": {"$gt": 90000}}}),
    ):
        request = urllib.request.Request(  # noqa: S310  (the site that was started above)
            site + EMPLOYEES,
            json.dumps(query).encode(),
            {"Content-Type": "application/json"} | ({"Auth-token": token} if token else {}),
        )
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request).close()  # noqa: S310
        # One second apart, so that the order of the list is certain.
        time.sleep(1)
    time.sleep(2)


def sign_in(browser: Browser, site: str, password: str) -> Page:
    """Open a page that is signed in to the admin."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 800}, base_url=site, color_scheme="light"
    )
    page = context.new_page()
    page.goto("/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", password)
    page.press("#id_password", "Enter")
    page.wait_for_load_state()
    return page


def employees(page: Page) -> None:
    """Open the page of the data source Employees."""
    page.goto("/admin/rowkeeper_datasources/datasource/")
    page.get_by_role("link", name="Employees", exact=True).click()
    page.locator(".rk-list > li").first.wait_for()


def rule_editor(page: Page) -> None:
    """Take a picture of the list of rules."""
    employees(page)
    save(page, "rule-editor", ".rk-accesses", ".rk-actions")


def simulator(page: Page) -> None:
    """Take a picture of a denied request in the simulator."""
    employees(page)
    page.get_by_role("link", name="Simulator", exact=True).first.click()
    page.select_option("#rks-kind", "row")
    # The list of data sources is loaded when the form is first used.
    page.focus("#rks-name")
    page.locator("#rks-source option").first.wait_for(state="attached")
    page.select_option("#rks-source", index=0)
    page.fill("#rks-name", "bob@acme.com")
    page.fill("#rks-body", '{"where": {"Salary": {"$gt": 90000}}}')
    page.click(".rks-ask")
    page.locator(".rks-verdict").wait_for()
    save(page, "simulator", "[data-rowkeeper-simulator]")


def decision_log(page: Page) -> None:
    """Take a picture of the decision log, with the newest decision open."""
    employees(page)
    page.get_by_role("link", name="Decisions", exact=True).click()
    page.locator(".rks-decisions summary").first.click()
    save(page, "decision-log", "#content-main")


def save(page: Page, name: str, *selectors: str) -> None:
    """Write a picture of the page from the first to the last of these elements, with a margin."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
    boxes = [page.locator(selector).first.bounding_box() for selector in selectors]
    first, last = boxes[0], boxes[-1]
    if first is None or last is None:
        raise ValueError(f"{name}: one of {selectors} is not on the page")
    margin = 4
    page.screenshot(
        path=IMAGES / f"{name}.png",
        full_page=True,
        animations="disabled",
        clip={
            "x": first["x"] - margin,
            "y": first["y"] - margin,
            "width": first["width"] + 2 * margin,
            "height": last["y"] + last["height"] - first["y"] + 2 * margin,
        },
    )


if __name__ == "__main__":
    main()
