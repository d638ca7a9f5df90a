"""The plan that a select takes, beside the plans that it could have taken.

    python -m benchmarks.choices [--sqlite] [--rows 100000] [--rounds 9] [--server URL]

Each case is one where over values that are uniform, skewed or clustered, with a small or a large
share of the rows, on columns that are marked as indexed and on columns that are not; with and
without a limit, an order, an offset, a cursor, and as a count. The read chooses its plan by itself;
beside it, each plan of the same meaning runs to its end: the lookup by each index, and the walk in
the order of the request.

Compared are the statements of both, from the text to the last row. All statements of a read count,
also those of attempts that fail; what Python does between them does not count, and nothing else is
taken off. `read` is a read of a where that has been read before; it may take at most 3 times as
long as the best plan. `new` is the first read of a where of which nothing is known but what other
values of its columns have shown, with all the attempts before the right one; it may take at most
10 times as long. `first` is the first read of its columns in a process; it has no bound.

The time is the processor time of this process and of its database connection, as Linux counts it,
because other work on the machine delays a statement but hardly adds to that; where it is not
counted, the clock. Medians of rounds, in turn; a case that is beyond its bound has more rounds.
The exit code is 1 if a case is missed. The table goes to the output, the plan of each read to
`benchmarks/plans/choices-<database>.txt`. It makes a database of its own, and drops it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .ground import database, run
from .indexes import Statement, plan
from .indexes import statements as seen

HERE = Path(__file__).parent
BOUND, BOUND_OF_NEW = 3.0, 10.0
# Milliseconds beyond which three rounds are enough.
LONG = 20.0
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
        # 20 blocks, one after the other; the last 300 rows are a block of their own.
        "Block": "tail" if n >= rows - 300 else f"b{n * 20 // rows}",
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
    "300 rows, at the end": {"Block": "tail"},
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

    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.database.connection import atomic
    from rowkeeper.datasources.indexes.build import build
    from rowkeeper.datasources.models import DataSource
    from rowkeeper.datasources.values.codec import dumps

    table = "rowkeeper_datasources_entry"
    columns = 'data_source_id,data,"order",nested,created_at,updated_at'
    now = "2026-01-31 12:00:00.123456"
    for name in (MARKED, UNMARKED):
        model = DataSource(name=name, columns=COLUMNS)
        saving.save(model)
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
            saving.save(model, build=False)
            build(model.pk)
    if not sqlite:
        run("VACUUM ANALYZE")


# -- plans


@dataclass
class Plan:
    """One way to answer a case: its statements, and the milliseconds that each round took."""

    name: str
    statements: list[Statement]
    times: list[float] = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(self.times or [0.0])


@dataclass
class Found:
    """What was measured of a case."""

    case: Case
    first: Plan
    new: Plan
    read: Plan
    others: list[Plan]
    # Whether all of them gave the same rows.
    same: bool

    @property
    def plans(self) -> list[Plan]:
        return [self.first, self.new, self.read, *self.others]

    @property
    def best(self) -> Plan:
        return min(self.others, key=Plan.median)

    def best_time(self) -> float:
        return self.best.median()

    def ratio(self, plan: Plan) -> float:
        return plan.median() / self.best_time()

    def is_kept(self) -> bool:
        """Whether the reads are within their bounds."""
        within = self.ratio(self.read) <= BOUND and self.ratio(self.new) <= BOUND_OF_NEW
        return self.same and within


def found_of(case: Case) -> Found | None:
    """The reads, and each plan that they could take, run to its end. None where a case has no
    second page.
    """
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry
    from rowkeeper.datasources.compiler.projection import order_sql
    from rowkeeper.datasources.query.select import Projection, Select, parse_query
    from rowkeeper.datasources.sql import Sql
    from rowkeeper.datasources.store import planner
    from rowkeeper.datasources.store import statistics as learned
    from rowkeeper.datasources.store.extended import select_page
    from rowkeeper.datasources.store.read import _attempted, part

    source = registry.find(case.source)
    assert source is not None
    ask = parse_query(case.body, source.columns)
    assert isinstance(ask, Select)
    if ask.after is not None:
        first = select_page(source, ask, ask.where, Projection(), [])
        if first.following is None:
            return None
        ask = parse_query({**case.body, "after": first.following}, source.columns)
        assert isinstance(ask, Select)
    order, some = order_sql(store.dialect(), ask.order), part(ask)
    tail = Sql(f"{order.text}{some.text}", (*order.params, *some.params))
    first_rows = None if ask.limit is None or ask.count_only else ask.limit + ask.offset
    place = None if ask.after is None else ask.after.place
    wanted = store.ScanRequest(
        source, ask.where, ask.order, first_rows, place=place, is_repeated=True
    )
    columns = store.entry_text_of(ask.attributes, Projection())
    if ask.count_only:
        columns, tail = Sql("count(*)"), Sql("")
    answers: list[Any] = []

    def taken(name: str, read: Callable[[], Any]) -> Plan:
        with seen() as asked:
            answers.append(read())
        return Plan(name, asked)

    def by(name: str, rows: store.Scan) -> Plan:
        return taken(name, lambda: _attempted(rows, columns, tail, ask.limit)[0])

    def chosen() -> Any:
        return store.read_rows(wanted, columns, tail, ask.limit)

    learned.clear()
    first_read = taken("first", chosen)
    learned.attempts.clear()
    learned.narrowest.clear()
    new = taken("new", chosen)
    # The first read may have learned of a larger attempt than the second one needs.
    chosen()
    read = taken("read", chosen)
    walked, sorted_ = (planner._planner(one, None) for one in (wanted, replace(wanted, first=None)))
    others = [by(f"lookup {name or 'whole rows'}", sorted_._by(name)) for name in walked._lookups]
    if first_rows is not None and walked._is_walked:
        others.append(by("walk", planner._table(walked._walk())))
    if not others or first_rows is None or not walked._is_walked:
        others.append(by("scan", sorted_._by(None)))
    return Found(case, first_read, new, read, others, all(one == answers[0] for one in answers))


# -- times


def measure(found: Found, rounds: int) -> None:
    """Fill in the times, in turn; those of a case that looks missed for three times as long."""
    from django.db import connection

    # A connection to PostgreSQL prepares a statement that it has run three times.
    for _ in range(3 if connection.vendor == "postgresql" else 1):
        run_once(found.plans)
    for turn in range(3 * rounds):
        if turn >= (rounds if found.best_time() < LONG else 3) and found.is_kept():
            break
        # What is far from the best is not worth the time.
        plans = [one for one in found.plans if turn < 2 or one.median() < 12 * found.best_time()]
        for one, milliseconds in zip(plans, run_once(plans), strict=True):
            one.times.append(milliseconds)


def run_once(plans: list[Plan]) -> list[float]:
    """The milliseconds that the statements of each plan take."""
    from django.db import connection

    found = []
    with connection.cursor() as cursor:
        for plan in plans:
            began = spent()
            for statement in plan.statements:
                cursor.execute(*statement)
                cursor.fetchall()
            found.append((spent() - began) * 1e3)
    return found


def spent() -> float:
    """Seconds of processor time that the database has taken for this connection: SQLite is in this
    process, and PostgreSQL has a process for it. Without Linux on the same machine, the clock.
    """
    from django.db import connection

    if connection.vendor == "sqlite":
        return time.thread_time()
    process = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
    try:
        return int(process.read_text().split()[0]) / 1e9
    except FileNotFoundError:
        return time.perf_counter()


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
        sys.exit(table(options))


def table(options: argparse.Namespace) -> int:
    """Measure and print every case; the number of those that are missed."""
    everything: list[Found] = []
    names = ("first", "new", "read")
    print(f"{'':52}{''.join(f'{name:>8}' for name in (*names, 'best', *names))}  best plan")
    for case in cases():
        found = found_of(case) if options.only in case.name else None
        if found is None:
            continue
        measure(found, options.rounds)
        everything.append(found)
        word = "" if found.is_kept() else "  MISSED" if found.same else "  DIFFERS"
        reads = (found.first, found.new, found.read)
        times = "".join(f"{one.median():8.2f}" for one in (*reads, found.best))
        ratios = "".join(f"{found.ratio(one):8.2f}" for one in reads)
        print(f"{case.name:52}{times}{ratios}  {found.best.name}{word}", flush=True)
    missed = sum(not found.is_kept() for found in everything)
    print(f"{missed} missed" if missed else "every case within its bound")
    if not options.only:
        write_plans(everything)
    return min(missed, 1)


def write_plans(everything: list[Found]) -> None:
    """The plan of each read, below its case."""
    from django.db import connection

    texts = []
    for found in everything:
        texts.append(f"== {found.case.name}: {found.ratio(found.read):.2f} times {found.best.name}")
        texts += [short(plan(statement)) for statement in found.read.statements]
    path = HERE / "plans" / f"choices-{connection.vendor}.txt"
    path.write_text("\n".join(texts) + "\n")


def short(text: str) -> str:
    """The steps of a plan, without their conditions; an index by the name of its column."""
    from rowkeeper.datasources.indexes.expressions import name_of
    from rowkeeper.datasources.models import DataSource

    for source in DataSource.objects.all():
        for column in COLUMNS:
            text = text.replace(name_of(source.pk, column), f"index_of_{column}")
    lines = text.splitlines()
    if not lines[0].endswith(")"):
        # SQLite tells nothing but the steps.
        return text
    steps = [one for one in lines[1:] if one.lstrip().startswith(("->", "Rows Removed"))]
    return "\n".join([lines[0], *steps])


if __name__ == "__main__":
    main()
