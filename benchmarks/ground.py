"""What the benchmarks stand on: a database of their own, people to fill it with, and clocks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Of this process: two benchmarks may run at once.
NAME = f"rowkeeper_benchmark_{os.getpid()}"
COLUMNS = ["Email", "Name", "Department", "Salary", "Joined", "Active", "Note", "Role"]
ROW_POSTGRESQL = """
    jsonb_build_object('Email','person'||k||'@acme.com','Name','Person '||md5(k::text),
    'Department','Department '||(k % {departments}),'Salary',20000+(k*7919)%100003,
    'Joined',to_char(date '2000-01-01'+(k % 9000)::int,'YYYY-MM-DD'),'Active',k % 3=0,
    'Note','note '||md5(n::text)||' '||md5((n+1)::text),
    'Role',CASE WHEN k % 10=0 THEN 'Admin' ELSE 'User' END)
"""


@contextmanager
def database(server: str, sqlite: bool = False) -> Iterator[None]:
    """An empty database of our own, which Django is told of, and which is dropped afterwards.
    `server`: the address of PostgreSQL, without the name of a database.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    if sqlite:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/benchmark.sqlite3"
            yield
        return
    import psycopg

    def on_server(text: str) -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
            admin.execute(text.encode())

    drop = f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"
    on_server(drop)
    on_server(f"CREATE DATABASE {NAME}")
    os.environ["DATABASE_URL"] = f"{server}/{NAME}"
    try:
        yield
    finally:
        from django.db import connections

        connections.close_all()
        on_server(drop)


class Spent:
    """Seconds from its making to `end`: by the clock, and of the processor."""

    def __init__(self) -> None:
        self.clock, self.processor = -time.perf_counter(), -self._now()

    def end(self) -> None:
        self.clock += time.perf_counter()
        self.processor += self._now()

    def __str__(self) -> str:
        return f"{self.processor:.2f} s ({self.clock:.2f} s by the clock)"

    @staticmethod
    def _now() -> float:
        """This process's, and that of the server's process for its connection."""
        from django.db import connection

        found = time.process_time()
        if connection.vendor == "postgresql":
            connection.ensure_connection()
            stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat")
            with suppress(OSError):
                user, system = stat.read_text().rpartition(")")[2].split()[11:13]
                found += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return found


def run(sql: str) -> None:
    """One statement without parameters."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def insert(source: str, number: str, rows: int, departments: int) -> None:
    row = ROW_POSTGRESQL.format(departments=departments)
    run(
        'INSERT INTO rowkeeper_datasources_entry (data_source_id,data,"order",nested,created_at,'
        f"updated_at) SELECT {source},{row},0,false,now(),now() "
        f"FROM (SELECT n,({number})::bigint AS k "
        f"FROM generate_series(0,{rows - 1}) AS n) AS numbers"
    )


def row_of(n: int, k: int, departments: int) -> dict[str, Any]:
    from hashlib import md5

    def digest(number: int) -> str:
        return md5(str(number).encode()).hexdigest()

    return {
        "Email": f"person{k}@acme.com",
        "Name": f"Person {digest(k)}",
        "Department": f"Department {k % departments}",
        "Salary": 20_000 + (k * 7919) % 100_003,
        "Joined": f"{2000 + k % 25}-{1 + k % 12:02}-{1 + k % 28:02}",
        "Active": k % 3 == 0,
        "Note": f"note {digest(n)} {digest(n + 1)}",
        "Role": "User" if k % 10 else "Admin",
    }
