"""Nobody waits for ever: for a frozen database, a locked row, or a client that does not read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
import pytest
from django.conf import settings as django_settings
from django.test import Client, override_settings

from project import settings
from rowkeeper.datasources.database import waiting
from rowkeeper.datasources.errors import Busy
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.store import PAGE
from tests.support.calls import OPEN, data_source
from tests.support.servers import PostgreSQL, Site, free_port, postgresql, postgresql_programs, site

THREADS, MANY = 8, 12
# The machine that runs the tests may be busy.
SOON = 2.5


class Ground(NamedTuple):
    server: PostgreSQL
    site: Site
    token: str
    # Two data sources of one row, and one of many long ones.
    small: int
    other: int
    large: int


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if postgresql_programs() is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    folder = tmp_path_factory.mktemp("limits")
    environment = {"DJANGO_SETTINGS_MODULE": "tests.support.limits_settings"}
    with (
        postgresql() as server,
        site(server.url, folder, threads=THREADS, environment=environment) as running,
    ):
        token = running.token()
        small = running.create(token, "Small", entries=[{"A": 1}])
        other = running.create(token, "Other", entries=[{"A": 1}])
        large = running.create(token, "Large", entries=[{"A": "x" * 4_000}] * 3_000)
        yield Ground(server, running, token, small, other, large)


def timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    found = ask()
    return time.monotonic() - began, found


def reads(ground: Ground, count: int) -> list[float]:
    """How long reads take, one after the other; all are answered."""
    found = []
    for _ in range(count):
        took, (status, _, _) = timed(
            lambda: ground.site.ask("GET", f"/v1/data-sources/{ground.small}", token=ground.token)
        )
        assert status == 200
        found.append(took)
    return found


def test_a_frozen_database_is_503_in_time(ground: Ground) -> None:
    path = f"/v1/data-sources/{ground.small}/data"
    reads(ground, 3)
    stopped = ground.server.freeze()
    try:
        for method, body in (("GET", None), ("PUT", {"A": 2})):
            took, (status, found, _) = timed(
                lambda method=method, body=body: ground.site.ask(method, path, body, ground.token)
            )
            assert (status, found["type"]) == (503, "server.busy")
            # The limit, a look once a second, and the limit of a new connection.
            assert took < 3 + 1 + 5 + SOON
    finally:
        ground.server.thaw(stopped)
    reads(ground, 3)


@pytest.mark.parametrize("threads", [THREADS, 2])
def test_writers_of_locked_rows_leave_threads_to_others(ground: Ground, threads: int) -> None:
    """Those of one data source, and those of two, which have shares of their own."""
    with with_threads(ground, threads) as server:
        _writers_of_locked_rows(server, [server.small])
        _writers_of_locked_rows(server, [server.small, server.other])


@contextmanager
def with_threads(ground: Ground, threads: int) -> Iterator[Ground]:
    """The same ground under a server with so many threads."""
    if threads == ground.site.threads:
        yield ground
        return
    running = replace(ground.site, threads=threads, port=free_port(), process=None)
    running.start()
    try:
        yield ground._replace(site=running)
    finally:
        running.stop()


def _writers_of_locked_rows(ground: Ground, sources: list[int]) -> None:
    paths = [f"/v1/data-sources/{source}/data" for source in sources]
    found = [ground.site.ask("GET", path, token=ground.token)[1] for path in paths]
    ids = [each["entries"][0]["id"] for each in found]
    sent = threading.Barrier(MANY * len(paths) + 1)

    def write(path: str) -> tuple[float, int]:
        sent.wait()
        took, answer = timed(lambda: ground.site.ask("PUT", path, {"A": 3}, ground.token))
        return took, answer[0]

    with (
        psycopg.connect(ground.server.superuser.replace("/postgres", "/site")) as other,
        ThreadPoolExecutor(MANY * len(paths)) as pool,
    ):
        other.execute(
            "SELECT 1 FROM rowkeeper_datasources_entry WHERE id=ANY(%s) FOR UPDATE", [ids]
        )
        writes = [
            pool.submit(write, f"{path}/{entry}")
            for path, entry in zip(paths, ids, strict=True)
            for _ in range(MANY)
        ]
        sent.wait()
        time.sleep(0.2)
        assert max(reads(ground, 5)) < SOON
        answers = [done.result() for done in writes]
    assert {status for _, status in answers} == {503}
    # PostgreSQL's limit for locks.
    assert max(took for took, _ in answers) < 5 + SOON


def test_the_statement_of_a_client_that_left_ends(ground: Ground) -> None:
    path = f"/v1/data-sources/{ground.small}/data"
    url = ground.server.superuser.replace("/postgres", "/site")
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as watching:

        def waits() -> int:
            row = watching.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename='site' AND state='active' "
                "AND wait_event_type='Lock' AND query LIKE '%rowkeeper_datasources_entry%'"
            ).fetchone()
            return 0 if row is None else int(row[0])

        with other.transaction():
            other.execute("SET LOCAL lock_timeout='10s'")
            other.execute("LOCK TABLE rowkeeper_datasources_entry IN ACCESS EXCLUSIVE MODE")
            with closing(asked(ground, f"GET {path}")):
                until = time.monotonic() + 2
                while not waits() and time.monotonic() < until:
                    time.sleep(0.05)
                assert waits() == 1
            # Sooner than the time limit for locks.
            until = time.monotonic() + 3.5
            while waits() and time.monotonic() < until:
                time.sleep(0.05)
            assert waits() == 0


def asked(ground: Ground, what: str) -> socket.socket:
    """A connection on which something was asked, and nothing is read."""
    sent = socket.create_connection(("127.0.0.1", ground.site.port), timeout=60)
    lines = (f"{what} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {ground.token}")
    sent.sendall("\r\n".join((*lines, "", "")).encode())
    return sent


def test_clients_that_do_not_read_leave_threads_to_others(ground: Ground) -> None:
    path = f"/v1/data-sources/{ground.large}/data"
    slow = [asked(ground, f"GET {path}") for _ in range(MANY)]
    try:
        time.sleep(1)
        assert max(reads(ground, 5)) < SOON
        # They are given up in time.
        time.sleep(4)
        status, found, _ = ground.site.ask("GET", path, token=ground.token)
        assert status == 200
        assert len(found["entries"]) == 3_000
    finally:
        for each in slow:
            each.close()


def test_the_site_has_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings._database("postgres://user@host/name")["OPTIONS"]
    assert options["connect_timeout"] == 5
    assert options["tcp_user_timeout"] == 15_000
    given = settings._database("postgres://user@host/name?connect_timeout=2")["OPTIONS"]
    assert int(given["connect_timeout"]) == 2


# -- turns


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hold a turn, and others wait for one."""
    two, other = {"key": 2}, {"other": 2}
    monkeypatch.setattr(waiting, "LONGEST", 0.3)
    with override_settings(ROWKEEPER={"HELD_THREADS": 8}):
        waiting.take(two, "much")
        waiting.take(two, "much")
        waiting.take(other, "much")
        began = time.monotonic()
        with pytest.raises(Busy, match="much"):
            waiting.take(two, "much")
        assert time.monotonic() - began >= waiting.LONGEST * 0.9
        waiting.give(two)
        waiting.take(two, "much")
        timer = threading.Timer(0.1, waiting.give, [two])
        timer.start()
        waiting.take(two, "much")
        timer.join()
        waiting.give(two)
        waiting.give(two)
        waiting.give(other)
    assert not waiting._taken


def test_turns_that_move_are_waited_for_and_stuck_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = {"key": 1}
    # Far more than a turn takes, so that a busy machine changes nothing.
    monkeypatch.setattr(waiting, "LONGEST", 4.0)
    monkeypatch.setattr(waiting, "QUICK", 1.5)

    def hold(seconds: float) -> None:
        waiting.take(one, "much")
        time.sleep(seconds)
        waiting.give(one)

    with ThreadPoolExecutor(9) as pool:
        moving = [pool.submit(hold, 0.07) for _ in range(9)]
        assert [done.exception() for done in moving] == [None] * 9
        waiting.take(one, "much")

        def refused() -> float:
            began = time.monotonic()
            with pytest.raises(Busy):
                waiting.take(one, "much")
            return time.monotonic() - began

        assert max(done.result() for done in [pool.submit(refused) for _ in range(9)]) < 8
        # Nobody waits any more, and the one is still there.
        assert not waiting._waiters and waiting._taken["key"] == 1
        waiting.give(one)
    assert not waiting._taken


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["GET", "query"])
def test_unread_long_answers_leave_some_to_other_data_sources_and_clients(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST", 0.01)
    first, second = (
        data_source(name, ["A"], [{"A": 1}] * (PAGE + 1), [OPEN]) for name in ("A", "B")
    )
    unread: list[Any] = []

    def ask(model: DataSource, address: str) -> int:
        url = f"/v1/data-sources/{model.pk}/data"
        client = Client(REMOTE_ADDR=address)
        response: Any = (
            client.get(url)
            if kind == "GET"
            else client.post(f"{url}/query", {}, content_type="application/json")
        )
        unread.append(response)
        return int(response.status_code)

    with override_settings(ROWKEEPER={**django_settings.ROWKEEPER, "HELD_THREADS": 4}):
        # One client, many connections.
        statuses = [ask(first, "203.0.113.1") for _ in range(4)]
        assert statuses == [200, 200, 503, 503]
        # Neither does it have all of another data source, nor others those of the first.
        assert ask(second, "203.0.113.1") == 503
        assert ask(first, "203.0.113.2") == 503
        assert ask(second, "203.0.113.2") == 200
        for response in unread:
            response.close()
        assert not waiting._taken
        assert ask(first, "203.0.113.1") == 200
        unread[-1].close()
