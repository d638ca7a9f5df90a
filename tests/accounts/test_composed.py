"""Addresses and passwords in Unicode's two spellings: composed (NFC) and decomposed (NFD)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import pytest
from django.apps import apps
from django.contrib.auth.hashers import check_password, make_password
from django.db import connection

from rowkeeper.accounts.models import LoginSession
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.store import normal_address
from rowkeeper.datasources.transfer.apply import carry_out
from rowkeeper.datasources.transfer.job import Job
from rowkeeper.datasources.transfer.problems import Refused
from tests.support import calls
from tests.support.calls import OPEN, Answer, Place, anonymous, place
from tests.support.people import LOGIN, PASSWORD

pytestmark = pytest.mark.django_db

COMPOSED = "j\u00f6rg@\u00e4cme.com"
DECOMPOSED = normalize("NFD", COMPOSED)
# Upper case, in both spellings; the marks in another order; a sign that stands for a letter.
SPELLINGS = [
    COMPOSED,
    DECOMPOSED,
    COMPOSED.upper(),
    normalize("NFD", COMPOSED.upper()),
    f" {DECOMPOSED} ",
]
EQUAL = [
    ("\u1ead@x", "a\u0323\u0302@x"),
    ("\u1ead@x", "a\u0302\u0323@x"),
    ("\u00c5@x", "\u212b@x"),
    ("\ud55c@x", "\u1112\u1161\u11ab@x"),
    ("\u0130@x", "I\u0307@x"),
    ("\u1e9b\u0323@x", "\u017f\u0323\u0307@x"),
    ("\u03ce@x", "\u03c9\u0301@x"),
    ("\u0958@x", "\u0915\u093c@x"),
]
OTHER = [
    ("jorg@x", "j\u00f6rg@x"),
    ("\ufb01@x", "fi@x"),
    ("\uff41@x", "a@x"),
    ("\u00b5@x", "\u03bc@x"),
]


def users(*rows: dict[str, Any], rules: Any = (OPEN,), **fields: Any) -> Place:
    columns = ["Email", "Password", "Name"]
    people = [{"Password": PASSWORD, **row} for row in rows]
    return place(rules, people, name="Users", columns=columns, definition=LOGIN, **fields)


def sign_in(there: Place, email: str, password: str = PASSWORD) -> Answer:
    body = {
        "passport": "dataSource",
        "dataSourceId": there.model.pk,
        "where": {"Email": email, "Password": password},
    }
    return anonymous()("POST", "session/authorize", body)


def as_it_was(there: Place, **row: Any) -> Entry:
    """A row as it was stored before addresses and passwords were composed."""
    return Entry.objects.create(data_source=there.model, data=row)


# -- addresses


@pytest.mark.parametrize("stored", SPELLINGS, ids=ascii)
def test_every_spelling_of_an_address_signs_in(stored: str) -> None:
    there = users({"Email": stored})
    for email in SPELLINGS:
        assert sign_in(there, email).status == 200, ascii(email)


@pytest.mark.parametrize("stored", SPELLINGS, ids=ascii)
def test_a_row_that_was_stored_as_it_was_sent_signs_in_too(stored: str) -> None:
    """Until its data source is migrated, and where a database was filled past the store."""
    there = users()
    as_it_was(there, Email=stored, Password=make_password(PASSWORD))
    for email in SPELLINGS:
        assert sign_in(there, email).status == 200, ascii(email)


@pytest.mark.parametrize(("first", "second"), [*EQUAL, *OTHER], ids=ascii)
def test_both_databases_compare_as_python_does(first: str, second: str) -> None:
    there = users()
    as_it_was(there, Email=first, Password=make_password(PASSWORD))
    same = (first, second) in EQUAL
    assert (normal_address(first) == normal_address(second)) is same
    assert (sign_in(there, second).status == 200) is same
    assert sign_in(there, first).status == 200


@pytest.mark.parametrize(("first", "second"), EQUAL, ids=ascii)
def test_look_alikes_are_refused(first: str, second: str) -> None:
    there = users({"Email": first}, {"Email": "bob@acme.com"})
    api, before = anonymous(), there.stored
    many = [{"Email": f"{n}@x"} for n in range(15)]
    for method, path, body in [
        ("PUT", there.data, {"Email": second}),
        ("PUT", f"{there.data}/{there.ids[1]}", {"Email": second}),
        ("POST", there.data, {"append": True, "entries": [{"Email": second}]}),
        ("POST", there.data, {"append": True, "entries": [*many, {"Email": second}]}),
        ("POST", there.data, {"entries": [{"Email": first}, {"Email": second}]}),
        ("POST", f"{there.url}/commit", {"append": True, "entries": [{"data": {"Email": second}}]}),
    ]:
        assert api(method, path, body).failure == (400, "datasource.access"), (method, path)
    assert there.stored == before


# -- every write stores the composed address


def insert(there: Place) -> None:
    assert anonymous()("PUT", there.data, {"Email": DECOMPOSED}).json["data"]["Email"] == COMPOSED


def update(there: Place) -> None:
    path = f"{there.data}/{there.ids[0]}"
    assert anonymous()("PUT", path, {"Email": DECOMPOSED}).json["data"]["Email"] == COMPOSED


def bulk(there: Place) -> None:
    assert anonymous()("POST", there.data, {"entries": [{"Email": DECOMPOSED}]}).status == 200


def commit(there: Place) -> None:
    entries = [{"id": there.ids[0], "data": {"Email": DECOMPOSED}}]
    body = {"append": True, "extend": True, "entries": entries}
    assert anonymous()("POST", f"{there.url}/commit", body).status == 200


def many(there: Place) -> None:
    """So many that PostgreSQL takes them by COPY."""
    entries = [{"Email": DECOMPOSED}, *({"Email": f"{n}@x"} for n in range(250))]
    assert anonymous()("POST", there.data, {"append": True, "entries": entries}).status == 200


def admin(there: Place) -> None:
    source = registry.source_of(there.model)
    store.admin_save(source, there.ids[0], {"Email": DECOMPOSED})


def login_turned_on(there: Place) -> None:
    there.model.definition = {}
    saving.save(there.model)
    as_it_was(there, Email=DECOMPOSED, Number=1.5)
    there.model.definition = LOGIN
    saving.save(there.model)


@pytest.mark.parametrize(
    "write", [insert, update, bulk, commit, many, admin, login_turned_on], ids=lambda f: f.__name__
)
def test_every_write_stores_it_composed(write: Callable[[Place], None]) -> None:
    there = users({"Email": "ann@acme.com"})
    write(there)
    assert COMPOSED in [row["Email"] for row in there.stored.values()]


def test_other_columns_and_other_data_sources_stay_as_they_are_sent() -> None:
    there = users()
    answer = anonymous()("PUT", there.data, {"Email": DECOMPOSED, "Name": DECOMPOSED})
    assert answer.json["data"]["Name"] == DECOMPOSED
    plain = place([OPEN], [{"Email": DECOMPOSED}])
    assert [row["Email"] for row in plain.stored.values()] == [DECOMPOSED]


def test_a_rule_decides_on_the_address_that_is_stored() -> None:
    """Otherwise a decomposed address would pass a rule that forbids the composed one."""
    forbidden = {**OPEN, "require": [{"Email": {"notequals": COMPOSED}}]}
    there = users({"Email": "ann@acme.com"}, rules=[forbidden])
    path = f"{there.data}/{there.ids[0]}"
    entry = {"id": there.ids[0], "data": {"Email": DECOMPOSED}}
    for method, where, body in [
        ("PUT", there.data, {"Email": DECOMPOSED}),
        ("PUT", path, {"Email": DECOMPOSED}),
        ("POST", there.data, {"append": True, "entries": [{"Email": DECOMPOSED}]}),
        ("POST", f"{there.url}/commit", {"append": True, "extend": True, "entries": [entry]}),
    ]:
        assert anonymous()(method, where, body).failure == (400, "datasource.access"), where


def test_a_person_may_send_their_own_address_decomposed() -> None:
    own = {
        "type": ["select", "update"],
        "allow": "loggedIn",
        "require": [{"Email": {"equals": "{{user.[Email]}}"}}],
    }
    there = users({"Email": DECOMPOSED}, rules=[own])
    api = calls.session(there.model, DECOMPOSED)
    path = f"{there.data}/{there.ids[0]}"
    assert api("PUT", path, {"Email": DECOMPOSED, "Name": "J"}).status == 200


# -- imports


def imported(there: Place, folder: Path, mode: str, *addresses: str, key: str | None = None) -> Any:
    path = folder / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["Email", "Name"], *([one, "new"] for one in addresses)])
    return carry_out(Job(path, mode, key), there.model.pk)


def test_an_import_stores_composed_and_finds_by_either_spelling(tmp_path: Path) -> None:
    there = users()
    imported(there, tmp_path, "append", DECOMPOSED)
    assert [row["Email"] for row in there.stored.values()] == [COMPOSED]
    done = imported(there, tmp_path, "update", DECOMPOSED, key="Email")
    assert (done.new, done.changed, done.same) == (0, 0, 1)
    with pytest.raises(Refused):
        imported(there, tmp_path, "append", DECOMPOSED)
    with pytest.raises(Refused):
        imported(there, tmp_path, "replace", COMPOSED, DECOMPOSED)


# -- passwords

SECRET = "p\u00e4ssw\u00f6rd"
SECRET_NFD = normalize("NFD", SECRET)


@pytest.mark.parametrize("sent", [SECRET, SECRET_NFD], ids=ascii)
def test_a_password_is_stored_composed_and_taken_in_both_spellings(sent: str) -> None:
    there = users({"Email": "ann@acme.com", "Password": sent})
    [row] = there.stored.values()
    assert check_password(SECRET, row["Password"]) and not check_password(
        SECRET_NFD, row["Password"]
    )
    for password in (SECRET, SECRET_NFD):
        assert sign_in(there, "ann@acme.com", password).status == 200
    assert sign_in(there, "ann@acme.com", "password").status == 401


@pytest.mark.parametrize("sent", [SECRET, SECRET_NFD], ids=ascii)
def test_a_hash_of_what_was_sent_before_still_signs_in(sent: str) -> None:
    there = users()
    as_it_was(there, Email="ann@acme.com", Password=make_password(sent))
    assert sign_in(there, "ann@acme.com", sent).status == 200


def test_plain_text_is_hashed_composed_when_a_login_is_turned_on() -> None:
    there = place([OPEN], [{"Email": "ann@acme.com", "Password": SECRET_NFD}])
    there.model.definition = LOGIN
    saving.save(there.model)
    assert sign_in(there, "ann@acme.com", SECRET).status == 200


@pytest.mark.parametrize("password", ["wrong", "wr\u00f6ng", normalize("NFD", "wr\u00f6ng")])
def test_known_and_unknown_addresses_cost_the_same_hashes(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.hashers import MD5PasswordHasher

    there = users({"Email": "ann@acme.com"})
    encode, hashes = MD5PasswordHasher.encode, []

    def counted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashes.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    counts = []
    for email in ("ann@acme.com", "nobody@acme.com"):
        hashes.clear()
        assert sign_in(there, email, password).status == 401
        counts.append(len(hashes))
    assert counts[0] == counts[1] == (1 if normalize("NFC", password) == password else 2)


# -- the migration


def test_the_migration_composes_stored_addresses_and_nothing_else() -> None:
    there = users()
    plain = place([OPEN], [{"Email": DECOMPOSED}], name="Plain")
    moved = as_it_was(there, Email=DECOMPOSED, Name=DECOMPOSED, Number=1.50, Big=2**60)
    stays = as_it_was(there, Email="ann@acme.com")
    other = as_it_was(there, Email=[DECOMPOSED])
    odd = DataSource.objects.create(name="Odd", definition={"login": 5})
    migration = import_module("rowkeeper.datasources.migrations.0007_composed_addresses")
    for _ in range(2):
        migration.forwards(apps, SimpleNamespace(connection=connection))
    stored = there.stored
    expected = {"Email": COMPOSED, "Name": DECOMPOSED, "Number": 1.50, "Big": 2**60}
    assert stored[moved.pk] == expected
    assert stored[stays.pk] == {"Email": "ann@acme.com"}
    assert stored[other.pk] == {"Email": [DECOMPOSED]}
    assert [row["Email"] for row in plain.stored.values()] == [DECOMPOSED]
    assert odd.pk


def test_two_rows_that_differ_by_composition_only_both_cannot_sign_in() -> None:
    """They were there before: who of the two is meant cannot be told."""
    there = users()
    for email in (COMPOSED, DECOMPOSED):
        as_it_was(there, Email=email, Password=make_password(PASSWORD))
    for email in (COMPOSED, DECOMPOSED):
        assert sign_in(there, email).failure == (401, "auth.invalid")
    assert not LoginSession.objects.exists()
