"""Finding rows among a million, beside a table of native columns with B-tree indexes.

    python -m benchmarks.indexes [--sqlite] [--rows 1000000] [--rounds 300] [--grow 1000000]

The rows are in 20 data sources; one of them has columns that are marked as indexed, another has
none. Each statement is the one that a select runs, and gives rows as JSON text; beside it stands
one that gives the native columns. Medians of both, in turn; `whole` is the select from its parsed
body to the texts. It makes a database of its own, and drops it; the plans go to
`benchmarks/plans/`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ground import COLUMNS, database, insert, row_of, run

HERE = Path(__file__).parent
SOURCES = 20
MARKED, UNMARKED, SMALL, LARGE, GROWN = "S7", "S8", "Small", "Large", "Grown"
INDEXED = ["Email", "Name", "Department", "Salary"]
# Statement and parameters.
Statement = tuple[str, tuple[Any, ...]]


# -- rows

NATIVE = (
    "CREATE TABLE native (id bigint PRIMARY KEY, source bigint, email text{c}, name text{c}, "
    "department text{c}, salary numeric, joined text{c}, active boolean, note text{c}, "
    "role text{c}, created_at timestamptz, updated_at timestamptz)"
)
NATIVE_COLUMNS = (
    "id,source,email,name,department,salary,joined,active,note,role,created_at,updated_at"
)
NATIVE_INDEXES = ("email", "name", "department", "salary", "id")


def make_sources() -> dict[str, int]:
    """Data sources without rows; their ids by name."""
    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.models import DataSource

    names = [f"S{n}" for n in range(SOURCES)] + [SMALL, LARGE, GROWN]
    for name in names:
        saving.save(DataSource(name=name, columns=COLUMNS))
    return dict(DataSource.objects.values_list("name", "pk"))


def fill_postgresql(ids: dict[str, int], rows: int) -> None:
    """All rows, those of the 20 in turn."""
    from rowkeeper.datasources.query.where.containment import WHOLE_POSTGRESQL

    each = rows // SOURCES
    run("DROP INDEX rowkeeper_entry_whole")
    first = ids["S0"]
    insert(f"{first}+(n % {SOURCES})", f"n/{SOURCES}", rows, max(each // 50, 1))
    run(
        "CREATE INDEX rowkeeper_entry_whole ON rowkeeper_datasources_entry USING gin "
        f"({WHOLE_POSTGRESQL} jsonb_path_ops) WITH (gin_pending_list_limit=256)"
    )
    run("ALTER INDEX rowkeeper_entry_whole ALTER COLUMN 1 SET STATISTICS 0")
    run(NATIVE.format(c=' COLLATE "C"'))
    run(
        "INSERT INTO native SELECT id,data_source_id,data->>'Email',data->>'Name',"
        "data->>'Department',(data->>'Salary')::numeric,data->>'Joined',"
        "(data->>'Active')::boolean,data->>'Note',data->>'Role',created_at,updated_at "
        "FROM rowkeeper_datasources_entry ORDER BY id"
    )
    for column in NATIVE_INDEXES:
        run(f"CREATE INDEX ON native (source,{column})")
    insert(str(ids[SMALL]), "n", 1_000, 20)
    insert(str(ids[LARGE]), "n", 100_000, 2_000)
    run("VACUUM ANALYZE")


def fill_sqlite(ids: dict[str, int], rows: int) -> None:
    """The same, row by row."""
    from django.db import connection

    from rowkeeper.datasources.values.codec import dumps

    run(NATIVE.format(c=""))
    now = "2026-01-31 12:00:00.123456"
    connection.ensure_connection()
    raw = connection.connection
    departments = max(rows // SOURCES // 50, 1)
    for start in range(0, rows, 50_000):
        batch = [
            (n + 1, ids[f"S{n % SOURCES}"], row_of(n, n // SOURCES, departments))
            for n in range(start, min(rows, start + 50_000))
        ]
        with raw:
            raw.execute("BEGIN")
            raw.executemany(
                'INSERT INTO rowkeeper_datasources_entry (id,data_source_id,data,"order",nested,'
                f"created_at,updated_at) VALUES (?,?,?,0,0,'{now}','{now}')",
                [(n, source, dumps(row)) for n, source, row in batch],
            )
            raw.executemany(
                f"INSERT INTO native VALUES (?,?,?,?,?,?,?,?,?,?,'{now}','{now}')",
                [(n, source, *row.values()) for n, source, row in batch],
            )
    for column in NATIVE_INDEXES[:-1]:
        run(f"CREATE INDEX native_{column} ON native (source,{column})")


# -- what is compared


@dataclass(frozen=True)
class Case:
    """One question: in our words, with the data source, and to the native table."""

    name: str
    body: Callable[[int], dict[str, Any]]
    native: str
    values: Callable[[int], tuple[Any, ...]]
    rows: int
    source: str = MARKED
    # The most that the ratio may be.
    bound: float = 0.0
    order: str = "id"


def cases(each: int, sqlite: bool) -> Iterator[Case]:
    """Every comparison. `each`: the rows of a data source."""
    departments = max(each // 50, 1)

    def email(i: int) -> str:
        return f"person{i * 37 % each}@acme.com"

    def department(i: int) -> str:
        return f"Department {i * 37 % departments}"

    def salary(i: int) -> int:
        return 20_000 + i * 97 % 90_000

    def prefix(i: int) -> str:
        return f"Person {i * 37 % 4096:03x}"

    after = "\U0010ffff"
    one, fifty = (3.0, 3.0) if sqlite else (1.5, 2.5)
    if not sqlite:
        yield Case("equality, unmarked, one row", lambda i: {"where": {"Email": email(i)}},
                   "email=%s", lambda i: (email(i),), 1, UNMARKED, 3.0)  # fmt: skip
        yield Case("equality, unmarked, 50 rows",
                   lambda i: {"where": {"Department": department(i)}}, "department=%s",
                   lambda i: (department(i),), 50, UNMARKED, 4.0)  # fmt: skip
        yield Case("equality, unmarked, 45,000 rows", lambda i: {"where": {"Role": "User"}},
                   "role=%s", lambda i: ("User",), 50, UNMARKED)  # fmt: skip
    yield Case("equality, marked, one row", lambda i: {"where": {"Email": email(i)}},
               "email=%s", lambda i: (email(i),), 1, MARKED, one)  # fmt: skip
    yield Case("equality, marked, 50 rows", lambda i: {"where": {"Department": department(i)}},
               "department=%s", lambda i: (department(i),), 50, MARKED, fifty)  # fmt: skip
    bound = 3.0 if sqlite else 2.5
    yield Case("range and order, marked",
               lambda i: {"where": {"Salary": {"$gt": salary(i)}}, "order": [["Salary", "ASC"]]},
               "salary>%s", lambda i: (salary(i),), 50, MARKED, bound, "salary,id")  # fmt: skip
    yield Case("order, marked", lambda i: {"order": [["Name", "ASC"]]},
               "1=1", lambda i: (), 50, MARKED, bound, "name,id")  # fmt: skip
    yield Case("order descending, marked", lambda i: {"order": [["Name", "DESC"]]},
               "1=1", lambda i: (), 50, MARKED, bound, "name DESC,id")  # fmt: skip
    yield Case("prefix and order, marked",
               lambda i: {"where": {"Name": {"$like": f"{prefix(i)}%"}},
                          "order": [["Name", "ASC"]]},
               "name>=%s AND name<%s", lambda i: (prefix(i), prefix(i) + after), 0, MARKED, bound,
               "name,id")  # fmt: skip


@dataclass
class Times:
    """Microseconds of each round."""

    native: list[float] = field(default_factory=list)
    statement: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def measure(case: Case, rounds: int) -> tuple[Times, Statement, Statement]:
    """Both sides in turn; the last statements of each."""
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry
    from rowkeeper.datasources.query.select import Projection, Select, parse_query

    source = registry.find(case.source)
    assert source is not None
    native = (
        f"SELECT {NATIVE_COLUMNS} FROM native WHERE source=%s{cast()} AND {case.native} "
        f"ORDER BY {case.order} LIMIT %s OFFSET %s"
    )
    times = Times()
    asked: Statement = ("", ())
    ours: Statement = ("", ())
    for i in range(rounds + 20):
        ask = parse_query({"limit": 50, **case.body(i)}, source.columns)
        assert isinstance(ask, Select)
        with statements() as seen:
            start = time.perf_counter()
            texts = store.select(source, ask, ask.where, Projection()).entries
            whole = time.perf_counter() - start
        ours, asked = seen[-1], (native, (source.id, *case.values(i), 50, 0))
        rows, statement = fetched(ours)
        there, columns = fetched(asked)
        assert rows == there == len(texts), (case.name, rows, there)
        assert case.rows in (0, rows), (case.name, rows)
        if i >= 20:
            times.native.append(columns)
            times.statement.append(statement)
            times.whole.append(whole * 1e6)
    return times, ours, asked


def cast() -> str:
    """Drivers send a small number as a small type."""
    from django.db import connection

    return "::bigint" if connection.vendor == "postgresql" else ""


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """What the database is asked."""
    from django.db import connection

    seen: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, tuple(params or ())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def fetched(statement: Statement) -> tuple[int, float]:
    """How many rows, and the microseconds that it took."""
    from django.db import connection

    with connection.cursor() as cursor:
        start = time.perf_counter()
        cursor.execute(*statement)
        found = len(cursor.fetchall())
        return found, (time.perf_counter() - start) * 1e6


# -- plans


def plan(statement: Statement, execution: bool = True) -> str:
    """How the database runs a statement: on PostgreSQL as planned for all values alike."""
    from django.db import connection

    sql, params = statement
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            return "\n".join(str(row[-1]) for row in cursor.fetchall())
    import psycopg
    from psycopg.sql import Literal

    text = sql
    for number in range(len(params)):
        text = text.replace("%s", f"${number + 1}", 1)
    text = text.replace("%%", "%")
    given = ",".join(Literal(value).as_string(None) for value in params)
    given = f"({given})" if given else ""
    options = "ANALYZE,TIMING OFF,COSTS OFF" if execution else "COSTS OFF"
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        other.execute("SET jit=off; SET plan_cache_mode=force_generic_plan")
        other.execute(f"PREPARE one AS {text}".encode())
        for _ in range(3):
            found = other.execute(f"EXPLAIN ({options}) EXECUTE one{given}".encode()).fetchall()
        return "\n".join(row[0] for row in found)


def shape(text: str) -> list[str]:
    """The nodes of a plan, without what differs from value to value and run to run."""
    lines = (line.split("(actual")[0].split("(never")[0] for line in text.splitlines())
    return [line.rstrip() for line in lines if "->" in line]


def execution_times(one: Statement, other: Statement, rounds: int = 40) -> tuple[float, float]:
    """Microseconds that PostgreSQL itself says each took; the medians, measured in turn."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for statement, times in zip((one, other), found, strict=True):
            last = [line for line in plan(statement).splitlines() if line.startswith("Execution")]
            times.append(float(last[0].split()[2]) * 1000)
    return statistics.median(found[0]), statistics.median(found[1])


# -- the run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--grow", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with database(options.database, options.sqlite):
        import django

        django.setup()
        everything(options)


def everything(options: argparse.Namespace) -> None:
    """Fill, measure, tell."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    ids = make_sources()
    (fill_sqlite if options.sqlite else fill_postgresql)(ids, options.rows)
    mark(ids[MARKED], INDEXED)
    plans: list[str] = []
    print(f"{connection.vendor}, {options.rows:,} rows in {SOURCES} data sources; medians, us")
    print(f"{'':34}{'native':>8}{'ours':>8}{'ratio':>7}{'bound':>7}{'whole':>8}")
    missed = []
    for case in cases(options.rows // SOURCES, options.sqlite):
        times, ours, native = measure(case, options.rounds)
        theirs, statement, whole = (
            statistics.median(one) for one in (times.native, times.statement, times.whole)
        )
        ratio = statement / theirs
        bound = f"{case.bound:.1f}" if case.bound else ""
        print(f"{case.name:34}{theirs:8.0f}{statement:8.0f}{ratio:7.2f}{bound:>7}{whole:8.0f}",
              flush=True)  # fmt: skip
        if case.bound and ratio > case.bound:
            missed.append(case.name)
        plans += [f"== {case.name}", plan(ours), "-- native", plan(native), ""]
    if not options.sqlite:
        plans += growth(options, ids, missed)
    (HERE / "plans").mkdir(exist_ok=True)
    (HERE / "plans" / f"{connection.vendor}.txt").write_text("\n".join(plans) + "\n")
    if missed:
        sys.exit(f"beyond the bound: {', '.join(missed)}")


def mark(source_id: int, columns: list[str]) -> None:
    """Columns as indexed, and their indexes."""
    from rowkeeper.datasources.catalog import saving
    from rowkeeper.datasources.indexes.build import build
    from rowkeeper.datasources.models import DataSource

    model = DataSource.objects.get(pk=source_id)
    model.indexed_columns = columns
    saving.save(model, build=False)
    build(source_id)


# -- the same at 1,000 and at 100,000 rows, and beside a data source of a million


def growth(options: argparse.Namespace, ids: dict[str, int], missed: list[str]) -> list[str]:
    """Plans and the database's time for one row and for 50, each beside that of 1,000 rows."""
    asked: dict[str, dict[str, Any]] = {
        "one row": {"where": {"Email": "person77@acme.com"}, "limit": 50},
        "50 rows": {"where": {"Department": "Department 7"}, "limit": 50},
        "first 50": {"limit": 50},
    }
    before = {name: _both(body) for name, body in asked.items()}
    insert(str(ids[GROWN]), "n", options.grow, max(options.grow // 50, 1))
    run("VACUUM ANALYZE")
    told: list[str] = []
    print(f"\nthe database's time, us{'':11}{'1,000':>8}{'100,000':>8}{'ratio':>7}")
    for when, found in (
        ("before", before),
        ("after", {name: _both(body) for name, body in asked.items()}),
    ):
        for name, (small, large, same) in found.items():
            label = f"{name}, {when} another grew"
            alike = "same plan" if same else "ANOTHER PLAN"
            print(f"{label:34}{small:8.0f}{large:8.0f}{large / small:7.2f}  {alike}", flush=True)
            if not same or large / small > 1.3:
                missed.append(label)
    for name, body in asked.items():
        told += [f"== {name} of 100,000, after another grew", plan(_statement(LARGE, body)), ""]
    return told


def _both(body: dict[str, Any]) -> tuple[float, float, bool]:
    small, large = _statement(SMALL, body), _statement(LARGE, body)
    same = shape(plan(small, False)) == shape(plan(large, False))
    return (*execution_times(small, large), same)


def _statement(name: str, body: dict[str, Any]) -> Statement:
    from rowkeeper.datasources import store
    from rowkeeper.datasources.catalog import registry
    from rowkeeper.datasources.query.select import Projection, Select, parse_query

    source = registry.find(name)
    assert source is not None
    ask = parse_query(body, source.columns)
    assert isinstance(ask, Select)
    with statements() as seen:
        store.select(source, ask, ask.where, Projection())
    return seen[0]


if __name__ == "__main__":
    main()
