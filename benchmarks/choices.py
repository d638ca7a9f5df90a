"""The plan that a read takes, beside the plans that it could have taken.

    python -m benchmarks.choices [--sqlite] [--rows 100000] [--rounds 9] [--server URL]

Each case is one where over values that are uniform, skewed or clustered, with a small or a large
share of the rows, on columns that are marked as indexed and on columns that are not; with and
without a limit, an order, an offset, a cursor, and as a count. The read chooses its plan by itself;
beside it, each plan of the same meaning runs to its end: the lookup by each index, and the walk in
the order of the request. A case is missed where the read takes more than 3 times as long as the
best of these, and half a millisecond. `first` is the first read of a where, of which nothing is
known; it has no bound.

The fastest of several runs each, in milliseconds, as other work on the machine only adds to them.
The exit code is 1 if a case is missed. The plan of each figure goes to
`benchmarks/plans/choices-<database>.txt`. It makes a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .ground import database, run

HERE = Path(__file__).parent
BOUND, SLACK = 3.0, 0.5
COLUMNS = ["Department", "Email", "Status", "Team", "Salary", "Block"]
MARKED, UNMARKED, GROWN = "Marked", "Unmarked", "Grown"


def row_of(n: int, rows: int) -> dict[str, Any]:
    """The row of a number: see the cases for what is where."""
    return {
        # 50 rows of each, all over; but the last 20th of all rows is of one.
        "Department": f"d{7 if n >= rows * 19 // 20 else n % (rows // 50)}",
        "Email": f"p{n}@acme.com",
        # 90 %, 9 % and 1 % of the rows, all over.
        "Status": "open" if n % 100 == 0 else "late" if n % 100 < 10 else "done",
        # 20 blocks, one after the other.
        "Block": f"b{n * 20 // rows}",
        "Team": f"t{n % 50}",
        "Salary": 20_000 + (n * 7919) % 100_003,
    }


@dataclass(frozen=True)
class Case:
    """A body of a select, and the page of it that is read."""

    name: str
    source: str
    body: dict[str, Any]


WHERES: dict[str, dict[str, Any]] = {
    "50 rows, uniform": {"Department": "d11"},
    "5 %, at the end": {"Department": "d7"},
    "1 row": {"Email": "p777@acme.com"},
    "2 %, uniform": {"Team": "t7"},
    "1 %, skewed": {"Status": "open"},
    "90 %, skewed": {"Status": "done"},
    "5 %, first block": {"Block": "b0"},
    "5 %, last block": {"Block": "b19"},
    "a rare one and a common one": {"Department": "d7", "Email": "p99001@acme.com"},
    "two common ones": {"Status": "late", "Block": "b18"},
    "one of few and a range": {"Status": "done", "Salary": {"$lt": 20_050}},
    "a wide range": {"Salary": {"$gt": 30_000}},
    "a narrow range": {"Salary": {"$gte": 50_000, "$lt": 50_100}},
    "none": {"Team": "nobody"},
}
FORMS: dict[str, dict[str, Any]] = {
    "limit": {"limit": 50},
    "newest": {"limit": 50, "order": [["id", "DESC"]]},
    "order": {"limit": 50, "order": [["Salary", "DESC"]]},
    "offset": {"limit": 50, "offset": 500},
    "cursor": {"limit": 50, "after": ""},
    "count": {"countOnly": True},
}


def cases() -> Iterator[Case]:
    """Every where in every form, on both data sources."""
    for source in (MARKED, UNMARKED):
        for what, where in WHERES.items():
            for form, body in FORMS.items():
                yield Case(f"{source}, {what}, {form}", source, {"where": where, **body})
            if "%" not in what and "wide" not in what:
                yield Case(f"{source}, {what}, all", source, {"where": where})


# -- rows


def fill(rows: int, sqlite: bool) -> None:
    """Two data sources with the same rows; of one, every column is marked."""
    from django.db import connection

    from datasources import sources
    from datasources.db import atomic
    from datasources.indexing.build import build
    from datasources.jsontext import dumps
    from datasources.models import DataSource

    table = "rowkeeper_datasources_entry"
    columns = 'data_source_id,data,"order",nested,created_at,updated_at'
    now = "2026-01-31 12:00:00.123456"
    for name in (MARKED, UNMARKED):
        model = DataSource(name=name, columns=COLUMNS)
        sources.save(model)
        texts = (dumps(row_of(n, rows)) for n in range(rows))
        if sqlite:
            with atomic():
                connection.connection.executemany(
                    f"INSERT INTO {table} ({columns}) VALUES (?,?,0,0,'{now}','{now}')",
                    ((model.pk, text) for text in texts),
                )
        else:
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
            ):
                for text in texts:
                    copy.write_row((model.pk, text, 0, False, now, now))
        if name == MARKED:
            model.indexed_columns = COLUMNS
            sources.save(model, build=False)
            build(model.pk)
    if not sqlite:
        run("VACUUM ANALYZE")


# -- plans


@dataclass
class Plan:
    """One way to answer a case; `times` in milliseconds."""

    name: str
    read: Callable[[], Any]
    times: list[float]
    statement: tuple[str, Any] = ("", ())

    def fastest(self) -> float:
        return min(self.times)


def plans_of(case: Case) -> list[Plan]:
    """The read as it is, and each plan that it could take, run to its end."""
    from datasources import sources, store
    from datasources.queries import Projection, Select, parse_query
    from datasources.reading import page
    from datasources.selecting import order_sql
    from datasources.store import planner
    from datasources.store.read import _attempted, part
    from datasources.where.sqltext import Sql

    source = sources.find(case.source)
    assert source is not None
    ask = parse_query(case.body, source.columns)
    assert isinstance(ask, Select)
    if ask.after is not None:
        first = page(source, ask, ask.where, Projection(), [])
        if first.following is None:
            return []
        ask = parse_query({**case.body, "after": first.following}, source.columns)
        assert isinstance(ask, Select)
    text = store.entry_text_of(ask.attributes, Projection())
    order, some = order_sql(store.dialect(), ask.order), part(ask)
    tail = Sql(f"{order.text}{some.text}", (*order.params, *some.params))
    first_rows = None if ask.limit is None or ask.count_only else ask.limit + ask.offset
    place = None if ask.after is None else ask.after.place
    wanted = store.Ask(source, ask.where, ask.order, first_rows, place=place, beside=True)
    columns = text
    if ask.count_only:
        columns, tail = Sql("count(*)"), Sql("")

    def by(rows: store.Rows) -> Callable[[], Any]:
        return lambda: _attempted(rows, columns, tail, ask.limit)[0]

    def chosen() -> Any:
        return store.read_rows(wanted, columns, tail, ask.limit)

    found = [Plan("as it is", chosen, [])]
    every = planner._planner(wanted, 10**6)
    for name in every._lookups:
        # With all the others taken away, and no bound.
        one = planner._planner(replace(wanted, first=None), None)
        found.append(Plan(f"lookup {name or 'whole rows'}", by(one._by(name)), []))
    if first_rows is not None and every._is_walked:
        found.append(Plan("walk", by(planner._table(every._walk())), []))
    if len(found) == 1 or ask.count_only:
        scan = planner._planner(replace(wanted, first=None), None)
        found.append(Plan("scan", by(scan._by(None)), []))
    return found


def measure(plans: list[Plan], rounds: int) -> tuple[float, bool]:
    """Fill in the times, in turn; the time of the first read, and whether all found the same."""
    from datasources.store import learned

    learned.attempts.clear()
    learned.narrowest.clear()
    began = time.perf_counter()
    answer = plans[0].read()
    first = (time.perf_counter() - began) * 1e3
    same = True
    for plan in plans:
        with statements() as seen:
            same &= plan.read() == answer
        plan.statement = seen[-1]
    slow: set[str] = set()
    for turn in range(5 * rounds):
        # Other work on the machine can hold up every one of a few runs: a miss is measured again.
        if turn >= rounds and is_kept(plans):
            break
        for plan in plans:
            if plan.name in slow and turn > 2:
                continue
            # Twice, so that none pays for what the one before it has left in the caches.
            plan.read()
            began = time.perf_counter()
            plan.read()
            plan.times.append((time.perf_counter() - began) * 1e3)
        best = min(plan.fastest() for plan in plans)
        # What is far from the best is not worth the time.
        slow = {plan.name for plan in plans[1:] if plan.fastest() > 5 * best}
    return first, same


def is_kept(plans: list[Plan]) -> bool:
    """Whether the read is within its bound."""
    best = min(plan.fastest() for plan in plans[1:])
    return plans[0].fastest() <= BOUND * best + SLACK


def statements() -> Any:
    """The statements that are run inside."""
    from .indexes import statements as seen

    return seen()


# -- the table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name has this part")
    parser.add_argument(
        "--server", default=os.environ.get("SERVER", "postgres://postgres@127.0.0.1:5432")
    )
    options = parser.parse_args()
    with database(options.server, options.sqlite):
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        fill(options.rows, options.sqlite)
        sys.exit(1 if table(options) else 0)


def table(options: argparse.Namespace) -> list[str]:
    """Measure and print every case; the names of those that are missed."""
    from django.db import connection

    from .indexes import plan as explained

    missed, texts = [], []
    print(f"{'':52}{'first':>8}{'read':>8}{'best':>8}{'ratio':>7}  best plan")
    for case in cases():
        if options.only not in case.name:
            continue
        plans = plans_of(case)
        if not plans:
            continue
        first, same = measure(plans, options.rounds)
        ours, best = plans[0], min(plans[1:], key=Plan.fastest)
        kept = is_kept(plans)
        if not kept or not same:
            missed.append(case.name)
        word = "" if kept and same else "  MISSED" if same else "  DIFFERS"
        ratio = ours.fastest() / best.fastest()
        print(
            f"{case.name:52}{first:8.2f}{ours.fastest():8.2f}{best.fastest():8.2f}{ratio:7.2f}"
            f"  {best.name}{word}",
            flush=True,
        )
        texts += [f"== {case.name}"]
        for one in plans:
            texts += [f"-- {one.name}: {one.fastest():.2f} ms", explained(one.statement, False)]
    (HERE / "plans").mkdir(exist_ok=True)
    path = HERE / "plans" / f"choices-{connection.vendor}.txt"
    path.write_text("\n".join(texts) + "\n")
    print(f"{len(missed)} missed" if missed else "every case within its bound")
    return missed


if __name__ == "__main__":
    main()
