"""Requests per second of a guarded select, beside a bare DRF view that returns the same bytes, and
beside the same data behind DRF's ModelViewSet with django-guardian's object permissions.

    python -m benchmarks.http [--rows 100000] [--rounds 40] [--servers gunicorn,gthread,granian]
                              [--database postgres://…]

The Staff rules of the examples, a session as the credential; concurrency 8. It makes a database
of its own, and drops it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .ground import database
from .load import request_of, requests_per_second

HERE = Path(__file__).parent
_GUNICORN = "gunicorn project.wsgi --workers 2 --no-control-socket --log-level warning"
SERVERS = {
    # As it comes, with a worker for each core: a connection for each request.
    "gunicorn": f"{_GUNICORN} --bind 127.0.0.1:{{port}}",
    # Connections that stay.
    "gthread": f"{_GUNICORN} --worker-class gthread --threads 4 --bind 127.0.0.1:{{port}}",
    "granian": "granian project.wsgi:application --interface wsgi --workers 2 "
    "--blocking-threads 4 --no-access-log --log-level error --host 127.0.0.1 --port {port}",
}


def prepare(rows: int) -> dict[str, Any]:
    """Fill the database; the sessions of a manager and a user, and the data source's id."""
    import django

    django.setup()
    from django.core.management import call_command

    from rowkeeper.accounts.login.sign_in import authorize
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0, run_syncdb=True)
    example = json.loads((HERE.parent / "tests" / "cases" / "staff.json").read_text())
    staff = DataSource(name="Staff", columns=example["columns"])
    saving.save(staff)
    save_rules(staff, example["rules"])
    users = DataSource(
        name="Users",
        columns=["Email", "Role", "Department"],
        definition={"login": {"emailColumn": "Email", "passwordColumn": "Password"}},
    )
    saving.save(users)
    people = [{**person, "Password": "a"} for person in example["users"].values()]
    with store.writing(registry.source_of(users), []):
        store.insert(registry.source_of(users), people)
    source = registry.source_of(staff)
    for at in range(0, rows, 20_000):
        with store.writing(source, []):
            store.insert(source, [_row(n, rows) for n in range(at, min(rows, at + 20_000))])
    with store.writing(source, []):
        store.insert(source, example["entries"])
    from django.db import connection

    from benchmarks.peer.fill import fill

    members = [_row(n, rows) for n in range(rows)] + example["entries"]
    peer = fill(
        members,
        {
            "alice": lambda row: row["Department"] == "Engineering",
            "bob": lambda row: row["Email"] == "bob@acme.com",
        },
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
    return {
        "source": staff.pk,
        "peer": peer,
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
    """A running server; its port. `quiet`: what it logs is thrown away."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(sys.executable).parent
    command = SERVERS[kind].format(port=port).split()
    process = subprocess.Popen(
        [str(folder / command[0]), *command[1:]],
        cwd=HERE.parent,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        else:
            raise TimeoutError(f"{command[0]} does not listen")
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(kind: str, made: dict[str, Any], rounds: int) -> None:
    """Print the ratios of one server."""
    from rowkeeper.rules.access.plan_cache import MAX_REPEATED_BODY

    url = f"/v1/data-sources/{made['source']}/data/query"
    asks = {
        1: ("bob", {"where": {"Email": "bob@acme.com"}}, "email=bob@acme.com"),
        50: ("alice", {"where": {"Department": "Engineering"}, "limit": 50}, DEPARTMENT),
    }
    with server(kind) as port:
        for rows, (who, body, query) in asks.items():
            text = json.dumps(body).encode()
            guarded = request_of("POST", url, {"Auth-token": made["tokens"][who]}, text)
            answer = fetch(port, guarded)
            assert len(json.loads(answer)["entries"]) == rows, answer
            (HERE / "var").mkdir(exist_ok=True)
            (HERE / "var" / f"{rows}.json").write_bytes(answer)
            bare = request_of("POST", f"/bare/{rows}", {}, text)
            assert fetch(port, bare) == answer
            key = f"Token {made['peer'][who]}"
            peer = request_of("GET", f"/peer/?{query}", {"Authorization": key})
            assert len(json.loads(fetch(port, peer))) == rows
            # What is decided of so long a body is not kept for when it comes again.
            long = text.ljust(MAX_REPEATED_BODY + 1)
            anew = request_of("POST", url, {"Auth-token": made["tokens"][who]}, long)
            compare(f"{kind}: {rows:2} rows", port, Requests(guarded, anew, bare, peer), rounds)


DEPARTMENT = "department=Engineering&limit=50"


class Requests(NamedTuple):
    """What is asked in turn, word for word."""

    # Ours, always the same.
    guarded: bytes
    # Ours, decided anew each time.
    anew: bytes
    bare: bytes
    peer: bytes


def compare(what: str, port: int, asks: Requests, rounds: int) -> None:
    """Print how many requests a second there are of ours, and the ratios to the others: medians and
    quartiles. Many short turns, so that what else the machine does meets all alike.
    """
    for request in asks:
        requests_per_second(port, request, 1)
    # Of each, the speeds in turn.
    turns = [[requests_per_second(port, request, 0.3) for request in asks] for _ in range(rounds)]
    guarded, anew, bare, peer = zip(*turns, strict=True)
    for ours, which in ((guarded, ""), (anew, ", decided anew")):
        speed = statistics.median(ours)
        of_bare, of_peer = (
            _middle([a / b for a, b in zip(ours, other, strict=True)]) for other in (bare, peer)
        )
        print(
            f"{what}{which}: {speed:.0f} requests/s, "
            f"{of_bare[1]:.2f} ({of_bare[0]:.2f} to {of_bare[2]:.2f}) of a bare view, "
            f"{of_peer[1]:.1f} ({of_peer[0]:.1f} to {of_peer[2]:.1f}) times DRF with guardian",
            flush=True,
        )


def _middle(values: Sequence[float]) -> list[float]:
    """The quartiles."""
    return statistics.quantiles(values, method="inclusive")


def fetch(port: int, request: bytes) -> bytes:
    """The body of one answer."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, content
    connection.close()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--servers", default="gunicorn,gthread,granian")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with database(options.database):
        made = prepare(options.rows)
        from django.db import connections

        connections.close_all()
        print(f"{options.rows} rows, {os.cpu_count()} cores")
        for kind in options.servers.split(","):
            measure(kind, made, options.rounds)


if __name__ == "__main__":
    main()
