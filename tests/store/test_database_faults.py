"""A database that restarts, is full, or takes no connections: 503, one line, and it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client

from rowkeeper.datasources.database import health
from rowkeeper.datasources.database.features import POSTGRESQL
from rowkeeper.rules.api.errors import answer, failure_of
from tests.support.calls import OPEN, data_source
from tests.support.servers import PostgreSQL, Site, postgresql, postgresql_programs, site

THREADS = 8


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PostgreSQL, Site, str, int]]:
    if postgresql_programs() is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    folder = tmp_path_factory.mktemp("faults")
    environment = {"DJANGO_SETTINGS_MODULE": "tests.faults.settings"}
    with (
        postgresql() as server,
        site(server.url, folder, threads=THREADS, environment=environment) as running,
    ):
        token = running.token()
        yield server, running, token, running.create(token, "Rows")


def on_every_thread(ask: Any) -> list[Any]:
    """What many requests at once are answered: several for each thread."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [done.result() for done in [pool.submit(ask) for _ in range(THREADS * 3)]]


def lines_of(running: Site, since: int) -> list[str]:
    """What requests have logged; threads in the background log at the level INFO."""
    # The driver's errors have several lines, all but the first of which begin with a tab.
    lines = re.split(r"\n(?!\t)", running.log.read_text()[since:])
    return [line for line in lines if line and " INFO " not in line]


def test_after_a_restart_every_thread_answers(
    servers: tuple[PostgreSQL, Site, str, int],
) -> None:
    server, running, token, source = servers
    read = f"/v1/data-sources/{source}/data"

    def ask() -> int:
        return running.ask("POST", f"{read}/query", {}, token)[0]

    def write() -> int:
        return running.ask("PUT", read, {"A": 1}, token)[0]

    for each in (ask, write):
        assert set(on_every_thread(each)) == {200}
        since = len(running.log.read_text())
        server.crash()
        server.start()
        assert set(on_every_thread(each)) == {200}
        assert lines_of(running, since) == []


def test_while_the_database_is_down(servers: tuple[PostgreSQL, Site, str, int]) -> None:
    server, running, token, source = servers
    read = f"/v1/data-sources/{source}/data"
    server.crash()
    try:
        for method, path in (("GET", read), ("PUT", read), ("GET", "/v1/user")):
            since = len(running.log.read_text())
            body = {"A": 1} if method == "PUT" else None
            status, found, headers = running.ask(method, path, body, token)
            assert (status, found["type"]) == (503, "server.busy")
            assert int(headers["Retry-After"]) > 0
            (line,) = lines_of(running, since)
            assert "the database is not available" in line
        since = len(running.log.read_text())
        status, page, headers = running.ask(
            "GET", "/admin/login/", headers={"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyzabcdef"}
        )
        assert (status, b"Not available" in page, "Retry-After" in headers) == (503, True, True)
        assert len(lines_of(running, since)) == 1
    finally:
        server.start()
    assert running.ask("GET", read, token=token)[0] == 200


def test_a_database_that_takes_no_connections(
    servers: tuple[PostgreSQL, Site, str, int],
) -> None:
    server, running, token, source = servers
    with psycopg.connect(server.superuser, autocommit=True) as admin:
        admin.execute("ALTER ROLE site CONNECTION LIMIT 0")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename='site'")
        try:
            statuses = on_every_thread(
                lambda: running.ask("GET", f"/v1/data-sources/{source}/data", token=token)[0]
            )
            assert set(statuses) == {503}
        finally:
            admin.execute("ALTER ROLE site CONNECTION LIMIT -1")
    assert running.ask("GET", f"/v1/data-sources/{source}/data", token=token)[0] == 200


# -- in this process


def of_postgresql(cause: Exception, kind: type[DatabaseError] = OperationalError) -> Exception:
    error = kind(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (psycopg.errors.DiskFull("could not extend file: No space left"), OperationalError),
        (psycopg.errors.OutOfMemory("out of memory"), OperationalError),
        (psycopg.errors.CannotConnectNow("the database system is starting up"), OperationalError),
        (psycopg.errors.AdminShutdown("terminating connection"), OperationalError),
        (psycopg.OperationalError("connection failed: connection refused"), OperationalError),
        (psycopg.InterfaceError("the connection is closed"), InterfaceError),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE"), DatabaseError),
    ],
)
def test_a_failing_database_is_503_by_one_line(
    cause: Exception,
    kind: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(health, "features", lambda: POSTGRESQL)
    response = answer(failure_of(of_postgresql(cause, kind)))
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None


def test_a_fault_of_the_program_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "features", lambda: POSTGRESQL)
    for cause in (
        psycopg.errors.StatementTooComplex("stack depth"),
        psycopg.errors.UndefinedColumn("no"),
    ):
        kind = OperationalError if "Complex" in type(cause).__name__ else DatabaseError
        assert failure_of(of_postgresql(cause, kind)).code == "server.error"


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_on_sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's is among the errors above")
    model = data_source("Rows", ["A"], [], [OPEN])
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count={pages}")
        try:
            response = Client().put(
                f"/v1/data-sources/{model.pk}/data",
                {"A": "x" * 500_000},
                content_type="application/json",
            )
        finally:
            cursor.execute("PRAGMA max_page_count=1073741823")
    assert (response.status_code, response.json()["type"]) == (503, "server.busy")
    assert response["Retry-After"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["GET", "query", "PUT", "delete"])
def test_a_connection_that_breaks_within_a_request(method: str) -> None:
    """A read is asked once more; a write is not, as it could have been stored."""
    if connection.vendor != "postgresql":
        pytest.skip("there is no connection to break")
    model = data_source("Rows", ["A"], [{"A": 1}], [OPEN])
    url = f"/v1/data-sources/{model.pk}/data"
    broken: list[str] = []

    def breaks(execute: Any, sql: str, *rest: Any) -> Any:
        # The statement about the entries: what comes before has found the connection whole.
        if "rowkeeper_datasources_entry" in sql and "fields" not in sql and not broken:
            broken.append(sql)
            connection.connection.pgconn.finish()
        return execute(sql, *rest)

    with connection.execute_wrapper(breaks):
        if method == "GET":
            response = Client().get(url)
        elif method == "PUT":
            response = Client().put(url, {"A": 2}, content_type="application/json")
        else:
            body = {"type": "delete"} if method == "delete" else {}
            response = Client().post(
                f"{url}/query", {**body, "where": {"A": 1}}, content_type="application/json"
            )
    assert broken
    assert response.status_code == (200 if method in ("GET", "query") else 503)
    connection.close()
    assert model.entries.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there is no connection to close")
    connection.ensure_connection()
    before: Any = connection.connection
    health.replace_broken()
    assert connection.connection is before
    settings: dict[str, Any] = connection.get_connection_params()
    with psycopg.connect(
        host=settings["host"],
        port=settings.get("port", 5432),
        user=settings["user"],
        dbname="postgres",
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s,5000)", [before.info.backend_pid])
    health.replace_broken()
    assert connection.connection is None
