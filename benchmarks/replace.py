"""Replacing a large data source by one row, beside a plain DELETE of the same rows.

    python -m benchmarks.replace [--sqlite] [--rows 200000] [--server URL]

Over the API, once under a rule that asks nothing of the rows, and once under one that every row has
to meet. The first takes at most 3 times as long as the DELETE; the second also reads every row, at
most 60 microseconds each. Neither makes the process grow by more than 60 MB, whatever the number of
rows. The exit code is 1 if a bound is missed. It makes a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from typing import Any

from .choices import row_of
from .ground import database, run

RATIO, PER_ROW, MEGABYTES, SLACK = 3.0, 60e-6, 60, 0.5
OTHERS = [{"type": ["insert"], "allow": "all"}]
PLAIN = [*OTHERS, {"type": ["delete"], "allow": "all"}]
LOOKS = [
    *OTHERS,
    {"type": ["delete"], "allow": "all", "require": [{"Email": {"contains": "@acme.com"}}]},
]
TABLE = "rowkeeper_datasources_entry"


def fill(model: Any, rows: int) -> None:
    """The rows, in batches that a process does not hold for long."""
    from datasources import sources, store

    source = sources.source_of(model)
    for start in range(0, rows, 2_000):
        with store.writing(source, []):
            store.insert(source, [row_of(n, rows) for n in range(start, min(rows, start + 2_000))])


def replaced(model: Any, rules: list[dict[str, Any]]) -> float:
    """Seconds of a bulk write over the API that replaces everything."""
    from django.test import Client

    from rules.saving import save_rules

    save_rules(model, rules)
    client = Client(headers={"Host": "localhost"})
    began = time.perf_counter()
    answer = client.generic(
        "POST",
        f"/v1/data-sources/{model.pk}/commit",
        b'{"entries":[{"data":{"Email":"new@acme.com"}}],"returnEntries":false}',
        content_type="application/json",
    )
    assert answer.status_code == 200, answer.content
    return time.perf_counter() - began


def grown() -> float:
    """The most memory that the process has had so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument(
        "--server", default=os.environ.get("SERVER", "postgres://postgres@127.0.0.1:5432")
    )
    options = parser.parse_args()
    with database(options.server, options.sqlite):
        import django

        django.setup()
        sys.exit(0 if measure(options.rows) else 1)


def measure(rows: int) -> bool:
    """Measure and print all of it; whether every bound is kept."""
    from django.core.management import call_command

    from datasources import sources
    from datasources.models import DataSource

    call_command("migrate", verbosity=0)
    model = DataSource(name="Large", columns=["Email"])
    sources.save(model)
    fill(model, rows)
    began = time.perf_counter()
    run(f"DELETE FROM {TABLE}")
    alone = time.perf_counter() - began
    print(f"{rows:,} rows: a plain DELETE {alone:.2f} s")
    kept = True
    for name, rules, most in (
        ("no row looked at", PLAIN, RATIO * alone + SLACK),
        ("every row looked at", LOOKS, RATIO * alone + PER_ROW * rows + SLACK),
    ):
        fill(model, rows)
        before = grown()
        took = replaced(model, rules)
        more = grown() - before
        fits = took <= most and more <= MEGABYTES
        kept &= fits
        print(
            f"{name}: {took:.2f} s (at most {most:.2f}), {more:.0f} MB more (at most {MEGABYTES})"
            f"{'' if fits else '  MISSED'}"
        )
    return kept


if __name__ == "__main__":
    main()
