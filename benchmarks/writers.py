"""Eight clients that write to one site on SQLite: how long each of them waits.

    python -m benchmarks.writers [--seconds 10] [--servers serve,gthread] [--sources 4,1]

`serve` is the server of `make run`, one process; `gthread` is gunicorn with two processes, whose
writers also wait for each other. The clients insert rows into four data sources, and then into
one, as fast as they are answered. A server is missed where the 99th percentile is more than 5
times the median, or where an insert fails. The exit code is 1 then. It makes a database of its
own, and drops it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from typing import Any

from .ground import database
from .http import SERVERS, server

CLIENTS, BOUND = 8, 5.0
SERVERS["serve"] = "python -m project.serve --port {port}"
SERVERS["gthread"] = SERVERS["gthread"].replace("--threads 4", "--threads 16")
RULES = [{"type": ["insert"], "allow": "all"}]
ROW = json.dumps({"Email": "ann@acme.com", "Note": "x" * 200}).encode()


def prepare(most: int) -> list[int]:
    """The data sources, each with a thousand rows; their ids."""
    import django

    django.setup()
    from django.core.management import call_command

    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0)
    ids = []
    for number in range(most):
        model = DataSource(name=f"S{number}", columns=["Email", "Note"])
        saving.save(model)
        save_rules(model, RULES)
        source = registry.source_of(model)
        with store.writing(source, []):
            store.insert(source, [json.loads(ROW)] * 1_000)
        ids.append(model.pk)
    return ids


def client(port: int, source: int, until: float, times: list[float], failed: list[Any]) -> None:
    """Insert rows until a moment."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"}
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("PUT", f"/v1/data-sources/{source}/data", ROW, headers)
        response = connection.getresponse()
        body = response.read()
        times.append((time.perf_counter() - began) * 1e3)
        if response.status != 200:
            failed.append(body)
    connection.close()


def measure(kind: str, ids: list[int], seconds: float) -> bool:
    """Print the percentiles of one server; whether they are within the bound."""
    times: list[float] = []
    failed: list[Any] = []
    with server(kind) as port:
        client(port, ids[0], time.perf_counter() + 1, [], [])
        until = time.perf_counter() + seconds
        threads = [
            threading.Thread(target=client, args=(port, ids[n % len(ids)], until, times, failed))
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times.sort()
    half, most = times[len(times) // 2], times[len(times) * 99 // 100]
    kept = most <= BOUND * half and not failed
    print(
        f"{kind}, {len(ids)} data sources: {len(times) / seconds:.0f} a second, "
        f"p50 {half:.1f} ms, p99 {most:.1f} ms, "
        f"slowest {times[-1]:.0f} ms, {len(failed)} failed: {most / half:.1f} times (at most "
        f"{BOUND:.0f}){'' if kept else '  MISSED'}",
        flush=True,
    )
    if failed:
        print(failed[0])
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--servers", default="serve,gthread")
    parser.add_argument("--sources", default="4,1")
    options = parser.parse_args()
    with database("", sqlite=True):
        numbers = [int(number) for number in options.sources.split(",")]
        ids = prepare(max(numbers))
        kept = [
            measure(kind, ids[:number], options.seconds)
            for kind in options.servers.split(",")
            for number in numbers
        ]
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
