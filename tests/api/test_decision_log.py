"""The decision log: what finds a denial again, what is never kept, and what it may cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rowkeeper.datasources.conf import DEFAULTS
from rowkeeper.rules.decision_log import journal as journals
from rowkeeper.rules.decision_log.journal import Journal, journal
from rowkeeper.rules.decision_log.records import MAX_COLUMNS, Record, lines_of, without_message
from rowkeeper.rules.decision_log.writer import write
from rowkeeper.rules.engine.decide import compile_rules
from rowkeeper.rules.engine.reasons import failed
from rowkeeper.rules.models import LoggedDecision
from tests.support import calls
from tests.support.calls import Answer, Place, place

pytestmark = pytest.mark.django_db

RULES: list[dict[str, Any]] = [
    {
        "name": "own",
        "type": ["select"],
        "allow": "loggedIn",
        "require": [{"Dept": {"equals": "{{user.Dept}}"}}],
    },
    {"name": "shown", "type": ["select", "insert"], "allow": "all", "exclude": ["Salary"]},
    {"type": ["update"], "allow": {"user": {"Role": {"equals": "Admin"}}}},
    {"type": ["delete"], "allow": {"tokens": [999999]}},
]
# None of these may be found anywhere in the log.
VALUES = ["va1ue-stored", "va1ue-sent", "va1ue-asked", "va1ue-own", "ann@acme.com", "5550123"]


@pytest.fixture(autouse=True)
def log(settings: Any) -> Iterator[Callable[[], list[LoggedDecision]]]:
    """An empty journal; called, it gives what is in the log, oldest first."""
    settings.ROWKEEPER = {**settings.ROWKEEPER, "DECISION_LOG_GRANTS": 0}
    journal.reset()

    def written() -> list[LoggedDecision]:
        journal.flush()
        return list(LoggedDecision.objects.order_by("id"))

    yield written
    journal.reset()


Log = Callable[[], list[LoggedDecision]]


@pytest.fixture
def things() -> Place:
    return place(RULES, [{"Dept": "va1ue-stored", "Salary": 5550123}], columns=["Dept", "Salary"])


def with_settings(settings: Any, **values: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, **values}


def test_a_denial_carries_an_id_that_finds_it(things: Place, log: Log) -> None:
    token, api = calls.bare_token()
    answer = api("POST", f"{things.data}/query", {"where": {"Salary": 5550123}})
    assert answer.failure == (400, "datasource.access")
    assert len(answer.request_id) == 32
    [found] = log()
    assert found.request_id == answer.request_id == answer.headers["X-Request-Id"]
    assert (found.data_source, found.status, found.granted) == (things.model, 400, False)
    assert (found.operation, found.address, found.columns) == ("select", "query", ["Salary"])
    assert (found.kind, found.token_id, found.person) == ("token", token.pk, "")
    assert (found.rule, found.rule_name, found.count) == (None, "", 1)
    assert [line[:3] for line in found.trace] == [[1, "own", "allow"], [2, "shown", "hidden"]]
    assert found.trace[1][3] == "hides `Salary`, which the request names"
    assert 0 < found.took < 1_000
    assert timezone.now() - found.at < timedelta(minutes=1)


def test_a_missing_login_is_logged_as_well(things: Place, log: Log) -> None:
    answer = calls.anonymous()("POST", f"{things.data}/query", {"where": {"Salary": 1}})
    assert answer.failure == (401, "auth.required")
    [found] = log()
    assert (found.status, found.kind, found.request_id) == (401, "anonymous", answer.request_id)
    assert answer.headers["X-Request-Id"] == answer.request_id


def test_the_rule_that_ended_it_is_the_one(things: Place, log: Log) -> None:
    calls.bare_token()[1]("PUT", things.data, {"Dept": "x", "Salary": 1})
    [found] = log()
    assert (found.operation, found.address, found.rule) == ("insert", "new", 2)
    assert (found.rule_name, found.columns) == ("shown", ["Dept", "Salary"])


def test_who_signed_in_is_a_row_and_an_entry_is_named(things: Place, log: Log) -> None:
    api = calls.person({"Dept": "va1ue-own"})
    answer = api("PUT", f"{things.data}/{things.ids[0]}", {"Dept": "va1ue-sent"})
    assert answer.failure == (400, "datasource.access")
    [found] = log()
    source, _, row = found.person.partition(":")
    assert found.kind == "session" and source.isdigit() and row.isdigit()
    assert (found.entry_id, found.address, found.columns) == (things.ids[0], "id", ["Dept"])


def test_a_django_user_is_a_number(things: Place, log: Log) -> None:
    user = calls.django_user()
    calls.on_site(user)("PUT", f"{things.data}/{things.ids[0]}", {"Dept": "x"})
    [found] = log()
    assert (found.kind, found.person) == ("django", str(user.pk))


def requests(there: Place) -> Iterator[tuple[str, str, Any]]:
    entry = f"{there.data}/{there.ids[0]}"
    sent = {"Dept": "va1ue-sent", "Salary": 5550123}
    yield "POST", f"{there.data}/query", {"where": {"Salary": "va1ue-asked"}}
    yield "POST", f"{there.data}/query", {"where": {"$or": [{"Salary": {"$in": ["va1ue-asked"]}}]}}
    yield "POST", f"{there.data}/query", {"type": "delete", "where": {"Dept": "va1ue-asked"}}
    yield "PUT", there.data, sent
    yield "PUT", entry, sent
    yield "DELETE", entry, None
    yield "POST", f"{there.url}/commit", {"append": True, "entries": [{"data": sent}]}
    yield "POST", f"{there.url}/commit", {"entries": [], "append": False}
    yield "GET", f"{there.url}/indexes/Salary", None
    yield "GET", f"{there.data}/{there.ids[0] + 999}", None


def test_no_value_is_kept_of_anything(things: Place, log: Log) -> None:
    callers = [calls.anonymous(), calls.person({"Dept": "va1ue-own"}), calls.bare_token()[1]]
    denied = 0
    for api in callers:
        for method, path, body in requests(things):
            denied += bool(api(method, path, body).request_id)
    found = log()
    assert denied == len(found) >= 20
    text = serializers.serialize("json", found)
    assert not [value for value in VALUES if value in text]
    assert "Salary" in text


def test_what_a_failed_script_said_is_for_those_who_may_see_it() -> None:
    rule = compile_rules([{"script": "return None"}], []).rules[0]
    reason = failed("line 3: ValueError: va1ue-stored")
    [line] = lines_of([(rule, reason)])
    assert "line 3: ValueError: va1ue-stored" in line[3] and line[2] == "script-error"
    told = without_message(line[2], line[3])
    assert "line 3" in told and "va1ue" not in told


def test_one_request_of_several_decisions_has_one_id(
    things: Place, log: Log, settings: Any
) -> None:
    with_settings(settings, DECISION_LOG_GRANTS=1)
    body = {"append": True, "entries": [{"data": {"Dept": "x"}}, {"id": things.ids[0], "data": {}}]}
    answer = calls.bare_token()[1]("POST", f"{things.url}/commit", body)
    found = log()
    assert [(line.operation, line.status) for line in found] == [("insert", 200), ("update", 400)]
    assert {line.request_id for line in found} == {answer.request_id}


def test_of_grants_a_share_is_logged(things: Place, log: Log, settings: Any) -> None:
    api = calls.bare_token()[1]
    assert len(api("GET", things.data).headers["X-Request-Id"]) == 32
    assert log() == []
    with_settings(settings, DECISION_LOG_GRANTS=1)
    answer = api("GET", things.data)
    [found] = log()
    assert answer.headers["X-Request-Id"] == found.request_id
    assert (found.status, found.rule, found.granted) == (200, 2, True)
    assert [line[2] for line in found.trace] == ["allow", "granted"]


def test_a_data_source_that_is_not_there_answers_alike(things: Place, log: Log) -> None:
    place([], [], name="Nobody's")
    for api in (calls.anonymous(), calls.bare_token()[1]):
        told = [api("GET", f"data-sources/{name}/data") for name in ("Nobody's", "Absent's")]
        assert [len(answer.request_id) for answer in told] == [32, 32]
        assert told[0].text.replace(b"Nobody", b"Absent") == told[1].text
        assert set(told[0].headers) == set(told[1].headers)
    assert {line.data_source.name for line in log()} == {"Nobody's"}


def test_a_join_that_is_denied_is_told_to_each_what_is_theirs(things: Place, log: Log) -> None:
    other = place([{"type": ["select"], "allow": "loggedIn"}], [{"A": 1}], name="Other")
    on = {"dataSourceId": other.model.pk, "on": {"data.Dept": "data.A"}}
    answer = calls.bare_token()[1]("POST", f"{things.data}/query", {"join": {"j": on}})
    assert answer.failure == (400, "datasource.access")
    found = {line.data_source.name: line for line in log()}
    assert set(found) == {"Things", "Other"}
    assert {line.request_id for line in found.values()} == {answer.request_id}
    told = json.dumps(found["Things"].trace)
    assert (
        "joined" in told
        and "Other" not in told
        and str(other.model.pk) not in found["Things"].columns
    )


# -- bounds


def deny(api: Any, there: Place, times: int) -> list[Answer]:
    return [api("POST", f"{there.data}/query", {"where": {"Salary": 1}}) for _ in range(times)]


def test_a_flood_is_counted_and_takes_no_room_from_others(
    things: Place, log: Log, settings: Any
) -> None:
    with_settings(settings, DECISION_LOG_PER_MINUTE=3)
    deny(calls.anonymous(), things, 10)
    token = deny(calls.bare_token()[1], things, 1)
    found = log()
    if len(found) > 5:  # a minute came to its end in between
        return
    listed = [line for line in found if line.count == 1]
    counted = [line for line in found if line.count > 1]
    assert [line.kind for line in listed] == ["anonymous"] * 3 + ["token"]
    assert listed[-1].request_id == token[0].request_id
    [flood] = counted
    assert (flood.count, flood.kind, flood.status, flood.operation) == (
        7,
        "anonymous",
        401,
        "select",
    )
    assert (flood.trace, flood.columns, flood.person) == ([], [], "")


def test_a_full_journal_counts_what_it_cannot_list(
    things: Place, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MAX_WAITING", 2)
    answers = deny(calls.bare_token()[1], things, 5)
    assert journal.dropped == 0
    ids = [answer.request_id for answer in answers]
    assert [(line.request_id, line.count) for line in log()] == [
        (ids[0], 1),
        (ids[1], 1),
        (ids[2], 3),
    ]
    assert set(ids[2:]) == {ids[2]}


def test_names_that_a_client_makes_up_are_bounded(things: Place, log: Log) -> None:
    body = {"where": {"Salary": 1, **{f"{n}{'x' * 250}": 1 for n in range(500)}}}
    assert calls.bare_token()[1]("POST", f"{things.data}/query", body).status == 400
    [found] = log()
    assert len(found.columns) == MAX_COLUMNS and max(map(len, found.columns)) <= 100


def test_nothing_is_logged_where_nothing_is_kept(things: Place, log: Log, settings: Any) -> None:
    with_settings(settings, DECISION_LOG_DAYS=0, DECISION_LOG_GRANTS=1)
    assert deny(calls.bare_token()[1], things, 1)[0].request_id
    calls.bare_token()[1]("GET", things.data)
    assert log() == []


def test_what_is_old_and_what_is_too_much_goes(things: Place, log: Log, settings: Any) -> None:
    deny(calls.bare_token()[1], things, 8)
    first, second = (line.pk for line in log()[:2])
    LoggedDecision.objects.filter(pk__in=[first, second]).update(
        at=timezone.now() - timedelta(days=DEFAULTS["DECISION_LOG_DAYS"], minutes=1)
    )
    call_command("purgedecisions", verbosity=0)
    assert LoggedDecision.objects.count() == 6
    assert not LoggedDecision.objects.filter(pk__in=[first, second]).exists()
    with_settings(settings, DECISION_LOG_ROWS=4)
    kept = list(LoggedDecision.objects.order_by("-pk")[:4])
    call_command("purgedecisions", verbosity=0)
    assert list(LoggedDecision.objects.order_by("-pk")) == kept


def test_the_log_goes_with_its_data_source(things: Place, log: Log) -> None:
    deny(calls.bare_token()[1], things, 1)
    other = place(RULES, [], name="Other")
    deny(calls.bare_token()[1], other, 1)
    assert len(log()) == 2
    deny(calls.bare_token()[1], other, 1)
    other.model.delete()
    # What still waited for it is left out.
    assert [line.data_source for line in log()] == [things.model]


# -- off the request's path


@pytest.mark.parametrize("share", [0, 1])
def test_logging_costs_a_request_no_statement(things: Place, settings: Any, share: int) -> None:
    with_settings(settings, DECISION_LOG_GRANTS=share)
    api = calls.bare_token()[1]
    for where in ({}, {"Salary": 1}):
        api("POST", f"{things.data}/query", {"where": where})
        with CaptureQueriesContext(connection) as captured:
            api("POST", f"{things.data}/query", {"where": where})
        assert len(captured) <= 2


def test_what_a_busy_database_refused_waits(things: Place, log: Log) -> None:
    def busy(records: list[Record]) -> None:
        raise OperationalError("database is locked")

    answers = deny(calls.bare_token()[1], things, 3)
    waiting = Journal(busy, lambda: None)
    waiting.background = False
    for record in journal._waiting:
        waiting.add(record)
    with pytest.raises(OperationalError):
        waiting.flush()
    waiting._write = write
    waiting.flush()
    assert [line.request_id for line in LoggedDecision.objects.order_by("id")] == [
        answer.request_id for answer in answers
    ]


@pytest.mark.django_db(transaction=True)
def test_a_thread_of_the_process_writes(
    things: Place, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "PAUSE", 0.05)
    monkeypatch.setattr(journal, "background", True)
    answer = deny(calls.bare_token()[1], things, 1)[0]
    until = time.monotonic() + 10
    while not LoggedDecision.objects.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert LoggedDecision.objects.get().request_id == answer.request_id
    journal.close()


PROCESSES = """
import multiprocessing, os, sys
import django
django.setup()
from datetime import datetime, timezone
from rowkeeper.rules.decision_log import journal as journals
from rowkeeper.rules.decision_log.journal import Journal
from rowkeeper.rules.decision_log.records import Record

def write(records):
    with open(sys.argv[1], "a") as file:
        file.writelines(record.request_id + "\\n" for record in records)

def note(name):
    journal.add(Record(datetime.now(timezone.utc), 1, name, 400, "select", "", None, (),
                       "anonymous", None, "", None, None, "", (), 0.0))

journal = Journal(write, lambda: None)
os.register_at_fork(after_in_child=journal.reset)
journals.PAUSE = 60
note("parent")
if os.fork() == 0:
    note("forked")
    sys.exit(0)
os.wait()
worker = multiprocessing.get_context("fork").Process(target=note, args=("worker",))
worker.start()
worker.join()
"""


def test_each_process_writes_its_own_before_it_ends(tmp_path: Path) -> None:
    there = tmp_path / "written"
    run = subprocess.run(
        [sys.executable, "-c", PROCESSES, str(there)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"DJANGO_SETTINGS_MODULE": "project.settings", "SECRET_KEY": "x", "PATH": ""},
    )
    assert run.returncode == 0, run.stderr
    assert sorted(there.read_text().split()) == ["forked", "parent", "worker"]


def test_counts_of_a_minute_become_lines_when_it_is_over(
    things: Place, log: Log, settings: Any
) -> None:
    with_settings(settings, DECISION_LOG_PER_MINUTE=1)
    deny(calls.bare_token()[1], things, 1)
    [record] = journal._waiting
    written: list[Record] = []
    mine = Journal(written.extend, lambda: None)
    mine.background = False
    found = [
        mine.add(replace(record, request_id=each, at=record.at + timedelta(minutes=minute - 5)))
        for each, minute in (("a", 0), ("b", 0), ("c", 0), ("d", 1))
    ]
    assert found == ["a", "b", "b", "d"]
    mine.flush(everything=False)
    assert [(one.request_id, one.count) for one in written] == [("a", 1), ("b", 2), ("d", 1)]
