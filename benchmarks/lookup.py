"""What a script with a look-up costs a request: of 100,000 rows on PostgreSQL, one by equality.

    python -m benchmarks.lookup [--rows 100000] [--rounds 500] [--database postgres://…]

The same select, of a data source with one row, under a plain rule, under a script that grants, and
under one that looks a row up in another data source first, in turn. What the last takes beyond the
first is the script's step: the worker, whether the writer of the script may view what is looked up
in, and the row. It makes a database of its own, and drops it; the exit code is 1 where that median
takes 3 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from .ground import COLUMNS, database, insert, run

BOUND = 3.0
RULES: dict[str, dict[str, Any]] = {
    "Plain": {"type": ["select"], "allow": "all"},
    "Script": {"script": "return {'granted': True}"},
    "Look-up": {
        "script": "found = DataSources('Large').find_one(where={'Email': 'person77@acme.com'})\n"
        "return {'granted': found is not None}"
    },
}


def prepare(rows: int) -> dict[str, int]:
    """The data sources by name; the writer of the scripts may view the large one."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from guardian.shortcuts import assign_perm

    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0)
    large = DataSource(name="Large", columns=COLUMNS)
    saving.save(large)
    insert(str(large.pk), "n", rows, 1_000)
    writer = get_user_model().objects.create_user("writer", is_staff=True)
    assign_perm("rowkeeper_datasources.view_datasource", writer, large)
    assign_perm("rowkeeper_datasources.write_scripts_datasource", writer)
    found = {}
    for name, rule in RULES.items():
        model = DataSource(name=name, columns=["Name"])
        saving.save(model)
        with store.writing(registry.source_of(model), []):
            store.insert(registry.source_of(model), [{"Name": "a"}])
        save_rules(model, [rule], writer)
        found[name] = model.pk
    run("VACUUM ANALYZE")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in RULES}
    with database(options.database):
        made = prepare(options.rows)
        from django.test import Client

        client = Client(headers={"Host": "localhost"})
        for at in range(options.rounds + 50):
            for name, found in times.items():
                start = time.perf_counter()
                response = client.post(
                    f"/v1/data-sources/{made[name]}/data/query", {}, content_type="application/json"
                )
                took = (time.perf_counter() - start) * 1_000
                assert response.status_code == 200, response.content
                if at >= 50:
                    found.append(took)
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        slow = sorted(found)[int(len(found) * 0.99)]
        more = middle[name] - middle["Plain"]
        print(f"{name:8} {middle[name]:5.2f} ms, p99 {slow:5.2f} ms; beyond plain {more:5.2f} ms")
    sys.exit(1 if middle["Look-up"] - middle["Plain"] >= BOUND else 0)


if __name__ == "__main__":
    main()
