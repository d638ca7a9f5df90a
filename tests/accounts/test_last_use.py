"""When a credential was last used is noted without holding up the request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rowkeeper.accounts.models import ApiToken, LoginSession
from rowkeeper.accounts.providers import last_use
from rowkeeper.accounts.providers.last_use import last_uses
from rowkeeper.accounts.tokens import create_api_token, revoke
from rowkeeper.datasources.database import background as worker
from rowkeeper.datasources.database.background import Worker
from tests.support.calls import READ, Api, person, place

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def writer(statement: str) -> Iterator[None]:
    """Another connection that has begun to write, and does not end."""
    ready, end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
                ready.set()
                end.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()


def token() -> tuple[ApiToken, Api]:
    made, secret = create_api_token("CI")
    return made, Api({"Auth-token": secret})


def session() -> tuple[LoginSession, Api]:
    api = person()
    made = LoginSession.objects.get()
    LoginSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    return made, api


@pytest.mark.parametrize("credential", [token, session])
@pytest.mark.parametrize("background", [True, False])
def test_a_read_does_not_wait_for_a_writer(
    credential: Callable[[], tuple[Any, Api]], background: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite, a writer holds all there is; on PostgreSQL, the row of the credential."""
    monkeypatch.setattr(last_uses, "background", background)
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    there = place([READ], [{"A": 1}])
    row, api = credential()
    with writer(f"UPDATE {row._meta.db_table} SET digest = digest"):
        began = time.monotonic()
        for _ in range(3):
            assert api("POST", f"{there.data}/query", {}).rows == [{"A": 1}]
        assert time.monotonic() - began < 2
    if not background:
        last_uses.flush()
    until = time.monotonic() + 10
    column = "last_used_at" if isinstance(row, ApiToken) else "last_seen_at"
    while not _is_recent(getattr(_again(row), column)) and time.monotonic() < until:
        time.sleep(0.05)
    assert _is_recent(getattr(_again(row), column))
    last_uses._worker.close()


def _again(row: Any) -> Any:
    return type(row)._default_manager.get(pk=row.pk)


def _is_recent(moment: Any) -> bool:
    return moment is not None and abs(timezone.now() - moment) < timedelta(seconds=30)


def test_noting_a_use_costs_a_request_no_statement() -> None:
    there = place([READ], [{"A": 1}])
    _, api = token()
    for _ in range(3):
        api("POST", f"{there.data}/query", {})
    ApiToken.objects.update(last_used_at=None)
    with CaptureQueriesContext(connection) as captured:
        api("POST", f"{there.data}/query", {})
    assert not any("UPDATE" in query["sql"] for query in captured)


@pytest.mark.parametrize("credential", [token, session])
def test_a_last_use_in_the_future_is_taken_as_now(
    credential: Callable[[], tuple[Any, Api]],
) -> None:
    row, api = credential()
    column = "last_used_at" if isinstance(row, ApiToken) else "last_seen_at"
    type(row).objects.update(**{column: timezone.now() + timedelta(days=1000)})
    assert api("GET", "user").status == 200
    last_uses.flush()
    assert _is_recent(getattr(_again(row), column))


def test_what_another_process_has_just_written_stays() -> None:
    row, api = token()
    api("GET", "user")
    other = timezone.now() - timedelta(seconds=10)
    ApiToken.objects.update(last_used_at=other)
    last_uses.flush()
    assert _again(row).last_used_at == other


def test_a_revoked_token_stays_revoked_and_a_deleted_session_stays_deleted() -> None:
    row, api = token()
    login, person_api = session()
    assert api("GET", "user").status == person_api("GET", "user").status == 200
    revoke(row)
    login.delete()
    last_uses.flush()
    assert api("GET", "user").status == person_api("GET", "user").status == 401
    assert _again(row).revoked_at is not None
    assert not LoginSession.objects.exists()
    before = _again(row).last_used_at
    ApiToken.objects.update(last_used_at=None)
    last_uses.flush()
    assert before is not None and _again(row).last_used_at is None


def test_what_the_database_refused_waits_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, api = token()
    api("GET", "user")

    def busy(waiting: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch, caplog.at_level("INFO", "rowkeeper.worker"):
        patch.setattr(last_use, "_write", busy)
        last_uses._worker._round(False)
    assert "database is locked" in caplog.text
    last_uses.flush()
    assert _is_recent(_again(row).last_used_at)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_use, "MAX_WAITING", 5)
    for key in range(20):
        last_uses.note(ApiToken, "last_used_at", key, timezone.now())
    assert len(last_uses._waiting) == 5


def test_a_worker_survives_a_fault_and_does_its_last_round(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[bool] = []
    done = threading.Event()

    def work(last: bool) -> None:
        rounds.append(last)
        done.set()
        if len(rounds) == 1:
            raise ValueError("a mistake")

    mine = Worker("mine", work, lambda: 0.01)
    mine.wake()
    assert done.wait(5)
    mine.close()
    assert rounds[-1] is True and len(rounds) >= 2
    assert "mine: an error" in caplog.text
