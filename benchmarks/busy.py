"""What a site does while scripts never end, and while their workers are killed, on a real server.

    python -m benchmarks.busy [--loops 200] [--requests 2000] [--database postgres://…]

gunicorn with 2 processes of 8 threads. First, all at once, requests under a script that loops for
ever, while another client goes on asking under plain rules. Then mixed requests, while workers
are killed at random: no write may be lost, and nothing be granted that is to be denied. It makes a
database of its own, and drops it; the exit code is 1 where something is not as it has to be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .ground import database
from .http import SERVERS, server

THREADED = "--worker-class gthread --threads 8"
SERVERS["threads"] = f"{SERVERS['gunicorn']} {THREADED}"
WRITES = """
if type == "insert":
    query.By = "script"
    return {"granted": query.Name != "no"}
if type == "update":
    return {"granted": entry.data.Name != "kept"}
if type == "select":
    query.Name = {"$ne": "hidden"}
    return {"granted": True}
"""
RULES: dict[str, list[dict[str, Any]]] = {
    "Loops": [{"script": "while True:\n    pass"}],
    "Honest": [{"script": "return {'granted': True}"}],
    "Plain": [{"type": ["select"], "allow": "all"}],
    "Mixed": [{"script": WRITES}],
}
ROWS = {"Mixed": [{"Name": "kept"}, {"Name": "hidden"}]}


def prepare() -> None:
    """The data sources, each with its rules."""
    import django

    django.setup()
    from django.core.management import call_command

    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0)
    for name, rules in RULES.items():
        model = DataSource(name=name, columns=["Name"])
        saving.save(model)
        source = registry.source_of(model)
        with store.writing(source, []):
            store.insert(source, ROWS.get(name, [{"Name": "a"}]))
        save_rules(model, rules)


class Site:
    """The running server, asked by anyone."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, sent: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers of an answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/data-sources/{path}",
            None if sent is None else json.dumps(sent).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, json.loads(response.read()), dict(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), dict(error.headers)

    def select(self, name: str) -> tuple[int, Any, dict[str, str]]:
        """Every entry of a data source."""
        return self.ask("POST", f"{name}/data/query", {})


def loops(site: Site, number: int) -> bool:
    """Requests under a script that never ends, beside others; whether all was as it has to be."""
    for _ in range(20):
        site.select("Honest")  # warm
    ended, waits, wrong = threading.Event(), [], []

    def others() -> None:
        while not ended.is_set():
            start = time.monotonic()
            if site.select("Plain")[0] != 200:
                wrong.append(1)
            waits.append(time.monotonic() - start)
            time.sleep(0.01)

    thread = threading.Thread(target=others)
    thread.start()
    start = time.monotonic()
    with ThreadPoolExecutor(number) as threads:
        answers = list(threads.map(lambda _: site.select("Loops"), range(number)))
    took = time.monotonic() - start
    ended.set()
    thread.join()
    start = time.monotonic()
    while site.select("Honest")[0] != 200 and time.monotonic() < start + 60:
        time.sleep(0.02)
    back = time.monotonic() - start
    kinds = Counter((status, body["type"]) for status, body, _ in answers)
    told = all("Retry-After" in headers for status, _, headers in answers if status == 503)
    print(
        f"{number} requests at once, each with a script that never ends: answered in {took:.1f} s"
    )
    for (status, name), count in sorted(kinds.items()):
        print(f"  {count:5} times {status} {name}")
    waits.sort()
    print(
        f"  meanwhile {len(waits)} requests under plain rules, {len(wrong)} not answered with 200: "
        f"median {statistics.median(waits) * 1000:.0f} ms, p99 "
        f"{waits[int(len(waits) * 0.99)] * 1000:.0f} ms, slowest {waits[-1] * 1000:.0f} ms"
    )
    print(f"  an honest script was answered {back:.1f} s after the last of them", flush=True)
    expected = {(401, "auth.required"), (503, "server.busy")}
    return set(kinds) <= expected and (503, "server.busy") in kinds and told and not wrong


def workers_of(parent: int) -> list[int]:
    """The workers below a process, by what the kernel tells."""
    found, children = [], [parent]
    while children:
        at = children.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                below = [int(word) for word in (task / "children").read_text().split()]
                children += below
                found += [pid for pid in below if _is_worker(pid)]
    return found


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def killed(site: Site, number: int) -> bool:
    """Mixed requests while workers die; whether all was as it has to be."""
    ended, deaths, chance = threading.Event(), [], random.Random(7)
    entries = site.select("Mixed")[1]["entries"]
    kept = next(entry["id"] for entry in entries if entry["data"]["Name"] == "kept")

    def kill() -> None:
        while not ended.wait(0.3):
            found = workers_of(os.getpid())
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(found), signal.SIGKILL)
                    deaths.append(1)

    def ask(at: int) -> tuple[int, Any]:
        asks = (
            ("PUT", "Mixed/data", {"Name": f"n{at}"}),
            ("PUT", "Mixed/data", {"Name": "no"}),
            ("PUT", f"Mixed/data/{kept}", {"Name": "taken"}),
            ("POST", "Mixed/data/query", {"where": {"Name": {"$in": ["hidden", "kept"]}}}),
            ("GET", "Plain/data", None),
        )
        status, body, _ = site.ask(*asks[at % len(asks)])
        return status, body

    thread = threading.Thread(target=kill)
    thread.start()
    start = time.monotonic()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(number)))
    took = time.monotonic() - start
    ended.set()
    thread.join()
    kinds = Counter((at % 5, answer[0]) for at, answer in enumerate(answers))
    names = ("insert", "insert, denied", "update, denied", "select", "plain select")
    print(f"{number} mixed requests in {took:.1f} s, while {len(deaths)} workers were killed")
    for (at, status), count in sorted(kinds.items()):
        print(f"  {count:5} times {status} for {names[at]}")
    from rowkeeper.datasources.models import Entry

    rows = list(Entry.objects.filter(data_source__name="Mixed").values_list("data", flat=True))
    inserted = [f"n{at}" for at, (status, _) in enumerate(answers) if at % 5 == 0 and status == 200]
    stored = [row["Name"] for row in rows if row.get("By") == "script"]
    lost, extra = set(inserted) - set(stored), set(stored) - set(inserted)
    granted = [at for at, (status, _) in enumerate(answers) if at % 5 in (1, 2) and status == 200]
    shown = [answer for at, answer in enumerate(answers) if at % 5 == 3 and "hidden" in str(answer)]
    plain = [at for at, (status, _) in enumerate(answers) if at % 5 == 4 and status != 200]
    print(
        f"  {len(inserted)} writes answered, {len(lost)} of them lost, {len(extra)} stored without "
        f"an answer; {len(granted) + len(shown)} granted that should be denied; {len(plain)} "
        "failures of requests without a script"
    )
    whole = len(stored) == len(set(stored)) and {"Name": "kept"} in rows
    return whole and not (lost or extra or granted or shown or plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with database(options.database):
        prepare()
        with server("threads", quiet=True) as port:
            site = Site(port)
            good = [loops(site, options.loops), killed(site, options.requests)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
