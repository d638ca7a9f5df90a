"""`Idempotency-Key`: a request that is sent again is carried out once, for one credential."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from rowkeeper.accounts.models import ApiToken
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.access import idempotency
from rowkeeper.rules.api import idempotent
from rowkeeper.rules.models import IdempotencyKey
from rowkeeper.rules.repository.rules import save_rules
from tests.support import calls
from tests.support.calls import (
    OPEN,
    READ,
    Answer,
    Api,
    Place,
    anonymous,
    bare_token,
    place,
    superuser,
)

REUSED = (409, "request.conflict")
DENIED = (400, "datasource.access")
MALFORMED = (400, "request.invalid")
_keys = itertools.count()


def send(api: Api, method: str, path: str, body: Any = None, key: str = "k", **more: Any) -> Answer:
    return api(method, path, body, headers={"Idempotency-Key": key}, **more)


@pytest.fixture
def there(db: None) -> Place:
    return place(rows=[{"N": n} for n in range(4)], columns=["N"])


def writes(there: Place) -> Iterator[tuple[str, str, Any]]:
    """Every write of the API: method, path, body."""
    row, first, second, third = {"N": 9}, *there.ids[:3]
    new = [{"clientId": "a", "data": row}, {"clientId": "b", "data": row}]
    yield "PUT", there.data, row
    yield "PUT", f"{there.data}/{first}", row
    yield "DELETE", f"{there.data}/{second}", None
    yield "POST", there.data, {"append": True, "entries": [row, row]}
    commit = {"append": True, "entries": [*new, {"id": first, "data": row}], "delete": [third]}
    yield "POST", f"{there.url}/commit", commit
    yield "POST", f"{there.url}/commit", {**commit, "returnEntries": False, "delete": []}
    yield "POST", f"{there.data}/query", {"type": "delete", "where": {"N": 9}}
    yield "POST", "data-sources", {"name": "New", "entries": [row], "accessRules": [OPEN]}
    yield "PUT", there.url, {"type": "x", "accessRules": [OPEN, READ]}
    yield "PUT", there.url, {"name": "Renamed"}


def state() -> Any:
    sources = list(DataSource.objects.values_list("pk", "name", "revision", "updated_at"))
    return sources, list(Entry.objects.order_by("pk").values_list("pk", "data", "updated_at"))


@pytest.mark.django_db
def test_every_write_is_carried_out_once(there: Place) -> None:
    api = superuser()
    for at, (method, path, body) in enumerate(writes(there)):
        before = state()
        first = send(api, method, path, body, f"key {at}")
        assert first.status in (200, 201), (path, first.text)
        assert "Idempotency-Replayed" not in first.headers
        after = state()
        assert after != before
        for _ in range(2):
            again = send(api, method, path, body, f"key {at}")
            assert (again.status, again.text) == (first.status, first.text), path
            assert again.headers["Idempotency-Replayed"] == "true"
            assert again.headers.get("ETag") == first.headers.get("ETag")
            assert state() == after, (method, path)


@pytest.mark.django_db
def test_a_data_source_is_deleted_once(there: Place) -> None:
    api = superuser()
    assert send(api, "DELETE", "data-sources/Things").json == {}
    second = place(name="Things")
    assert send(api, "DELETE", "data-sources/Things").json == {}
    assert DataSource.objects.filter(pk=second.model.pk).exists()
    assert send(api, "DELETE", "data-sources/Things", key="other").json == {}
    assert not DataSource.objects.exists()


@pytest.mark.django_db
def test_a_form_that_is_sent_again(there: Place) -> None:
    """Clients make another boundary each time."""
    _, api = bare_token()
    for boundary in ("one", "two"):
        raw = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="N"\r\n\r\n7\r\n--{boundary}--'
        ).encode()
        media = f"multipart/form-data; boundary={boundary}"
        assert send(api, "PUT", there.data, raw=raw, media=media).status == 200
    assert len(there.stored) == 5


@pytest.mark.django_db
def test_the_same_key_with_another_request(there: Place) -> None:
    _, api = bare_token()
    url = f"{there.data}/{there.ids[0]}"
    assert send(api, "PUT", there.data, {"N": 7}).status == 200
    for method, path, body in (
        ("PUT", there.data, {"N": 8}),
        ("PUT", f"{there.data}?x", {"N": 7}),
        ("PUT", url, {"N": 7}),
        ("DELETE", url, None),
        ("POST", f"{there.url}/commit", {"append": True, "entries": []}),
    ):
        answer = send(api, method, path, body)
        assert answer.failure == REUSED, path
        assert "Idempotency-Key" in answer.json["message"]
    assert len(there.stored) == 5


@pytest.mark.django_db
def test_the_same_key_with_another_body_that_is_parsed_as_it_arrives(
    there: Place, settings: LazySettings
) -> None:
    """Nothing of such a body is held, and it is another request all the same."""
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_BODY": 2_000}
    (_, api), long = bare_token(), "x" * 300
    for path in (there.data, f"{there.url}/commit"):
        rows: list[Any] = [{"N": long, "M": at} for at in range(20)]
        entries = rows if path == there.data else [{"data": row} for row in rows]
        body = {"append": True, "returnEntries": False, "entries": entries}
        before, key = len(there.stored), f"key {next(_keys)}"
        assert send(api, "POST", path, body, key).status == 200
        assert send(api, "POST", path, body, key).status == 200
        assert len(there.stored) == before + 20
        other = {**body, "entries": [*entries[:-1], entries[0]]}
        assert send(api, "POST", path, other, key).failure == REUSED
        assert len(there.stored) == before + 20


@pytest.mark.django_db
def test_a_key_counts_for_the_credential_that_sent_it(there: Place) -> None:
    (_, one), (_, other) = bare_token(), bare_token()
    ids = {send(api, "PUT", there.data, {"N": 7}).json["id"] for api in (one, other, one)}
    assert len(ids) == 2
    person = calls.person()
    assert send(person, "PUT", there.data, {"N": 7}).json["id"] not in ids
    on_site = calls.on_site(calls.django_user())
    found = {send(on_site, "PUT", there.data, {"N": 7}).json["id"] for _ in range(2)}
    assert len(found) == 1 and not found & ids


@pytest.mark.django_db
def test_a_key_needs_a_credential(there: Place) -> None:
    answer = send(anonymous(), "PUT", there.data, {"N": 7})
    assert answer.failure == MALFORMED and "login" in answer.json["message"]
    nowhere = send(anonymous(), "PUT", "data-sources/Nowhere/data", {"N": 7})
    assert nowhere.text == answer.text
    assert len(there.stored) == 4


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä", "a\tb"])
def test_a_key_that_is_none(there: Place, key: str) -> None:
    assert send(bare_token()[1], "PUT", there.data, {"N": 7}, key).failure == MALFORMED
    assert len(there.stored) == 4


@pytest.mark.django_db
def test_a_failure_is_not_kept(there: Place) -> None:
    save_rules(there.model, [READ])
    _, api = bare_token()
    assert send(api, "PUT", there.data, {"N": 7}).failure == DENIED
    assert not IdempotencyKey.objects.exists()
    save_rules(there.model, [OPEN])
    assert send(api, "PUT", there.data, {"N": 8}).status == 200


@pytest.mark.django_db
def test_no_value_is_kept(there: Place) -> None:
    _, api = bare_token()
    row = {"N": "a secret value"}
    send(api, "PUT", there.data, row, "a secret key")
    commit = {"append": True, "entries": [{"clientId": "a secret id", "data": row}]}
    send(api, "POST", f"{there.url}/commit", commit, "another secret key")
    for kept in IdempotencyKey.objects.values():
        assert "secret" not in str(kept)


# -- the answer is given only while the request would still be granted


@pytest.mark.django_db
def test_nothing_is_answered_once_the_right_is_gone(there: Place) -> None:
    for method, path, body in list(writes(there))[:7]:
        save_rules(there.model, [OPEN])
        (token, api), key = bare_token(), f"key {next(_keys)}"
        assert send(api, method, path, body, key).status == 200
        save_rules(there.model, [READ])
        assert send(api, method, path, body, key).failure in (DENIED, (404, "notfound")), path
        save_rules(there.model, [OPEN])
        ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
        assert send(api, method, path, body, key).failure == (401, "auth.invalid")


@pytest.mark.django_db
def test_a_decision_is_the_same_while_nothing_has_changed_that_it_rests_on() -> None:
    """The rule does not fit the entry as the request has left it."""
    rule = {"type": ["update"], "allow": "all", "require": [stored("Status", "Open")]}
    there = place([rule, READ], [{"Status": "Open"}])
    _, api = bare_token()
    sent = "PUT", f"{there.data}/{there.ids[0]}", {"Status": "Closed"}
    first = send(api, *sent)
    assert first.status == 200
    assert send(api, *sent).text == first.text
    assert send(api, *sent, key="another").failure == DENIED
    # It has to be decided again, and the entry is closed now.
    save_rules(there.model, [rule, READ, READ])
    assert send(api, *sent).failure == DENIED


def stored(column: str, value: Any) -> Any:
    return {column: {"equals": value, "on": "stored"}}


@pytest.mark.django_db
def test_with_scripts_a_repetition_is_decided_again() -> None:
    script = 'return {"granted": type == "insert" and query.N < DataSources("Limits").count()}'
    there = place([OPEN], [{"N": 0}])
    limits = place([OPEN], [{"A": 1}, {"A": 2}], name="Limits")
    writer = calls.django_user(is_superuser=True)
    save_rules(there.model, [{"script": script}], writer)
    _, api = bare_token()
    assert send(api, "PUT", there.data, {"N": 1}).status == 200
    assert send(api, "PUT", there.data, {"N": 1}).headers["Idempotency-Replayed"] == "true"
    Entry.objects.filter(data_source=limits.model).delete()
    assert send(api, "PUT", there.data, {"N": 1}).failure == DENIED
    assert len(there.stored) == 2


@pytest.mark.django_db
def test_a_repeated_update_shows_only_what_a_select_shows_now() -> None:
    hides = {**READ, "exclude": ["Salary"]}
    update = {"type": ["update"], "allow": "all", "exclude": ["Salary"]}
    there = place([READ, update], [{"Name": "Ann", "Salary": 1}])
    _, api = bare_token()
    sent = "PUT", f"{there.data}/{there.ids[0]}", {"Name": "Bea"}
    assert send(api, *sent).json["data"] == {"Name": "Bea", "Salary": 1}
    save_rules(there.model, [hides, update])
    assert send(api, *sent).json["data"] == {"Name": "Bea"}
    there.model.entries.update(data={"Name": "Cid", "Salary": 2}, updated_at=timezone.now())
    assert send(api, *sent).json["data"] == {"Name": "Bea"}


@pytest.mark.django_db
def test_a_repeated_commit_shows_only_what_a_select_shows_now(there: Place) -> None:
    _, api = bare_token()
    sent = "POST", there.data, {"append": True, "entries": [{"N": 9}]}
    assert len(send(api, *sent).entries) == 5
    save_rules(there.model, [{"type": ["insert"], "allow": "all"}])
    assert send(api, *sent).entries == []


# -- how long, and how many


@pytest.mark.django_db
def test_a_key_is_kept_for_a_day(there: Place) -> None:
    _, api = bare_token()
    for hours, rows in ((23, 5), (25, 6), (-25, 7)):
        send(api, "PUT", there.data, {"N": 7})
        IdempotencyKey.objects.update(made_at=timezone.now() - timedelta(hours=hours))
        assert send(api, "PUT", there.data, {"N": 7}).status == 200
        assert len(there.stored) == rows
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db
def test_the_keys_of_one_credential_are_bounded(
    there: Place, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "IDEMPOTENCY_KEYS": 3}
    monkeypatch.setattr(idempotent, "_CLEAN_UP_EVERY", 1)
    (_, api), (_, other) = bare_token(), bare_token()
    send(other, "PUT", there.data, {"N": 1})
    for n in range(8):
        send(api, "PUT", there.data, {"N": n}, f"key {n}")
    assert IdempotencyKey.objects.count() == 4
    assert "Idempotency-Replayed" in send(api, "PUT", there.data, {"N": 7}, "key 7").headers


@pytest.mark.django_db
def test_the_command_deletes_old_keys(
    there: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PIECE", 2)
    now = timezone.now()
    for hours in (0, 1, 25, 26, 27, -25, -26):
        at = now - timedelta(hours=hours)
        IdempotencyKey.objects.create(credential="c", key=str(hours), request="r", made_at=at)
    call_command("purgeidempotencykeys")
    assert "deleted 5 keys" in capsys.readouterr().out
    assert {kept.key for kept in IdempotencyKey.objects.all()} == {"0", "1"}


# -- at once


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["insert", "commit", "creation"])
def test_of_requests_at_once_one_is_carried_out(kind: str) -> None:
    there, api = place(rows=[{"N": 1}]), superuser()
    method, path, body = {
        "insert": ("PUT", there.data, {"N": 2}),
        "commit": ("POST", there.data, {"append": True, "entries": [{"N": 2}]}),
        "creation": ("POST", "data-sources", {"name": "New", "entries": [{"N": 2}]}),
    }[kind]
    start, answers = threading.Barrier(4), []

    def ask() -> None:
        try:
            start.wait(30)
            answers.append(send(Api(api.headers), method, path, body))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    done = [answer for answer in answers if answer.status in (200, 201)]
    # SQLite may be busy for one that waited too long.
    assert all(answer.status == 503 for answer in answers if answer not in done)
    assert done and len({answer.text for answer in done}) == 1
    assert Entry.objects.count() == 2
