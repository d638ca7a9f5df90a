"""The admin's page of a data source: how long it takes, and how many statements it asks.

    python -m benchmarks.admin [--rows 1000000] [--rounds 20] [--database postgres://…]

A data source with 50 rules, 200 columns and a million entries beside one with 1 rule, 3 columns and
10 entries, in turn, from the request to the whole answer. It makes a database of its own, and drops
it; the exit code is 1 where the large one takes a second, or asks more statements.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from .ground import database, insert, run

SECONDS = 1.0


def prepare(rows: int) -> dict[str, Any]:
    """The two data sources, and a client that may do everything."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", verbosity=0)
    small = make("Small", [f"Column {at}" for at in range(3)], 1)
    insert(str(small), "n", 10, 1)
    large = make("Large", [f"Column {at}" for at in range(200)], 50)
    insert(str(large), "n", rows, 1_000)
    run("VACUUM ANALYZE")
    client = Client(headers={"Host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return {"small": small, "large": large, "client": client}


def make(name: str, columns: list[str], rules: int) -> int:
    """A data source whose rules are each of another kind and about other columns."""
    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    model = DataSource(name=name, columns=columns)
    saving.save(model)
    operations = ("select", "insert", "update", "delete")
    kinds: list[dict[str, Any]] = [
        {"allow": "loggedIn", "exclude": columns[1:3]},
        {"allow": {"user": {"Role": {"equals": "Admin"}}}},
        {"allow": "all", "include": columns[:2]},
        {"allow": "loggedIn", "require": [{columns[0]: {"equals": "{{user.[Email]}}"}}]},
        {"script": "return {'granted': user.Role == 'Lead'}"},
    ]
    found = []
    for at in range(rules):
        kind = dict(kinds[at % len(kinds)])
        if "script" not in kind:
            kind["type"] = [operations[at % 4]]
        found.append({**kind, "name": f"Rule {at + 1}"})
    save_rules(model, found)
    return model.pk


def ask(client: Any, key: int) -> tuple[float, int, int]:
    """Seconds, statements and bytes of one page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as statements:
        start = time.perf_counter()
        response = client.get(f"/admin/rowkeeper_datasources/datasource/{key}/change/")
        took = time.perf_counter() - start
    assert response.status_code == 200, response.content[:500]
    return took, len(statements), len(response.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with database(options.database):
        made = prepare(options.rows)
        found: dict[str, list[tuple[float, int, int]]] = {"small": [], "large": []}
        for at in range(options.rounds + 1):
            for name, times in found.items():
                told = ask(made["client"], made[name])
                if at:
                    times.append(told)
    for name, times in found.items():
        middle = statistics.median(took for took, _, _ in times)
        most = max(took for took, _, _ in times)
        print(
            f"{name}: {middle * 1000:.0f} ms, the slowest {most * 1000:.0f} ms, "
            f"{times[-1][1]} statements, {times[-1][2] / 1000:.0f} kB"
        )
    slow = statistics.median(took for took, _, _ in found["large"]) >= SECONDS
    more = found["large"][-1][1] > found["small"][-1][1]
    sys.exit(1 if slow or more else 0)


if __name__ == "__main__":
    main()
