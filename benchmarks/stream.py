"""Memory and time of an answer of a million entries, on a real server.

    python -m benchmarks.stream [--rows 1000000] [--sqlite] [--database postgres://…]

gunicorn with one process. Asked are `GET data`, and selects without a limit, by id and in the
order of a column without an index, under a rule that hides a column. Told are the time to the
first byte and to the last, and by how much the memory of the server's process grew meanwhile (its
peak resident size, beside that before). It makes a database of its own, and drops it; the exit
code is 1 where `GET data` needs 0.5 s to its first byte, or any of them 50 MB.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .ground import COLUMNS, database, insert, row_of, run
from .http import SERVERS, server

SERVERS["one"] = SERVERS["gunicorn"].replace("--workers 2", "--workers 1")
FIRST_BYTE, MEMORY = 0.5, 50.0
ASKS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "GET data": ("GET", "/data", None),
    "select, by id": ("POST", "/data/query", {}),
    "select, in the order of a column": ("POST", "/data/query", {"order": [["Name", "DESC"]]}),
}


def prepare(rows: int) -> int:
    """The id of a data source of so many rows."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0)
    model = DataSource(name="Large", columns=COLUMNS)
    saving.save(model)
    rules = [{"type": ["select"], "allow": "all", "exclude": ["Salary"]}]
    save_rules(model, rules)
    if connection.vendor == "postgresql":
        insert(str(model.pk), "n", rows, 1_000)
        run("VACUUM ANALYZE")
        return model.pk
    source = registry.source_of(model)
    for at in range(0, rows, 20_000):
        with store.writing(source, []):
            store.insert(source, [row_of(n, n, 1_000) for n in range(at, min(rows, at + 20_000))])
    return model.pk


def children(pid: int) -> list[int]:
    """The processes that one has begun, and those of these."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for word in (task / "children").read_text().split():
            found += [int(word), *children(int(word))]
    return found


def resident(pid: int, name: str = "VmRSS") -> float:
    """The resident size of a process in MB; `VmHWM`: its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise ValueError(name)


def ask(port: int, source: int, how: tuple[str, str, dict[str, Any] | None]) -> tuple[Any, ...]:
    """Seconds to the first byte and to the last, bytes, and entries."""
    method, path, body = how
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    start = time.perf_counter()
    text = None if body is None else json.dumps(body)
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, f"/v1/data-sources/{source}{path}", text, headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    size = len(response.read(1))
    first = time.perf_counter() - start
    entries, end = 0, b""
    while part := response.read(1 << 16):
        size += len(part)
        entries += (end + part).count(b'"dataSourceId":')
        end = part[-14:]
    took = time.perf_counter() - start
    assert end.endswith(b"]}"), end
    return first, took, size, entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    missed = []
    with database(options.database, options.sqlite):
        source = prepare(options.rows)
        from django.db import connections

        connections.close_all()
        print(f"{options.rows:,} entries, {'SQLite' if options.sqlite else 'PostgreSQL'}")
        for name, how in ASKS.items():
            # A server for each, as memory that one has used may serve the next.
            with server("one") as port:
                few = {"limit": 10}
                for _ in range(20):
                    ask(port, source, ("POST", "/data/query", few))
                workers = children(os.getpid())
                before = {pid: resident(pid) for pid in workers}
                for pid in workers:
                    Path(f"/proc/{pid}/clear_refs").write_text("5")
                first, took, size, entries = ask(port, source, how)
                grown = max(resident(pid, "VmHWM") - before[pid] for pid in workers)
            assert entries == options.rows, entries
            print(
                f"{name:34} first byte {first * 1000:6.0f} ms, all {took:5.1f} s, "
                f"{size / 1e6:4.0f} MB answered, memory grew by {grown:5.1f} MB",
                flush=True,
            )
            if grown > MEMORY or (how[0] == "GET" and first > FIRST_BYTE):
                missed.append(name)
    sys.exit(f"beyond the bounds: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
