"""What a real server makes of the tests' hostile requests (`tests/reference/hostile_inputs.py`).

    python -m benchmarks.hostile [--rows 100000] [--rounds 5] [--sqlite] [--database postgres://…]

gunicorn with 2 processes, one request after the other; the data source that is asked has so many
rows. Two times are told, each the median: how long the answer took after the last byte of the
request, and how long the server and its database computed, which is judged, as it is the same on a
machine that others use. The exit code is 1 where an answer is another than expected, the server
computes for more than 200 ms, or has grown by more than 30 MB. What asks thousands of conditions of
each row is shown, and not judged: it ends with the answer or with the database's time limit.

It makes a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.reference.hostile_inputs import Case, at_place, cases, places, rows

from .ground import NAME, database
from .http import server
from .load import request_of

LIMIT_MS = 200
LIMIT_GROWTH = 30 * 1024 * 1024
RULES: list[dict[str, Any]] = [{"type": ["select", "insert", "update", "delete"], "allow": "all"}]
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}


def prepare(count: int) -> dict[str, Any]:
    """Fill the database; a superuser's token, the number of the data source and of an entry."""
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from rowkeeper.accounts.tokens import create_api_token
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0, run_syncdb=True)
    things = DataSource(name="Things", columns=["A", "N", "L", "O", "T"])
    saving.save(things)
    save_rules(things, RULES)
    people = DataSource(name="People", columns=["Email"], definition=LOGIN)
    saving.save(people)
    source = registry.source_of(things)
    with store.writing(source, []):
        first = store.insert(source, rows(count))[0]
    with store.writing(registry.source_of(people), []):
        store.insert(
            registry.source_of(people), [{"Email": "ann@acme.com", "Password": "correct horse"}]
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    user = User.objects.create_superuser("boss")
    _, secret = create_api_token("hostile", user=user)
    return {"token": secret, "numbers": {"source": things.pk, "entry": first.id}}


class Site:
    """The running server, asked over one connection."""

    def __init__(self, port: int, made: dict[str, Any]) -> None:
        self.port, self.made = port, made

    def ask(self, case: Case) -> tuple[int, bytes, float, float]:
        """Status and body of the answer, and milliseconds: that it took, and of computing."""
        headers = {"Auth-token": self.made["token"], "Connection": "close"}
        path = f"/v1/{case.path_in(self.made['numbers'])}"
        request = request_of(case.method, path, headers, case.body)
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            # All but the last byte: what the way takes is not the server's own time. One that is
            # refused for its size is answered before, and no more of it is read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request[:-1])
                time.sleep(0.02)
            computed, began = self.computed(), time.perf_counter()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request[-1:])
            answer = _whole(connection)
            took = (time.perf_counter() - began) * 1_000
        computed = self.computed() - computed
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body, took, computed

    def computed(self) -> float:
        """The milliseconds that all processes of the server and its database have computed."""
        total = 0
        for folder in _processes(self.port):
            for task in (folder / "task").glob("*"):
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1_000_000

    def memory(self) -> int:
        """The bytes that the processes of the server hold."""
        total = 0
        for folder in _processes(self.port, database=False):
            with contextlib.suppress(OSError):
                pages = int((folder / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
        return total

    def is_honest(self) -> bool:
        """Whether an ordinary request is answered as ever."""
        body = {"where": {"A": "a1"}, "attributes": ["A"]}
        method, path = "POST", "data-sources/{source}/data/query"
        status, text, *_ = self.ask(Case("an honest request", method, path, body, "", (200,)))
        return status == 200 and [e["data"] for e in json.loads(text)["entries"]] == [{"A": "a1"}]


def _whole(connection: socket.socket) -> bytes:
    """All that is answered, until the server closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 18):
            answer += data
    return answer


def _processes(port: int, database: bool = True) -> list[Path]:
    """Those of the server at a port, and those of PostgreSQL for our database."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            ours = f"127.0.0.1:{port}".encode() in command
            if ours or (database and f" {NAME} ".encode() in command):
                found.append(folder)
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of milliseconds, and what is wrong with the answer or the time, if anything."""

    took: float
    computed: float
    wrong: str = ""

    def line(self, says: str) -> str:
        """As it is printed."""
        wrong = f": {self.wrong}" if self.wrong else ""
        return f"{self.computed:9.1f} ms computed {self.took:9.1f} ms in all  {says}{wrong}"


def measure(site: Site, case: Case, rounds: int) -> Figures:
    """Ask so often."""
    took: list[float] = []
    computed: list[float] = []
    for _ in range(rounds):
        status, body, *times = site.ask(case)
        took.append(times[0])
        computed.append(times[1])
        late = case.each_row and status == 503
        if status not in case.status and not late:
            return Figures(took[-1], computed[-1], f"answered {status}: {body[:200]!r}")
        if status >= 400 and not late and case.told not in json.loads(body)["message"]:
            wrong = f"the message does not say `{case.told}`: {body[:200]!r}"
            return Figures(took[-1], computed[-1], wrong)
        if took[-1] > 2_000:
            break
    found = Figures(statistics.median(took), statistics.median(computed))
    if not site.is_honest():
        return replace(found, wrong="the next request is not answered as ever")
    slow = found.computed > LIMIT_MS and not case.each_row
    return replace(found, wrong="too slow") if slow else found


def run(made: dict[str, Any], rounds: int) -> bool:
    """Ask everything; whether all was as it has to be."""
    refused = [case for place in places() for case in at_place(place)]
    with server("gunicorn", quiet=True) as port:
        site = Site(port, made)
        for case in [*refused, *(case for case in cases() if not case.each_row)]:
            site.ask(case)
        before = site.memory()
        wrong = []
        slowest = Figures(0, 0)
        for case in refused:
            found = measure(site, case, rounds)
            slowest = max(slowest, found, key=lambda figures: figures.computed)
            if found.wrong:
                wrong.append(case.says)
                print(found.line(case.says), flush=True)
        print(slowest.line(f"the slowest of {len(refused)} that nothing takes"), flush=True)
        for case in cases():
            found = measure(site, case, rounds)
            wrong += [case.says] if found.wrong else []
            note = " (not judged)" if case.each_row else ""
            print(found.line(case.says + note), flush=True)
        grown = site.memory() - before
    print(
        f"the server has grown by {grown / 2**20:.1f} MB; {len(wrong)} cases are not as they should"
    )
    return not wrong and grown <= LIMIT_GROWTH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    # The processes that help one of PostgreSQL's are gone when their time would be read.
    os.environ["PGOPTIONS"] = "-c statement_timeout=15s -c max_parallel_workers_per_gather=0"
    with database(options.database, options.sqlite):
        made = prepare(options.rows)
        from django.db import connections

        connections.close_all()
        print(f"{options.rows} rows, {os.cpu_count()} cores")
        fine = run(made, options.rounds)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
