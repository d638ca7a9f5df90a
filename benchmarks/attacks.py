"""Attacks from one client, and what other clients notice of them, on a real server.

    python -m benchmarks.attacks [NAME …] [--seconds 12] [--sqlite] [--database postgres://…]

gunicorn with 2 processes of 8 threads, or the server of `make run`. Other clients read and write
all the time, and one client attacks in turns: what else the machine does meets the time with and
the time without the attack alike. An attack fails the benchmark (exit code 1) where

- a read of another client fails, or the reads' p99 is more than 3 times what it is without it;
- a write to another data source fails, or takes longer than 1 second;
- the memory of the server and its children is ever 100 MB or more above what it was before the
  first turn of the attack;
- the server answers the attack with a status that the attack does not expect.

Printed, of each attack, is a row of a table: the answers to it; the reads' p99 without and with it
in milliseconds, and their ratio; the slowest write in milliseconds; the memory in MB.

To add an attack, write a function `f(site)` that sends one request, or a few, and returns the
statuses of the answers, and put `@attack("a name", {200, 413})` above it. It is called again and
again until the time is over. The data sources that it needs go into `SOURCES`. The benchmark makes
a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ground import database
from .http import SERVERS, server

# The server of `make run`, which reads requests whole before a thread works on them.
SERVERS["buffering"] = "python -m project.serve --port {port}"
SERVERS["threads"] = f"{SERVERS['gunicorn']} --worker-class gthread --threads 8"
MAX_RATIO, MAX_WRITE_SECONDS, MAX_GROWTH = 3.0, 1.0, 100_000_000
READERS, PAUSE = 2, 0.005
# Seconds: of a turn of the attack at least, and after it.
WINDOW, SETTLE = 1.5, 0.3

READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
INSERT: dict[str, Any] = {"type": ["insert"], "allow": "all"}
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}

SLOW = "end = now_ms() + 2500\nwhile now_ms() < end:\n    pass\n"


@dataclass(frozen=True)
class Prepared:
    """A data source of the benchmark: its rules, its rows, and other fields of it."""

    rules: list[dict[str, Any]]
    rows: list[dict[str, Any]] = field(default_factory=lambda: [{"Name": "a"}])
    fields: dict[str, Any] = field(default_factory=dict)


SOURCES = {
    # What the other clients read and write.
    "Read": Prepared([READ], [{"Name": f"n{number}"} for number in range(100)]),
    "Written": Prepared([INSERT]),
    # What is attacked.
    "Sign-up": Prepared(
        [{**INSERT, "include": ["Email", "Password"]}],
        [],
        {"columns": ["Email", "Password"], "definition": LOGIN},
    ),
    "Form": Prepared([INSERT]),
    "Loops": Prepared([{"script": "while True:\n    pass"}]),
    "Slow": Prepared([{"script": f"{SLOW}# {number}"} for number in range(5)]),
    "Honest": Prepared([{"script": "return {'granted': True}"}]),
}


class Site:
    """The running server. `token` is that of an API token without any rights of its own."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> int:
        """The status of the answer. `path` is below `/v1/`; `body` is JSON text or a value."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{path}",
            data,
            {"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                response.read()
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.read()
            return error.code
        except OSError:
            # The server closed the connection: it does not read what it has refused.
            return 0


@dataclass(frozen=True)
class Attack:
    """What one client sends, and which statuses the answers to it may have."""

    send: Callable[[Site], list[int]]
    expected: Collection[int]
    server: str = "threads"


ATTACKS: dict[str, Attack] = {}
Sender = Callable[[Site], list[int]]


def attack(
    name: str, expected: Collection[int], server: str = "threads"
) -> Callable[[Sender], Sender]:
    """Add a function to the table of attacks. `server`: which of `SERVERS` is attacked."""

    def add(send: Sender) -> Sender:
        ATTACKS[name] = Attack(send, expected, server)
        return send

    return add


# -- the attacks


@attack("more passwords than a request may have", {413})
def many_passwords(site: Site) -> list[int]:
    """An anonymous commit of 60 rows with passwords to a sign-up form."""
    return [site.ask("POST", "data-sources/Sign-up/commit", _sign_ups(60))]


@attack("passwords, as many as are taken", {200, 429, 503})
def allowed_passwords(site: Site) -> list[int]:
    """An anonymous commit of 20 rows with passwords, again and again."""
    return [site.ask("POST", "data-sources/Sign-up/commit", _sign_ups(20))]


def _sign_ups(count: int) -> dict[str, Any]:
    now = time.monotonic_ns()
    rows = [{"Email": f"{now}-{at}@acme.com", "Password": "secret"} for at in range(count)]
    return {"append": True, "returnEntries": False, "entries": [{"data": row} for row in rows]}


@attack("10 MB of empty rows from a reader", {413, 0})
def empty_rows_of_a_reader(site: Site) -> list[int]:
    """Neither an anonymous caller nor a token that no write rule lets in may send that much."""
    body = _empty_rows(10_000_000)
    reader = {"Auth-token": site.token}
    return [
        site.ask("POST", f"data-sources/{name}/{where}", body, headers)
        for name, headers in (("Read", reader), ("Form", {}))
        for where in ("data", "commit")
    ]


@attack("10 MB of empty rows from a writer", {413, 0})
def empty_rows_of_a_writer(site: Site) -> list[int]:
    """A token that may insert may send that much, but not that many rows."""
    body = _empty_rows(10_000_000)
    return [site.ask("POST", "data-sources/Form/data", body, {"Auth-token": site.token})]


@attack("1 MB of empty rows to a form", {413})
def empty_rows_to_a_form(site: Site) -> list[int]:
    """80,000 rows from an anonymous caller, who may insert."""
    return [site.ask("POST", "data-sources/Form/data", _empty_rows(1_000_000))]


@attack("a script that never ends", {200, 401, 503})
def endless_script(site: Site) -> list[int]:
    """Six selects at once under a script that loops; meanwhile an honest script of another data
    source has to be answered.
    """
    with ThreadPoolExecutor(6) as threads:
        loops = [
            threads.submit(site.ask, "POST", "data-sources/Loops/data/query", {}) for _ in range(6)
        ]
        time.sleep(0.05)
        began = time.monotonic()
        honest = site.ask("POST", "data-sources/Honest/data/query", {})
        took = time.monotonic() - began
        statuses = [each.result() for each in loops]
    return [*statuses, honest if honest == 200 and took < 1 else 0]


@attack("five scripts of 2.5 seconds in one data source", {401, 503})
def slow_scripts(site: Site) -> list[int]:
    """A select that tries all of them takes no longer than one script may."""
    began = time.monotonic()
    status = site.ask("POST", "data-sources/Slow/data/query", {})
    return [status if time.monotonic() - began < 4 else 0]


@attack("SQLite's write lock, or a token's row, held while the token is used", {200})
def held_lock(site: Site) -> list[int]:
    """A writer that does not end, beside a read with a token whose use is yet to be noted."""
    from django.db import connection, transaction

    from rowkeeper.accounts.models import ApiToken
    from rowkeeper.accounts.tokens import create_api_token

    token, secret = create_api_token("fresh")
    with transaction.atomic():
        ApiToken.objects.filter(pk=token.pk).update(hint="held")
        start = time.monotonic()
        status = site.ask("GET", "data-sources/Read/data/1", headers={"Auth-token": secret})
        took = time.monotonic() - start
    connection.close()
    time.sleep(0.1)
    return [status if took < 1 else 0]


@attack("connections that are silent, or send a byte now and then", (), "buffering")
def slow_senders(site: Site) -> list[int]:
    """200 connections: nothing sent, half of the headers, and half of a body."""
    head = b"POST /v1/data-sources/Form/data/query HTTP/1.1\r\nHost: localhost\r\n"
    parts = [b"", head, head + b"Content-Length: 1000\r\n\r\n{"]
    opened = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(200)]
    try:
        for at, connection in enumerate(opened):
            connection.sendall(parts[at % len(parts)])
        for _ in range(5):
            time.sleep(1)
            for at, connection in enumerate(opened):
                if at % len(parts):
                    connection.sendall(b" ")
    finally:
        for connection in opened:
            connection.close()
    return []


def _empty_rows(size: int) -> bytes:
    return b'{"append":true,"entries":[' + b"{}," * (size // 3 - 10) + b"{}]}"


# -- what other clients notice

# A time on the monotonic clock from which to which something went on.
Span = tuple[float, float]


@dataclass
class Noticed:
    """When requests of other clients were sent and answered, and how many of them failed."""

    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)


def p99(requests: list[Span]) -> float:
    """The seconds within which 99 of 100 requests were answered."""
    return sorted(end - start for start, end in requests)[int(len(requests) * 0.99)]


def inside(requests: list[Span], windows: list[Span]) -> list[Span]:
    """The requests that were sent and answered within one of the windows."""
    return [
        (start, end)
        for start, end in requests
        if any(since <= start and end <= until for since, until in windows)
    ]


def touching(requests: list[Span], windows: list[Span]) -> list[Span]:
    """The requests that were under way in one of the windows, if only for a part of their time."""
    return [
        (start, end)
        for start, end in requests
        if any(start < until and end > since for since, until in windows)
    ]


@contextlib.contextmanager
def others(site: Site) -> Iterator[Noticed]:
    """Clients that read, and one that writes, for as long as the body runs."""
    noticed, ended = Noticed(), threading.Event()

    def client(times: list[Span], pause: float, *request: Any) -> None:
        while not ended.wait(pause):
            start = time.monotonic()
            status = site.ask(*request)
            times.append((start, time.monotonic()))
            if status != 200:
                noticed.failed[f"{request[1]}: {status}"] += 1

    read = (noticed.reads, PAUSE, "POST", "data-sources/Read/data/query", {"limit": 50})
    write = (noticed.writes, 0.05, "PUT", "data-sources/Written/data", {"Name": "b"})
    threads = [threading.Thread(target=client, args=read) for _ in range(READERS)]
    threads.append(threading.Thread(target=client, args=write))
    for thread in threads:
        thread.start()
    try:
        yield noticed
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def measure(site: Site, name: str, seconds: float) -> bool:
    """Run one attack beside other clients, and print what they noticed; whether it was little."""
    this = ATTACKS[name]
    quiet: list[Span] = []
    attacked: list[Span] = []
    with Attacker(this, site) as attacker, others(site) as noticed, Peak() as peak:
        time.sleep(WINDOW)
        quiet.append(_window(time.sleep, WINDOW))
        size, peak.bytes = peak.bytes, 0
        while sum(until - since for since, until in attacked) < seconds:
            attacked.append(_window(attacker.run, WINDOW))
            since, until = attacked[-1]
            # What the attack left behind belongs to neither.
            time.sleep(SETTLE)
            quiet.append(_window(time.sleep, until - since))
    before, meanwhile = inside(noticed.reads, quiet), touching(noticed.reads, attacked)
    ratio, grown = p99(meanwhile) / p99(before), peak.bytes - size
    slowest = max(end - start for start, end in touching(noticed.writes, attacked))
    bad = [
        *(f"{text} ({count} times)" for text, count in noticed.failed.items()),
        *(
            f"an answer with {status} ({count} times)"
            for status, count in attacker.answers.items()
            if status not in this.expected
        ),
    ]
    if ratio > MAX_RATIO:
        bad.append(f"reads took {ratio:.1f} times as long")
    if slowest > MAX_WRITE_SECONDS:
        bad.append(f"a write took {slowest:.1f} s")
    if grown >= MAX_GROWTH:
        bad.append("too much memory")
    told = ", ".join(f"{count} x {status}" for status, count in sorted(attacker.answers.items()))
    print(
        f"| {name} | {told or 'none'} | {p99(before) * 1000:.0f} | {p99(meanwhile) * 1000:.0f} "
        f"| {ratio:.2f} | {slowest * 1000:.0f} | {grown / 1e6:.0f} |"
    )
    for text in bad:
        print(f"beyond its bound: {name}: {text}")
    sys.stdout.flush()
    return not bad


def _window(run: Callable[[float], object], seconds: float) -> Span:
    """Run something for so many seconds, and say when it was."""
    start = time.monotonic()
    run(seconds)
    return start, time.monotonic()


class Attacker:
    """The client that attacks, in a process of its own: what it computes is not the others'.

    Enter it before there are threads, which a fork does not take along.
    """

    def __init__(self, attack: Attack, site: Site) -> None:
        context = multiprocessing.get_context("fork")
        self.answers = Counter[int]()
        self.connection, far = context.Pipe()
        self.process = context.Process(target=self._serve, args=(attack, site, far))

    def __enter__(self) -> Attacker:
        self.process.start()
        NOT_SERVER.add(self.process.pid)
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.send(None)
        self.process.join()

    def run(self, seconds: float) -> None:
        """Attack for so many seconds, until the last answer, and count the answers by status."""
        self.connection.send(seconds)
        self.answers += self.connection.recv()

    def _serve(self, attack: Attack, site: Site, connection: Any) -> None:
        while (seconds := connection.recv()) is not None:
            found, until = Counter[int](), time.monotonic() + seconds
            try:
                while time.monotonic() < until:
                    found.update(attack.send(site))
            finally:
                connection.send(found)


# -- the memory of the server

# Processes below this one that do not belong to it.
NOT_SERVER: set[int | None] = set()


class Peak(threading.Thread):
    """The most memory that the server had at any time inside of a `with`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self.ended = memory(), threading.Event()

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        """Look again and again."""
        while not self.ended.wait(0.05):
            self.bytes = max(self.bytes, memory())


def memory() -> int:
    """The bytes of all processes below this one; what they share is counted once."""
    return sum(_bytes_of(pid) for pid in _below(os.getpid()))


def _below(parent: int) -> list[int]:
    found, parents = [], [parent]
    while parents:
        at = parents.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                below = [int(word) for word in (task / "children").read_text().split()]
                below = [pid for pid in below if pid not in NOT_SERVER]
                parents += below
                found += below
    return found


def _bytes_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


# -- the run


def prepare() -> str:
    """The data sources, and the secret of an API token that anybody may have."""
    import django

    django.setup()
    from django.core.management import call_command

    from rowkeeper.accounts.tokens import create_api_token
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0, run_syncdb=True)
    for name, prepared in SOURCES.items():
        model = DataSource(name=name, **{"columns": ["Name"], **prepared.fields})
        saving.save(model)
        source = registry.source_of(model)
        with store.writing(source, []):
            store.insert(source, prepared.rows)
        save_rules(model, prepared.rules)
    return create_api_token("attacks")[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="attacks; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    unknown = set(options.names) - ATTACKS.keys()
    if unknown:
        parser.error(f"no attack is called {sorted(unknown)}; there are {sorted(ATTACKS)}")
    with database(options.database, options.sqlite):
        token = prepare()
        good = []
        for name in options.names or ATTACKS:
            # A server for each, as memory that one attack has used may serve the next.
            with server(ATTACKS[name].server, quiet=True) as port:
                site = Site(port, token)
                for _ in range(40):
                    site.ask("POST", "data-sources/Read/data/query", {"limit": 50})
                good.append(measure(site, name, options.seconds))
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
