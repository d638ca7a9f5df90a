"""A commit of a hundred thousand rows, beside a plain COPY of the same rows.

    python -m benchmarks.commit [--rows 100000] [--rounds 5] [--database postgres://…]

Both write into the same table with the same indexes, in turn, with what was written taken away
between. The commit is timed from its body to its answer, without the network: reading the JSON,
checking every row, deciding the rules for every row, writing, and committing. COPY is given the
texts ready made. The last round is of a commit whose last row is denied: nothing of it may stay. It
makes a database of its own, and drops it; the exit code is 1 where a commit takes 4 times as long.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

from .ground import COLUMNS, database, row_of, run

BOUND = 4.0
# Decided for every row: its columns, and what it has to say.
RULES = [
    {
        "type": ["insert"],
        "allow": "all",
        "exclude": ["Secret"],
        "require": [{"Email": {"contains": "@acme.com"}}],
    }
]


def prepare() -> Any:
    """The data source, which holds another thousand rows."""
    import django

    django.setup()
    from django.core.management import call_command

    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry, saving
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.rules.repository.rules import save_rules

    call_command("migrate", verbosity=0)
    model = DataSource(name="Large", columns=[*COLUMNS, "Secret"])
    saving.save(model)
    save_rules(model, RULES)
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, [row_of(n, n, 50) for n in range(1_000)])
    return model


def create_token() -> str:
    """The secret of an API token."""
    from rowkeeper.accounts.tokens import create_api_token

    return create_api_token("benchmark")[1]


def copied(source: int, texts: list[str]) -> float:
    """Seconds of a plain COPY."""
    from django.db import connection, transaction
    from django.utils import timezone

    now = timezone.now()
    start = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        columns = 'data_source_id,data,nested,created_at,updated_at,"order"'
        with cursor.copy(f"COPY rowkeeper_datasources_entry ({columns}) FROM STDIN") as copy:
            for text in texts:
                copy.write_row((source, text, False, now, now, 0))
    return time.perf_counter() - start


def committed(source: int, body: bytes, token: str) -> tuple[float, str]:
    """Seconds of a commit over the API, and the type of its failure, empty where it was done."""
    from django.test import Client

    client = Client(headers={"Host": "localhost", "Auth-token": token})
    start = time.perf_counter()
    response = client.generic(
        "POST", f"/v1/data-sources/{source}/commit", body, content_type="application/json"
    )
    return time.perf_counter() - start, response.json().get("type", "")


def count() -> int:
    from rowkeeper.datasources.models import Entry

    return Entry.objects.count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with database(options.database):
        source = prepare().pk
        # Nobody without a credential may send that much.
        token = create_token()
        rows = [row_of(n, n, 2_000) for n in range(options.rows)]
        texts = [json.dumps(row) for row in rows]
        entries = [{"data": row} for row in rows]
        head = {"append": True, "returnEntries": False}
        body = json.dumps({**head, "entries": entries}).encode()
        denied = json.dumps({**head, "entries": [*entries[1:], {"data": {"Secret": 1}}]}).encode()
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.rounds):
            found[0].append(copied(source, texts))
            assert count() == 1_000 + options.rows
            clear()
            took, failure = committed(source, body, token)
            assert not failure and count() == 1_000 + options.rows, failure
            found[1].append(took)
            clear()
        took, failure = committed(source, denied, token)
        assert failure == "datasource.access" and count() == 1_000, failure
    plain, ours = (statistics.median(each) for each in found)
    ratios = [one / other for one, other in zip(found[1], found[0], strict=True)]
    least, most, middle = min(ratios), max(ratios), statistics.median(ratios)
    print(
        f"{options.rows:,} rows, {len(body) / 1e6:.0f} MB: COPY {plain:.2f} s, commit {ours:.2f} s"
    )
    print(f"{middle:.2f} ({least:.2f} to {most:.2f}) times; the bound is {BOUND}")
    print(f"with a last row that is denied: {took:.2f} s, and nothing was written")
    sys.exit(1 if middle > BOUND else 0)


def clear() -> None:
    """The table as it was."""
    run("DELETE FROM rowkeeper_datasources_entry WHERE id>1000")
    run("VACUUM rowkeeper_datasources_entry")


if __name__ == "__main__":
    main()
