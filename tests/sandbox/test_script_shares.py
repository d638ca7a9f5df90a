"""Scripts that take long: no data source, no request and no script takes what others need."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.sandbox import run
from rowkeeper.rules.sandbox.limits import Limits
from rowkeeper.rules.sandbox.pool import Claim, NoWorker, Pool
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict
from rowkeeper.rules.sandbox.strikes import HALF_LIFE_SECONDS, MAX_SCRIPTS, Strikes, strikes
from tests.support.calls import data_source
from tests.support.sandboxing import FOREVER, GRANTS, USER, Users, limits

SLOW = "end = now_ms() + {}\nwhile now_ms() < end:\n    pass\n"


def ask(script: str, source_id: int) -> ScriptVerdict:
    return run(ScriptCall(script, "select", USER, {}), Users(), source_id)


@pytest.fixture
def fresh() -> Iterator[None]:
    strikes.clear()
    yield
    strikes.clear()


# -- shares of the workers


def test_a_script_that_loops_leaves_room_for_other_data_sources() -> None:
    with limits(workers=4, queue=8, seconds=0.6, wait_seconds=0.5), ThreadPoolExecutor(12) as all_:
        assert ask(GRANTS, 2).granted
        stop = threading.Event()

        def attack(number: int) -> None:
            while not stop.is_set():
                # Scripts that have not broken a limit before: none of them is put last.
                ask(f"{FOREVER}\n# {number} {time.monotonic()}", 1)

        attacks = [all_.submit(attack, number) for number in range(12 - 2)]
        try:
            time.sleep(0.2)
            for _ in range(20):
                verdict = ask(GRANTS, 2)
                assert verdict.granted, verdict
                time.sleep(0.05)
        finally:
            stop.set()
        for each in attacks:
            each.result()


def test_a_data_source_has_half_of_the_workers_and_of_the_queue() -> None:
    pool = Pool(Limits(workers=4, queue=4, wait_seconds=0.05))
    try:
        held = [pool.acquire(Claim(1)) for _ in range(2)]
        with pytest.raises(NoWorker):
            pool.acquire(Claim(1))
        held += [pool.acquire(Claim(2)) for _ in range(2)]
        with pytest.raises(NoWorker):
            pool.acquire(Claim(3))
        pool.release(held[0])
        with pytest.raises(NoWorker):
            pool.acquire(Claim(2))
        assert pool.acquire(Claim(1)) is held[0]
    finally:
        pool.close()


def test_a_place_that_comes_free_goes_to_whom_it_is_for() -> None:
    """The first who waits has the share of its data source; the one behind has not."""
    pool = Pool(Limits(workers=2, queue=8, wait_seconds=5))
    try:
        one, two = pool.acquire(Claim(1)), pool.acquire(Claim(2))
        with ThreadPoolExecutor(2) as threads:
            blocked = threads.submit(pool.acquire, Claim(1))
            time.sleep(0.1)
            behind = threads.submit(pool.acquire, Claim(3))
            time.sleep(0.1)
            pool.release(two)
            assert behind.result(timeout=2) is two
            pool.release(one)
            assert blocked.result(timeout=2) is one
    finally:
        pool.close()


# -- scripts that break their limits again and again


def test_they_are_put_last(fresh: None, caplog: pytest.LogCaptureFixture) -> None:
    with limits(workers=4, seconds=0.2, wait_seconds=0.5):
        with caplog.at_level(logging.WARNING, "rowkeeper.scripts"):
            for _ in range(4):
                assert ask(FOREVER, 1).broke_limit
        assert caplog.text.count("a script of data source 1 (SHA-256") == 1
        assert strikes.is_last(1, FOREVER)
        assert not strikes.is_last(2, FOREVER) and not strikes.is_last(1, GRANTS)
        with ThreadPoolExecutor(4) as threads:
            verdicts = list(threads.map(lambda _: ask(FOREVER, 1), range(4)))
        assert sum(verdict.busy for verdict in verdicts) >= 2
        assert not any(verdict.granted for verdict in verdicts)


def test_an_error_is_no_breach(fresh: None) -> None:
    with limits(seconds=0.5):
        for _ in range(4):
            assert not ask("raise ValueError('x')", 1).broke_limit
        assert not strikes.is_last(1, "raise ValueError('x')")


@pytest.mark.parametrize(
    "script",
    [
        "x = 'a' * 10 ** 10",
        "def f():\n    return f()\nf()",
        "for n in range(60):\n    DataSources('x').count()",
        "return {'granted': True, 'include': ['x' * 10 ** 6 for n in range(40)]}",
    ],
)
def test_each_limit_counts(fresh: None, script: str) -> None:
    assert ask(script, 1).broke_limit


def test_the_record_decays_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("rowkeeper.rules.sandbox.strikes.time.monotonic", lambda: now[0])
    record = Strikes()
    for _ in range(3):
        record.add(1, "x")
    assert record.is_last(1, "x")
    now[0] += HALF_LIFE_SECONDS
    assert not record.is_last(1, "x")
    for _ in range(1_000):
        record.add(1, "x")
    now[0] += 4 * HALF_LIFE_SECONDS
    assert not record.is_last(1, "x")
    for number in range(MAX_SCRIPTS + 10):
        record.add(number, "y")
    assert len(record._found) == MAX_SCRIPTS


@pytest.mark.django_db
def test_administrators_are_told(fresh: None, settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"SECONDS": 0.2}}
    model = data_source("Loops", ["Name"], [{"Name": "a"}], [{"script": FOREVER}])
    for _ in range(2):
        assert Client().get(f"/v1/data-sources/{model.pk}/data").status_code == 401
    journal.flush()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for page, *args in (["change", model.pk], ["rules_scripts", model.pk]):
        url = reverse(f"admin:rowkeeper_datasources_datasource_{page}", args=args)
        assert "broke a limit of scripts 2 times" in client.get(url).content.decode()


# -- one budget for a request


@pytest.mark.django_db
def test_the_scripts_of_a_request_share_their_seconds(fresh: None, settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"SECONDS": 0.5}}
    rules = [{"script": SLOW.format(300 + number)} for number in range(5)]
    model = data_source("Slow", ["Name"], [{"Name": "a"}], rules)
    assert Client().get(f"/v1/data-sources/{model.pk}").status_code == 200
    began = time.monotonic()
    assert Client().get(f"/v1/data-sources/{model.pk}/data").status_code == 401
    assert time.monotonic() - began < 1.0
    journal.flush()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    url = reverse("admin:rowkeeper_datasources_datasource_decisions", args=[model.pk])
    assert "failed" in client.get(url).content.decode()


@pytest.mark.django_db
def test_joined_data_sources_share_them_too(fresh: None, settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"SECONDS": 1.0}}
    grants = SLOW.format(320) + "return {'granted': True}"
    for name in ("A", "B", "C", "D"):
        data_source(name, ["Name"], [{"Name": "a"}], [{"script": grants}])
    joins = {name: {"dataSourceName": name, "on": {"data.Name": "data.Name"}} for name in "BCD"}
    path = "/v1/data-sources/A/data/query"

    def select(body: Any) -> Any:
        return Client().post(path, json.dumps(body), content_type="application/json")

    assert select({"join": {"B": joins["B"]}}).status_code == 200
    began = time.monotonic()
    assert select({"join": joins}).status_code in (400, 401)
    assert time.monotonic() - began < 2.0


@pytest.mark.django_db
def test_what_a_write_answers_is_then_what_was_submitted(fresh: None, settings: Any) -> None:
    settings.ROWKEEPER = {"SCRIPTS": {"SECONDS": 0.6}}
    write = "if type == 'insert':\n    query.By = 'x'\n    return {'granted': True}\n"
    rules = [{"script": write + SLOW.format(5_000) + "return {'granted': True}"}]
    model = data_source("Forms", ["Name", "By"], [], rules)
    answer = Client().put(
        f"/v1/data-sources/{model.pk}/data", '{"Name": "a"}', content_type="application/json"
    )
    assert answer.status_code == 200 and answer.json()["data"] == {"Name": "a"}
