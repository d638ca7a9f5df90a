"""Requests per second of a guarded select beside a bare DRF view that returns the same bytes.

    python -m benchmarks.http [--rows 100000] [--rounds 5] [--database postgres://…]

The Staff rules of the examples, a session as the credential; gunicorn, concurrency 8. It makes
a database of its own, `rowkeeper_benchmark`, and drops it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .load import post, requests_per_second

HERE = Path(__file__).parent
NAME = "rowkeeper_benchmark"
SERVERS = {
    # Sync workers: with kept connections, all eight may happen to be one worker's.
    "gunicorn": [
        "gunicorn",
        "project.wsgi",
        "-w",
        "2",
        "--log-level",
        "warning",
        "-b",
        "127.0.0.1:{port}",
    ],
    "granian": [
        "granian",
        "project.wsgi:application",
        "--interface",
        "wsgi",
        "--workers",
        "2",
        "--blocking-threads",
        "4",
        "--no-access-log",
        "--log-level",
        "error",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    ],
}


def prepare(rows: int) -> dict[str, Any]:
    """Fill the database; the sessions of a manager and a user, and the data source's id."""
    import django

    django.setup()
    from django.core.management import call_command

    from accounts.sign_in import authorize
    from datasources import sources, store
    from datasources.models import DataSource
    from rules.saving import save_rules

    call_command("migrate", verbosity=0)
    example = json.loads((HERE.parent / "tests" / "cases" / "staff.json").read_text())
    staff = DataSource(name="Staff", columns=example["columns"])
    sources.save(staff)
    save_rules(staff, example["rules"])
    users = DataSource(
        name="Users",
        columns=["Email", "Role", "Department"],
        definition={"login": {"emailColumn": "Email", "passwordColumn": "Password"}},
    )
    sources.save(users)
    people = [{**person, "Password": "a"} for person in example["users"].values()]
    with store.writing(sources.source_of(users), []):
        store.insert(sources.source_of(users), people)
    source = sources.source_of(staff)
    for at in range(0, rows, 20_000):
        with store.writing(source, []):
            store.insert(source, [_row(n, rows) for n in range(at, min(rows, at + 20_000))])
    with store.writing(source, []):
        store.insert(source, example["entries"])
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return {
        "source": staff.pk,
        "tokens": {
            name: authorize(
                {
                    "passport": "dataSource",
                    "dataSourceName": "Users",
                    "where": {"Email": f"{name}@acme.com", "Password": "a"},
                },
                "127.0.0.1",
            ).secret
            for name in ("alice", "bob")
        },
    }


def _row(number: int, rows: int) -> dict[str, Any]:
    return {
        "Email": f"person{number}@acme.com",
        "Name": f"Person {number}",
        "Role": "User",
        "Department": f"Department {number % 1000}" if number >= 60 else "Engineering",
        "Salary": 50_000 + number % 100_000,
        "ManagerNotes": "",
    }


@contextlib.contextmanager
def server(kind: str, quiet: bool = False) -> Iterator[int]:
    """A running server; its port. `quiet`: what it says of requests is not shown."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(sys.executable).parent
    command = [part.format(port=port) for part in SERVERS[kind]]
    process = subprocess.Popen(
        [str(folder / command[0]), *command[1:]],
        cwd=HERE.parent,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(kind: str, made: dict[str, Any], rounds: int) -> None:
    """Print the ratios of one server."""
    url = f"/v1/data-sources/{made['source']}/data/query"
    asks = {
        1: ("bob", {"where": {"Email": "bob@acme.com"}}),
        50: ("alice", {"where": {"Department": "Engineering"}, "limit": 50}),
    }
    with server(kind) as port:
        for rows, (who, body) in asks.items():
            text = json.dumps(body).encode()
            headers = {"Auth-token": made["tokens"][who]}
            guarded = post(url, text, headers)
            bytes_ = fetch(port, url, text, headers)
            found = len(json.loads(bytes_)["entries"])
            assert found == rows, f"expected {rows} rows, got {found}"
            (HERE / "var").mkdir(exist_ok=True)
            (HERE / "var" / f"{rows}.json").write_bytes(bytes_)
            bare = post(f"/bare/{rows}", text, {})
            ratios, speeds = [], []
            requests_per_second(port, guarded, 1)
            requests_per_second(port, bare, 1)
            for _ in range(rounds):
                ours = requests_per_second(port, guarded, 1.5)
                ratios.append(ours / requests_per_second(port, bare, 1.5))
                speeds.append(ours)
            print(
                f"{kind}: {rows:2} rows: {statistics.median(speeds):6.0f} requests/s, "
                f"{statistics.median(ratios):.2f} of a bare DRF view "
                f"({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


def fetch(port: int, url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{url}",
        body,
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request) as response:
        content: bytes = response.read()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--servers", default="gunicorn")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    import psycopg

    with psycopg.connect(f"{options.database}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {NAME}")
    os.environ["DATABASE_URL"] = f"{options.database}/{NAME}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    try:
        made = prepare(options.rows)
        from django.db import connections

        connections.close_all()
        print(f"{options.rows} rows, {os.cpu_count()} cores")
        for kind in options.servers.split(","):
            measure(kind, made, options.rounds)
    finally:
        with psycopg.connect(f"{options.database}/postgres", autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


if __name__ == "__main__":
    main()
