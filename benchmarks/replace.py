"""Replacing a large data source by one row, beside a plain DELETE of the same rows.

    python -m benchmarks.replace [--sqlite] [--rows 200000] [--server URL]

Over the API, once under a rule that asks nothing of the rows, and once under one that every row has
to meet. The first takes at most 3 times as long as the DELETE; the second also reads every row, at
most 60 microseconds each. Neither makes the process grow by more than 60 MB, whatever the number of
rows. What is compared is the time of the processor, also that of PostgreSQL's process if it is on
this machine, so that what else the machine does hardly matters. The exit code is 1 if a bound is
missed. It makes a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from typing import Any

from .choices import row_of
from .ground import Spent, database, run

RATIO, PER_ROW, MEGABYTES, SLACK = 3.0, 60e-6, 60, 0.5
OTHERS = [{"type": ["insert"], "allow": "all"}]
PLAIN = [*OTHERS, {"type": ["delete"], "allow": "all"}]
LOOKS = [
    *OTHERS,
    {"type": ["delete"], "allow": "all", "require": [{"Email": {"contains": "@acme.com"}}]},
]
TABLE = "rowkeeper_datasources_entry"


def fill(model: Any, rows: int) -> None:
    """The rows: some through the store, and copies of these, which are made quickly."""
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry

    source = registry.source_of(model)
    made = min(rows, 10_000)
    for start in range(0, made, 2_000):
        with store.writing(source, []):
            store.insert(source, [row_of(n, made) for n in range(start, min(made, start + 2_000))])
    copied = 'data_source_id,data,"order",nested,created_at,updated_at'
    while made < rows:
        more = min(made, rows - made)
        run(f"INSERT INTO {TABLE} ({copied}) SELECT {copied} FROM {TABLE} LIMIT {more}")
        made += more


def replace(model: Any, rules: list[dict[str, Any]]) -> Spent:
    """A bulk write over the API that replaces everything."""
    from django.test import Client

    from rowkeeper.rules.repository.rules import save_rules

    save_rules(model, rules)
    client, spent = Client(headers={"Host": "localhost"}), Spent()
    answer = client.generic(
        "POST",
        f"/v1/data-sources/{model.pk}/commit",
        b'{"entries":[{"data":{"Email":"new@acme.com"}}],"returnEntries":false}',
        content_type="application/json",
    )
    spent.end()
    assert answer.status_code == 200, answer.content
    return spent


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

    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.models import DataSource

    call_command("migrate", verbosity=0)
    model = DataSource(name="Large", columns=["Email"])
    saving.save(model)
    fill(model, rows)
    alone = Spent()
    run(f"DELETE FROM {TABLE}")
    alone.end()
    print(f"{rows:,} rows: a plain DELETE {alone}", flush=True)
    kept = True
    bound = RATIO * alone.processor + SLACK
    for name, rules, most in (
        ("no row looked at", PLAIN, bound),
        ("every row looked at", LOOKS, bound + PER_ROW * rows),
    ):
        fill(model, rows)
        before = grown()
        took = replace(model, rules)
        more = grown() - before
        fits = took.processor <= most and more <= MEGABYTES
        kept &= fits
        print(
            f"{name}: {took}, at most {most:.2f}; {more:.0f} MB more, at most {MEGABYTES}"
            f"{'' if fits else '  MISSED'}",
            flush=True,
        )
    return kept


if __name__ == "__main__":
    main()
