"""What an insert costs on a site with as many marked columns as it may have, beside one without.

    python -m benchmarks.marks [--sqlite] [--rounds 300] [--server URL]

The marks are in other data sources than the inserts. With `MAX_INDEXES` of them, an insert takes at
most 2.5 times as long as with none, and 1 millisecond. What is compared is the time of the
processor, also that of PostgreSQL's process if it is on this machine, so that what else the machine
does hardly matters. The exit code is 1 if the bound is missed. It makes a database of its own, and
drops it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from .ground import Spent, database

BOUND, SLACK = 2.5, 1.0
PER_SOURCE = 20


def inserted(source: Any, rounds: int) -> float:
    """Milliseconds of an insert of one row, as the API makes it."""
    from rowkeeper.datasources import store

    spent = Spent()
    for number in range(rounds):
        with store.writing(source, ["N"]):
            store.insert(source, [{"N": number, "Text": f"text {number}"}])
    spent.end()
    return 1e3 * spent.processor / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument(
        "--server", default=os.environ.get("SERVER", "postgres://postgres@127.0.0.1:5432")
    )
    options = parser.parse_args()
    with database(options.server, options.sqlite):
        import django

        django.setup()
        sys.exit(0 if measure(options.rounds) else 1)


def measure(rounds: int) -> bool:
    """Measure and print both; whether the bound is kept."""
    from django.core.management import call_command

    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.conf import setting
    from rowkeeper.datasources.indexes.build import build
    from rowkeeper.datasources.models import DataSource

    call_command("migrate", verbosity=0)
    model = DataSource(name="Unmarked", columns=["N", "Text"])
    saving.save(model)
    source = registry.source_of(model)
    inserted(source, 50)
    alone = inserted(source, rounds)
    most = setting("MAX_INDEXES")
    for at in range(0, most, PER_SOURCE):
        columns = [f"c{number}" for number in range(min(PER_SOURCE, most - at))]
        marked = DataSource(name=f"Marked {at}", columns=columns, indexed_columns=columns)
        saving.save(marked, build=False)
        build(marked.pk)
    inserted(source, 50)
    beside = inserted(source, rounds)
    kept = beside <= BOUND * alone + SLACK
    print(
        f"an insert beside {most} marked columns: {beside:.2f} ms, beside none: {alone:.2f} ms: "
        f"{beside / alone:.1f} times{'' if kept else '  MISSED'}"
    )
    return kept


if __name__ == "__main__":
    main()
