"""Every write path, which waits for a transaction that takes the right away."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.utils import timezone

from rowkeeper.accounts.models import ApiToken, LoginSession
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import save_rules
from tests.support import calls
from tests.support.calls import OPEN, Answer, Api, Place, place
from tests.support.people import LOGIN, sign_in_source

pytestmark = pytest.mark.django_db(transaction=True)

DENIALS = (
    (401, "auth.invalid"),
    (401, "auth.required"),
    (403, "auth.forbidden"),
    (400, "datasource.access"),
)
Write = Callable[[Api, Place], Answer]


def commit(*entries: Any, **more: Any) -> Write:
    def write(api: Api, there: Place) -> Answer:
        some = [{**entry, "id": there.ids[0]} if "id" in entry else entry for entry in entries]
        gone = {"delete": [there.ids[0]]} if more.get("delete") else {}
        return api("POST", f"{there.url}/commit", {**more, **gone, "entries": some})

    return write


def delete_by_query(api: Api, there: Place) -> Answer:
    return api("POST", f"{there.data}/query", {"type": "delete", "where": {"Name": "old"}})


WRITES: dict[str, Write] = {
    "insert": lambda api, there: api("PUT", there.data, {"Name": "new"}),
    "insert of a new column": lambda api, there: api("PUT", there.data, {"New": 1}),
    "update": lambda api, there: api("PUT", f"{there.data}/{there.ids[0]}", {"Name": "new"}),
    "update of a new column": lambda api, there: api(
        "PUT", f"{there.data}/{there.ids[0]}", {"New": 1}
    ),
    "delete": lambda api, there: api("DELETE", f"{there.data}/{there.ids[0]}"),
    "delete by query": delete_by_query,
    "bulk": lambda api, there: api(
        "POST", there.data, {"append": True, "entries": [{"Name": "new"}]}
    ),
    "replace": lambda api, there: api("POST", there.data, {"entries": [{"Name": "new"}]}),
    "empty": lambda api, there: api("POST", there.data, {"entries": []}),
    "commit an insert": commit({"data": {"Name": "new"}}, append=True),
    "commit an update": commit({"id": 0, "data": {"Name": "new"}}, append=True),
    "commit a delete": commit(append=True, delete=True),
    "commit that replaces": commit({"data": {"Name": "new"}}),
}
MANAGEMENT: dict[str, Write] = {
    "rename": lambda api, there: api("PUT", there.url, {"name": "Other"}),
    "rules": lambda api, there: api("PUT", there.url, {"accessRules": [OPEN]}),
    "definition": lambda api, there: api("PUT", there.url, {"definition": {"note": 1}}),
    "removal": lambda api, there: api("DELETE", there.url),
}
SCRIPTED = {"script": "return {'granted': True}"}


def waits() -> bool:
    """Whether another connection waits for a lock; SQLite does not say."""
    if connection.vendor == "sqlite":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname=current_database() "
            "AND wait_event_type='Lock'"
        )
        return bool(cursor.fetchone()[0])


def while_it_waits(there: Place, change: Callable[[], object], write: Callable[[], Answer]) -> Any:
    """The answer of a write that begins when a transaction has locked the data source and made a
    change, and that transaction is committed when the write waits for it.
    """
    begun, answers = threading.Event(), list[Any]()

    def run() -> None:
        try:
            begun.wait(10)
            answers.append(write())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    with transaction.atomic():
        registry.lock(there.model.pk)
        change()
        begun.set()
        until = time.monotonic() + (0.25 if connection.vendor == "sqlite" else 5)
        while time.monotonic() < until and not waits():
            time.sleep(0.02)
    thread.join(30)
    assert answers, "the write has failed"
    return answers[0]


def stored() -> Any:
    return (
        list(Entry.objects.order_by("id").values_list("id", "data")),
        list(DataSource.objects.order_by("id").values_list("id", "name", "columns", "definition")),
        list(AccessRule.objects.order_by("id").values_list("id", "position")),
    )


_names = itertools.count(1)


def things(rules: Sequence[Any] = (OPEN,)) -> Place:
    return place(rules, [{"Name": "old"}], name=f"Things {next(_names)}")


def only_read(there: Place) -> None:
    save_rules(there.model, [{"type": ["select"], "allow": "all"}])


def test_rules_that_are_saved_meanwhile_decide() -> None:
    for name, write in WRITES.items():
        there = things()
        states = []

        def change(there: Place = there, states: list[Any] = states) -> None:
            only_read(there)
            states.append(stored())

        answer = while_it_waits(there, change, partial(write, calls.anonymous(), there))
        assert answer.failure in DENIALS, (name, answer)
        assert stored() == states[0], name


def test_rules_with_scripts_too() -> None:
    for name in ("insert", "update", "delete by query", "commit an insert"):
        there = things([SCRIPTED])
        change = partial(save_rules, there.model, [{"script": "return {'granted': False}"}])
        answer = while_it_waits(there, change, partial(WRITES[name], calls.anonymous(), there))
        assert answer.failure in DENIALS, (name, answer)
        assert there.stored == {there.ids[0]: {"Name": "old"}}


def test_a_write_that_is_allowed_before_and_after_is_carried_out() -> None:
    for name, write in WRITES.items():
        there = things()
        change = partial(save_rules, there.model, [{**OPEN, "name": "another name"}])
        answer = while_it_waits(there, change, partial(write, calls.anonymous(), there))
        assert answer.status == 200, (name, answer)
        assert there.stored != {there.ids[0]: {"Name": "old"}}, name


def test_columns_that_are_hidden_meanwhile_are_not_answered() -> None:
    there = place([OPEN], [{"Name": "old", "Salary": 1}])
    answer = while_it_waits(
        there,
        lambda: save_rules(
            there.model, [{"type": ["update"], "allow": "all"}, {**OPEN, "exclude": ["Salary"]}]
        ),
        lambda: WRITES["update"](calls.anonymous(), there),
    )
    assert answer.json["data"] == {"Name": "new"}


def end_all() -> None:
    ApiToken.objects.update(revoked_at=timezone.now())
    LoginSession.objects.all().delete()
    User.objects.update(is_active=False)


def caller(who: str) -> tuple[Api, Any]:
    """Somebody, and the `allow` of a rule for them."""
    if who == "token":
        token, api = calls.bare_token()
        return api, {"tokens": [token.pk]}
    if who == "session":
        people = sign_in_source(f"People {next(_names)}", [{"Email": "ann@acme.com"}])
        return calls.session(people, "ann@acme.com"), "loggedIn"
    return calls.on_site(calls.django_user()), "loggedIn"


@pytest.mark.parametrize("who", ["token", "session", "site"])
def test_a_credential_that_ends_meanwhile(who: str) -> None:
    """Neither the rules nor the data source have changed."""
    for name in ("insert", "update", "delete", "delete by query", "replace", "commit an insert"):
        api, allow = caller(who)
        there = things([{**OPEN, "allow": allow}])
        answer = while_it_waits(there, end_all, partial(WRITES[name], api, there))
        assert answer.failure in DENIALS, (name, answer)
        assert there.stored == {there.ids[0]: {"Name": "old"}}, name


def test_a_role_that_is_lost_meanwhile() -> None:
    people = sign_in_source("People", [{"Email": "ann@acme.com", "Role": "Boss"}])
    api = calls.session(people, "ann@acme.com")
    there = things([{**OPEN, "allow": {"user": {"Role": {"equals": "Boss"}}}}])
    row = Entry.objects.get(data_source=people)
    guest = {**row.data, "Role": "Guest"}
    answer = while_it_waits(
        there,
        lambda: Entry.objects.filter(pk=row.pk).update(data=guest),
        lambda: WRITES["insert"](api, there),
    )
    assert answer.failure == (400, "datasource.access")
    assert len(there.stored) == 1


def test_a_definition_that_is_saved_meanwhile() -> None:
    """Otherwise the password would be stored as it was sent, and be readable."""
    there = place([OPEN], [], columns=["Email", "Password"])

    def change() -> None:
        model = DataSource.objects.get(pk=there.model.pk)
        model.definition = {**LOGIN}
        saving.save(model)

    row = {"Email": "ann@acme.com", "Password": "secret"}
    answer = while_it_waits(there, change, lambda: calls.anonymous()("PUT", there.data, row))
    assert answer.failure == (400, "datasource.access")
    assert there.stored == {}


def test_permissions_that_are_lost_meanwhile() -> None:
    for name, write in MANAGEMENT.items():
        there = things()
        user = calls.django_user("view", "change", "change_rules", "delete")
        api = calls.bare_token(user=user)[1]
        before = stored()
        answer = while_it_waits(there, user.user_permissions.clear, partial(write, api, there))
        assert answer.failure == (403, "auth.forbidden"), (name, answer)
        assert stored() == before, name


def test_the_same_management_is_carried_out_otherwise() -> None:
    for write in MANAGEMENT.values():
        there = things()
        user = calls.django_user("view", "change", "change_rules", "delete")
        assert write(calls.bare_token(user=user)[1], there).status == 200


@pytest.mark.parametrize("who", ["anonymous", "token"])
def test_writers_do_not_hold_up_whoever_saves_rules(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several of them write all the time, and each save of rules has its turn."""
    there = things()
    insert = store.insert

    def slowly(*args: Any) -> Any:
        time.sleep(0.1)
        return insert(*args)

    monkeypatch.setattr(store, "insert", slowly)
    ended, answers = threading.Event(), list[int]()

    def writes() -> None:
        api = calls.anonymous() if who == "anonymous" else calls.bare_token()[1]
        try:
            while not ended.is_set():
                answers.append(api("PUT", there.data, {"Name": "new"}).status)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=writes) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 30
        while len(answers) < 8 and time.monotonic() < until:
            time.sleep(0.02)
        took = []
        for number in range(3):
            begun = time.monotonic()
            save_rules(there.model, [{**OPEN, "name": str(number)}])
            took.append(time.monotonic() - begun)
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    assert max(took) < 3, took
    assert set(answers) <= {200, 503}
