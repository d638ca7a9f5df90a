"""Passwords are hashed between transactions, few in a request, and counted for each network."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.hashers import check_password
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from rowkeeper.datasources.database import hashing
from rowkeeper.datasources.models import DataSource
from tests.support import calls
from tests.support.calls import Answer, Api, Place, place
from tests.support.people import LOGIN

concurrent = pytest.mark.django_db(transaction=True)
NEW: dict[str, Any] = {
    "type": ["insert", "update"],
    "allow": "all",
    "include": ["Email", "Password", "Name"],
}


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The passwords that were hashed; none of them within a transaction."""
    found: list[str] = []
    make = hashing.make_password

    def make_password(password: str) -> str:
        assert not connection.in_atomic_block, "hashed within a transaction"
        found.append(password)
        return make(password)

    monkeypatch.setattr(hashing, "make_password", make_password)
    yield found


def people(rules: Any = (NEW,), name: str = "People") -> Place:
    columns = ["Email", "Password", "Name"]
    return place(rules, [{"Email": "ann@x"}], name=name, columns=columns, definition=LOGIN)


def row(number: int = 1, password: Any = "secret") -> dict[str, Any]:
    return {"Email": f"p{number}@x", "Password": password}


def commit(api: Api, there: Place, *entries: Any, **more: Any) -> Answer:
    body = {"append": True, "returnEntries": False, "entries": list(entries), **more}
    return api("POST", f"{there.url}/commit", body)


WRITES: dict[str, Callable[[Place], Answer]] = {
    "insert": lambda there: calls.anonymous()("PUT", there.data, row()),
    "update": lambda there: calls.anonymous()(
        "PUT", f"{there.data}/{there.ids[0]}", {"Password": "secret"}
    ),
    "bulk": lambda there: calls.anonymous()(
        "POST", there.data, {"append": True, "entries": [row(1), row(2)]}
    ),
    "commit": lambda there: commit(
        calls.anonymous(),
        there,
        {"data": row(1)},
        {"id": there.ids[0], "data": {"Password": "secret"}},
        {"data": row(2)},
        extend=True,
    ),
}


@concurrent
def test_no_hash_is_made_within_a_transaction(hashed: list[str]) -> None:
    for number, (name, write) in enumerate(WRITES.items()):
        there = people(name=f"People {number}")
        hashed.clear()
        assert write(there).status == 200, name
        stored = [held["Password"] for held in there.stored.values() if "Password" in held]
        assert len(stored) == len(hashed) == len(set(stored)) > 0, name
        assert all(check_password("secret", encoded) for encoded in stored), name


@concurrent
def test_nor_in_the_management_of_data_sources(hashed: list[str]) -> None:
    manager = calls.superuser()
    body = {"name": "Made", "definition": LOGIN, "entries": [row(1), row(2)], "columns": ["Email"]}
    assert manager("POST", "data-sources", body).status == 201
    assert hashed == ["secret", "secret"]
    plain = place([], [row(1), row(2, "other")], name="Plain")
    assert manager("PUT", plain.url, {"definition": LOGIN}).status == 200
    assert sorted(hashed) == ["other", "secret", "secret", "secret"]
    stored = [held["Password"] for held in plain.stored.values()]
    assert check_password("secret", stored[0])
    assert check_password("other", stored[1])


@concurrent
def test_nor_in_the_admin(hashed: list[str]) -> None:
    client = Client()
    client.force_login(calls.django_user(is_superuser=True, is_staff=True))
    there = people()
    url = reverse("admin:rowkeeper_datasources_datasource_entry_add", args=[there.model.pk])
    sent = {"row": '{"Email": "p1@x", "Password": "secret"}', "order": "0"}
    assert client.post(url, sent).status_code == 302
    assert hashed == ["secret"]
    assert len(there.stored) == 2


@concurrent
def test_nor_in_an_import(hashed: list[str], tmp_path: Any) -> None:
    there = people()
    text = "Email,Password\n" + "".join(f"p{n}@x,secret {n}\n" for n in range(30))
    path = tmp_path / "people.csv"
    path.write_text(text)
    call_command("importentries", "People", str(path), mode="append", stdout=io.StringIO())
    assert len(hashed) == 30
    assert len(there.stored) == 31


@concurrent
def test_nobody_hashes_who_is_denied(hashed: list[str]) -> None:
    there = people([{**NEW, "require": [{"Name": {"equals": "ann"}}]}])
    for write in WRITES.values():
        assert write(there).failure == (400, "datasource.access")
    assert hashed == []


@concurrent
@pytest.mark.parametrize("where", ["data", "commit", "create", "definition"])
def test_how_many_passwords_a_request_may_set(where: str, hashed: list[str]) -> None:
    def ask(count: int) -> Answer:
        rows = [row(n) for n in range(count)]
        if where == "create":
            body = {"name": f"P{count}", "columns": ["Email"], "definition": LOGIN, "entries": rows}
            return calls.superuser()("POST", "data-sources", body)
        if where == "definition":
            plain = place([], rows, name=f"P{count}")
            return calls.superuser()("PUT", plain.url, {"definition": LOGIN})
        there = people(name=f"P{count}")
        if where == "data":
            return calls.anonymous()("POST", there.data, {"append": True, "entries": rows})
        return commit(calls.anonymous(), there, *({"data": row} for row in rows))

    assert ask(21).failure == (413, "request.size")
    assert hashed == []
    assert ask(20).status in (200, 201)
    assert len(hashed) == 20
    there = DataSource.objects.filter(name="P21").first()
    kept = [] if there is None else [held.data for held in there.entries.all()]
    assert len(kept) == {"create": 0, "definition": 21}.get(where, 1)


@pytest.mark.django_db
def test_passwords_are_counted_for_a_network(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_PASSWORDS_PER_ADDRESS": 30}
    there = people()
    api = calls.anonymous()

    def ask(first: int, count: int, address: str) -> Answer:
        entries = [{"data": row(n)} for n in range(first, first + count)]
        body = {"append": True, "returnEntries": False, "entries": entries}
        return api("POST", f"{there.url}/commit", body, REMOTE_ADDR=address)

    assert ask(1, 20, "2001:db8::1").status == 200
    refused = ask(100, 20, "2001:db8::2")
    assert refused.failure == (429, "request.limited")
    assert len(there.stored) == 21
    # Neither another network, nor a write without a password.
    assert ask(200, 20, "2001:db9::1").status == 200
    more = api("PUT", there.data, {"Email": "x@x"}, REMOTE_ADDR="2001:db8::1")
    assert more.status == 200


def test_a_hash_is_used_once() -> None:
    """Equal passwords of two rows do not show as equal hashes."""
    attempts = []

    def work() -> list[str]:
        hashing.begin()
        attempts.append(1)
        return hashing.hash_all(["a", "b", "a"]) + hashing.hash_all(["a"])

    made = hashing.outside_transactions(work)
    assert len(set(made)) == 4
    assert len(attempts) == 3
    assert [check_password("a", encoded) for encoded in made] == [True, False, True, True]


def test_too_many_are_refused_before_they_are_made() -> None:
    def allow(count: int, before: int) -> None:
        raise ValueError(count, before)

    with pytest.raises(ValueError, match=r"\(2, 0\)"):
        hashing.outside_transactions(lambda: hashing.hash_all(["a", "b"]), allow)
    assert hashing.hash_all([]) == []
