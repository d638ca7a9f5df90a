"""Data sources that people sign in against, over HTTP: secrets, addresses, sessions, limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import (
    BasePasswordHasher,
    check_password,
    identify_hasher,
    make_password,
)
from django.contrib.auth.models import Group
from django.db import connections

from rowkeeper.accounts.login import sign_in as sign_in_module
from rowkeeper.accounts.models import App, LoginSession
from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.catalog.passwords import is_hash, takes_too_long
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.repository.rules import RulesInvalid, save_rules
from tests.support import calls
from tests.support.calls import OPEN, READ, Answer, Api, Place, fill, place
from tests.support.people import LOGIN, PASSWORD

pytestmark = pytest.mark.django_db

ANN = {"Email": "ann@acme.com", "Name": "Ann", "Role": "Admin"}
BOB = {"Email": "bob@acme.com", "Name": "Bob", "Role": "Clerk"}
COLUMNS = ["Email", "Password", "Name", "Role"]
EVERYTHING = {**OPEN, "include": COLUMNS}


def users(
    rules: Sequence[Any] = (OPEN,),
    rows: Sequence[dict[str, Any]] = (ANN, BOB),
    name: str = "Users",
    **login: Any,
) -> Place:
    definition = {"login": {**LOGIN["login"], **login}}
    people = [{**row, "Password": PASSWORD} for row in rows]
    return place(rules, people, name=name, columns=COLUMNS, definition=definition)


def sign_in(
    there: Place, email: Any = "ann@acme.com", password: Any = PASSWORD, **extra: Any
) -> Answer:
    body = {
        "passport": "dataSource",
        "dataSourceId": there.model.pk,
        "where": {"Email": email, "Password": password},
    }
    return calls.anonymous()("POST", "session/authorize", body, **extra)


def secret(there: Place, number: int = 0) -> str:
    found: str = there.stored[there.ids[number]]["Password"]
    return found


def denied(answer: Answer) -> bool:
    return answer.failure == (400, "datasource.access")


# -- signing in


def test_what_a_sign_in_answers() -> None:
    app = App.objects.create(name="An app")
    there = users([{**READ, "exclude": ["Role"]}])
    there.model.app = app
    there.model.save()
    answer = sign_in(there)
    assert answer.status == 200
    [session] = answer.json.values()
    assert list(answer.json) == ["session"]
    assert set(session) == {"auth_token", "user", "entries"}
    assert session["user"] == {
        "id": there.ids[0],
        "email": "ann@acme.com",
        "fullName": "Ann",
        "firstName": "",
        "lastName": "",
        "type": "dataSource",
    }
    assert session["entries"] == {
        "dataSource": {
            "id": there.ids[0],
            "dataSourceId": there.model.pk,
            "data": {"Email": "ann@acme.com", "Name": "Ann"},
        }
    }
    api = Api({"Auth-token": session.pop("auth_token")})
    assert api("GET", "session").json == {"session": session}
    assert api("GET", "user").json == {"user": session["user"]}


def test_by_name_and_whatever_the_case_of_the_address() -> None:
    there = users()
    body = {
        "passport": "dataSource",
        "dataSourceName": "Users",
        "where": {"Password": PASSWORD, "Email": "  ANN@Acme.com "},
    }
    answer = calls.anonymous()("POST", "session/authorize", body)
    assert answer.json["session"]["user"]["id"] == there.ids[0]


def test_all_that_is_wrong_answers_alike() -> None:
    there = users()
    fill(there, [{"Email": "Twice@acme.com", "Password": PASSWORD}, {"Email": "none@acme.com"}])
    Entry.objects.create(
        data_source=there.model,
        data={"Email": "twice@acme.com", "Password": secret(there)},
    )
    plain = place([OPEN], [{"Email": "ann@acme.com", "Password": PASSWORD}], name="Plain")
    wrong = [
        sign_in(there, password="wrong"),
        sign_in(there, password=secret(there)),
        sign_in(there, password=""),
        sign_in(there, email="nobody@acme.com"),
        sign_in(there, email="twice@acme.com"),
        sign_in(there, email="none@acme.com", password=""),
        sign_in(there, email=""),
        sign_in(there, email="%"),
        sign_in(plain),
    ]
    body = {"passport": "dataSource", "dataSourceName": "Absent", "where": {"a": "b", "c": "d"}}
    wrong.append(calls.anonymous()("POST", "session/authorize", body))
    assert {(answer.status, answer.text) for answer in wrong} == {(401, wrong[0].text)}
    assert wrong[0].json["type"] == "auth.invalid"


@pytest.mark.parametrize(
    "part",
    [
        {"where": {"Email": {"$ne": ""}, "Password": "x"}},
        {"where": {"Email": "ann@acme.com", "Password": {"$like": "%"}}},
        {"where": {"Email": "ann@acme.com", "Password": None}},
        {"where": {"Email": ["ann@acme.com"], "Password": "x"}},
        {"where": {"Email": 1, "Password": "x"}},
        {"where": []},
        {"where": None},
        {"where": {"Email": "ann@acme.com"}},
        {"passport": "saml"},
        {"passport": None},
        {"dataSourceId": None},
        {"dataSourceId": "1"},
        {"dataSourceId": True},
    ],
    ids=str,
)
def test_a_malformed_sign_in(part: dict[str, Any]) -> None:
    there = users()
    body = {
        "passport": "dataSource",
        "dataSourceId": there.model.pk,
        "where": {"Email": "ann@acme.com", "Password": PASSWORD},
        **part,
    }
    answer = calls.anonymous()("POST", "session/authorize", body)
    assert answer.failure == (400, "request.invalid")
    assert not LoginSession.objects.exists()


# -- the password is told by no endpoint, in no clause, by no rule

READERS: dict[str, list[dict[str, Any]]] = {
    "everything": [OPEN],
    "included by name": [{**OPEN, "include": COLUMNS}],
    "nothing else included": [{**OPEN, "include": ["Password"]}, OPEN],
    "nothing excluded": [{**OPEN, "exclude": []}],
    "for the user": [{**OPEN, "allow": {"user": {"Name": {"equals": "Ann"}}}}],
}


@pytest.mark.parametrize("rules", READERS.values(), ids=READERS)
def test_no_answer_has_the_password(rules: list[dict[str, Any]]) -> None:
    there = users(rules, sessionColumns=["Name", "Password"])
    hashes = [row["Password"] for row in there.stored.values()]
    api = calls.session(there.model, "ann@acme.com")
    entry = f"{there.data}/{there.ids[0]}"
    for answer in (
        api("POST", f"{there.data}/query", {}),
        api("POST", f"{there.data}/query", {"includePagination": True, "limit": 1}),
        api("GET", there.data),
        api("GET", entry),
        api("POST", f"{there.url}/commit", {"entries": [], "append": True}),
        api("PUT", entry, {"Name": "Ann"}),
        api("GET", "session"),
        api("GET", "user"),
        sign_in(there),
        api("GET", there.url),
        api("PUT", there.data, {"Email": "new@acme.com", "Password": "x"}),
        api("PUT", entry, {"Password": "brand new"}),
    ):
        for hashed in hashes:
            assert hashed.encode() not in answer.text
        assert b"brand new" not in answer.text and b"md5$" not in answer.text
        assert b'"Password":' not in answer.text
    for source in (calls.superuser()("GET", there.url), calls.superuser()("GET", "data-sources")):
        assert b"md5$" not in source.text


SPELLINGS = ["Password", "data.Password", "Password.x", "data.Password.x", "Password.0"]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("rules", READERS.values(), ids=READERS)
def test_no_clause_takes_the_password(rules: list[dict[str, Any]], name: str) -> None:
    there = users(rules)
    api = calls.session(there.model, "ann@acme.com")
    hashed = secret(there)
    clauses: list[dict[str, Any]] = [
        {"where": {name: hashed}},
        {"where": {name: {"$gt": "m"}}},
        {"where": {name: {"$like": "md5%"}}, "countOnly": True},
        {"where": {name: None}},
        {"where": {name: {"$exists": True}}},
        {"where": {"$or": [{"Name": "Ann"}, {name: {"$lt": "n"}}]}},
        {"where": {"$nor": [{name: {"$lt": "n"}}]}},
        {"where": {name: {"$not": {"$lt": "n"}}}},
        {"where": {name: {"$in": [hashed]}}},
        {"order": [[name, "ASC"]]},
        {"order": [["Name", "ASC"], [name, "DESC"]]},
        {"attributes": [name]},
        {"attributes": ["Name", name]},
        {"type": "delete", "where": {name: hashed}},
    ]
    for clause in clauses:
        assert denied(api("POST", f"{there.data}/query", clause)), clause
    assert denied(api("GET", f"{there.url}/indexes/{name}"))
    assert denied(api("GET", f"{there.url}/indexes/Name,{name}"))
    assert len(there.stored) == 2


@pytest.mark.parametrize("column", ["Pass.word", "data", "data.Password", "id", 'a"b', "100%"])
def test_a_password_column_of_any_name_is_hidden(column: str) -> None:
    definition = {"login": {"emailColumn": "E.mail", "passwordColumn": column}}
    rows = [{"E.mail": "a@b", column: PASSWORD}, {"E.mail": "b@b", column: PASSWORD}]
    there = place([OPEN], rows, name="Users", definition=definition)
    hashed = there.stored[there.ids[0]][column]
    assert check_password(PASSWORD, hashed)
    body = {
        "passport": "dataSource",
        "dataSourceName": "Users",
        "where": {"E.mail": "A@b", column: PASSWORD},
    }
    assert calls.anonymous()("POST", "session/authorize", body).status == 200
    api = calls.anonymous()
    for answer in (api("POST", f"{there.data}/query", {}), api("GET", there.data)):
        assert [set(row) for row in answer.rows] == [{"E.mail"}] * 2
    for name in (column, f"{column}.x"):
        clauses: list[dict[str, Any]] = [
            {"where": {name: hashed}},
            {"where": {name: {"$gt": ""}}, "countOnly": True},
        ]
        if name == column:
            spellings = [f"data.{name}", *([] if name == "id" else [name])]
            clauses += [{"order": [[spelling, "ASC"]]} for spelling in spellings]
            clauses += [{"attributes": [spelling]} for spelling in spellings]
        for clause in clauses:
            assert denied(api("POST", f"{there.data}/query", clause)), clause
        assert denied(api("GET", f"{there.url}/indexes/{quote(name, safe='')}"))


@pytest.mark.parametrize(
    "condition",
    [
        lambda guess: {"contains": guess},
        lambda guess: {"equals": guess},
        lambda guess: {"contains": "{{user.[Guess]}}"},
    ],
)
def test_a_rule_on_the_password_tells_nothing_of_it(condition: Callable[[str], Any]) -> None:
    """Who may change the rules is not by that who may read the hashes, letter by letter."""
    there = users()
    hashed = secret(there)
    seen = []
    for number, guess in enumerate((hashed[:6], hashed, "not it")):
        person = calls.person({"Guess": guess, "Email": f"p{number}@x"})
        try:
            save_rules(there.model, [{**READ, "require": [{"Password": condition(guess)}]}])
        except RulesInvalid:
            return
        like = {"$like": f"%{guess}%"}
        seen.append(
            [
                person("GET", f"{there.data}/{there.ids[0]}").status,
                *(
                    person("POST", f"{there.data}/query", body).text[:12]
                    for where in (guess, {"$eq": guess}, like, {"$in": [guess]})
                    for body in ({"where": {"Password": where}, "countOnly": True},)
                ),
            ]
        )
    assert seen[0] == seen[1] == seen[2]


def test_a_former_password_column_stays_hidden() -> None:
    there = users([OPEN])
    hashed = secret(there)
    for definition in ({}, {"login": {"emailColumn": "Email", "passwordColumn": "Role"}}):
        answer = calls.superuser()("PUT", there.url, {"definition": definition})
        assert answer.status == 200, answer
        api = calls.anonymous()
        for body in ({}, {"attributes": ["Password"]}, {"where": {"Password": hashed}}):
            assert hashed.encode() not in api("POST", f"{there.data}/query", body).text
        assert denied(api("POST", f"{there.data}/query", {"where": {"Password": hashed}}))
        assert denied(api("GET", f"{there.url}/indexes/Password"))
        assert b"md5$" not in api("GET", there.data).text


def test_elsewhere_a_column_called_password_is_like_any_other() -> None:
    there = place([OPEN], [{"Password": "plain"}])
    api = calls.anonymous()
    assert api("GET", there.data).rows == [{"Password": "plain"}]
    assert api("PUT", there.data, {"Password": "x"}).json["data"] == {"Password": "x"}
    assert api("GET", f"{there.url}/indexes/Password").json["indexes"]["Password"] == ["plain", "x"]


# -- hashed whichever way it is written

NEW = {"Email": "new@acme.com", "Password": "n3w"}
PASSWORD_WRITES: dict[str, Callable[[Api, Place], Answer]] = {
    "insert": lambda api, there: api("PUT", there.data, NEW),
    "insert of a form": lambda api, there: api(
        "PUT",
        there.data,
        raw=b"Email=new%40acme.com&Password=n3w",
        media="application/x-www-form-urlencoded",
    ),
    "update": lambda api, there: api("PUT", f"{there.data}/{there.ids[1]}", NEW),
    "bulk, appending": lambda api, there: api(
        "POST", there.data, {"append": True, "entries": [NEW]}
    ),
    "bulk, replacing": lambda api, there: api("POST", there.data, {"entries": [NEW]}),
    "commit of a new row": lambda api, there: api(
        "POST", f"{there.url}/commit", {"entries": [{"data": NEW}], "append": True}
    ),
    "commit of a merged row": lambda api, there: api(
        "POST",
        f"{there.url}/commit",
        {"entries": [{"id": there.ids[1], "data": NEW}], "append": True, "extend": True},
    ),
    "commit of a replaced row": lambda api, there: api(
        "POST", f"{there.url}/commit", {"entries": [{"id": there.ids[1], "data": NEW}]}
    ),
}


@pytest.mark.parametrize("write", PASSWORD_WRITES.values(), ids=PASSWORD_WRITES)
def test_every_write_hashes_a_password(write: Callable[[Api, Place], Answer]) -> None:
    there = users([EVERYTHING])
    answer = write(calls.anonymous(), there)
    assert answer.status == 200, answer
    assert b"n3w" not in answer.text
    [row] = [row for row in there.stored.values() if row["Email"] == "new@acme.com"]
    identify_hasher(row["Password"])
    assert check_password("n3w", row["Password"])
    assert sign_in(there, "new@acme.com", "n3w").status == 200


def test_a_creation_with_entries_hashes_passwords() -> None:
    body = {"name": "Users", "definition": LOGIN, "entries": [NEW, {"Email": "b@b"}]}
    answer = calls.superuser()("POST", "data-sources", body)
    assert answer.status == 201
    assert b"n3w" not in answer.text
    there = Place(DataSource.objects.get(), [])
    assert check_password("n3w", next(iter(there.stored.values()))["Password"])
    assert sign_in(there, "new@acme.com", "n3w").status == 200


def test_a_login_that_is_turned_on_later_hashes_what_is_there() -> None:
    there = place([OPEN], [NEW, {"Email": "b@b", "Password": ""}, {"Email": "c@b"}])
    assert calls.superuser()("PUT", there.url, {"definition": LOGIN}).status == 200
    assert check_password("n3w", secret(there))
    assert sign_in(there, "new@acme.com", "n3w").status == 200
    assert b"Password" not in calls.anonymous()("GET", there.data).text


@pytest.mark.parametrize(
    "planted",
    [
        "pbkdf2_sha256$20000000$salt$aGFzaA==",
        f"pbkdf2_sha256${10**400}$salt$aGFzaA==",
        "scrypt$1048576$salt$8$1$aGFzaA==",
        "scrypt$65536$salt$16$8$aGFzaA==",
    ],
)
def test_a_hash_does_not_say_how_long_a_sign_in_takes(
    planted: str, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    """Whoever could write the column before it held passwords could have put it there."""
    hashers = ["MD5PasswordHasher", "PBKDF2PasswordHasher", "ScryptPasswordHasher"]
    settings.PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{name}" for name in hashers]
    there = place([OPEN], [{"Email": "a@b", "Password": planted}])
    answer = calls.superuser()("PUT", there.url, {"definition": LOGIN})
    assert answer.failure == (400, "request.invalid")
    assert f"in entry {there.ids[0]} that takes more than 8 times" in answer.json["message"]
    assert secret(there) == planted
    # And one that was there in some other way is never right.
    people = users()
    Entry.objects.filter(pk=people.ids[0]).update(data={**ANN, "Password": planted})
    hashed: list[Any] = []
    monkeypatch.setattr(sign_in_module, "check_password", lambda *args: hashed.append(args))
    assert sign_in(people).status == 401
    assert hashed == []


class OfASite(BasePasswordHasher):
    """Django asks neither for `decode` nor for what it tells."""

    algorithm = "site"
    rounds = 3


def test_a_hash_of_another_age_or_kind_is_left_alone(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashers = ["PBKDF2PasswordHasher", "ScryptPasswordHasher", "PBKDF2SHA1PasswordHasher"]
    hashers += ["Argon2PasswordHasher", "BCryptSHA256PasswordHasher", "MD5PasswordHasher"]
    own = f"{__name__}.OfASite"
    settings.PASSWORD_HASHERS = [*(f"django.contrib.auth.hashers.{n}" for n in hashers), own]
    kept = [make_password(PASSWORD, hasher=n) for n in ("pbkdf2_sha256", "scrypt", "md5")]
    kept += [
        "pbkdf2_sha256$260000$salt$aGFzaA==",
        "pbkdf2_sha256$5000000$salt$aGFzaA==",
        "pbkdf2_sha256$x$salt$aGFzaA==",
        "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHQ$aGFzaA",
        "bcrypt_sha256$$2b$12$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijk",
        "site$1",
    ]
    assert all(is_hash(value) and not takes_too_long(value) for value in kept)
    monkeypatch.setattr(OfASite, "decode", lambda self, encoded: {"iterations": 10**9})
    assert not takes_too_long("site$1")
    monkeypatch.setattr(OfASite, "decode", lambda self, encoded: {"work_factor": 10})
    assert takes_too_long("site$1")
    monkeypatch.undo()
    there = place([OPEN], [{"Email": f"{n}@b", "Password": v} for n, v in enumerate(kept)])
    assert calls.superuser()("PUT", there.url, {"definition": LOGIN}).status == 200
    assert [row["Password"] for row in there.stored.values()] == kept


def test_a_hash_that_is_sent_is_a_password_like_any_other() -> None:
    """Else who has seen a hash could plant one whose password they know."""
    there = users([EVERYTHING])
    known = secret(there)
    calls.anonymous()("PUT", f"{there.data}/{there.ids[1]}", {"Password": known})
    assert secret(there, 1) != known
    assert sign_in(there, "bob@acme.com", PASSWORD).status == 401
    assert sign_in(there, "bob@acme.com", known).status == 200


@pytest.mark.parametrize("value", [1, True, [], ["x"], {"a": 1}, "x" * 5_000])
def test_a_password_is_text(value: Any) -> None:
    there = users([EVERYTHING])
    api, before = calls.anonymous(), there.stored
    row = {"Email": "new@acme.com", "Password": value}
    for answer in (
        api("PUT", there.data, row),
        api("PUT", f"{there.data}/{there.ids[0]}", row),
        api("POST", there.data, {"append": True, "entries": [row]}),
        api("POST", f"{there.url}/commit", {"append": True, "entries": [{"data": row}]}),
    ):
        assert answer.failure == (400, "request.invalid")
    assert there.stored == before


# -- who may write it


def test_a_password_is_inserted_only_where_include_names_it() -> None:
    for number, (rule, granted) in enumerate(
        [
            (OPEN, False),
            ({**OPEN, "exclude": ["Role"]}, False),
            ({**OPEN, "exclude": []}, False),
            ({**OPEN, "include": ["Email", "Name"]}, False),
            ({**OPEN, "include": ["Email", "Name", "Password"]}, True),
            ({**OPEN, "include": ["Email", "Password"], "exclude": ["Password"]}, True),
        ]
    ):
        there = users([rule], name=f"Users {number}")
        api = calls.anonymous()
        answers = [
            api("PUT", there.data, {"Email": "1@x", "Password": "x"}),
            api(
                "POST", there.data, {"append": True, "entries": [{"Email": "2@x", "Password": "x"}]}
            ),
            api(
                "POST",
                f"{there.url}/commit",
                {"append": True, "entries": [{"data": {"Email": "3@x", "Password": "x"}}]},
            ),
            api("PUT", f"{there.data}/{there.ids[1]}", {"Password": "x"}),
        ]
        assert [answer.status for answer in answers] == [200 if granted else 400] * 4, rule
        if not granted:
            assert len(there.stored) == 2
            assert check_password(PASSWORD, secret(there, 1))
        assert api("PUT", there.data, {"Email": "4@x"}).status == 200, rule


def test_ones_own_password_may_be_changed_by_who_may_change_the_row() -> None:
    mine = {**OPEN, "allow": "loggedIn"}
    for number, (rule, granted) in enumerate(
        [
            (mine, True),
            ({**mine, "exclude": ["Role"]}, True),
            ({**mine, "exclude": ["Password"]}, False),
            ({**mine, "include": ["Name"]}, False),
            ({**mine, "include": ["Name", "Password"]}, True),
            ({**mine, "type": ["select"]}, False),
        ]
    ):
        there = users([rule], name=f"Users {number}")
        ann = calls.session(there.model, "ann@acme.com")
        answer = ann("PUT", f"{there.data}/{there.ids[0]}", {"Password": "brand new"})
        assert answer.status == (200 if granted else 400), rule
        assert check_password("brand new" if granted else PASSWORD, secret(there)), rule


def test_anothers_password_may_not_be_changed_though_the_row_may() -> None:
    there = users([OPEN])
    ann = calls.session(there.model, "ann@acme.com")
    path = f"{there.data}/{there.ids[1]}"
    assert ann("PUT", path, {"Name": "Rob"}).status == 200
    assert denied(ann("PUT", path, {"Password": "x"}))
    for extend in (True, False):
        body = {"entries": [{"id": there.ids[1], "data": {"Password": "x"}}], "append": True}
        assert denied(ann("POST", f"{there.url}/commit", {**body, "extend": extend}))
    both = [{"id": there.ids[n], "data": {"Password": "x"}} for n in (0, 1)]
    body = {"entries": both, "append": True, "extend": True}
    assert denied(ann("POST", f"{there.url}/commit", body))
    assert check_password(PASSWORD, secret(there)) and check_password(PASSWORD, secret(there, 1))


def test_a_row_of_the_same_number_elsewhere_is_not_ones_own() -> None:
    there, other = users(), users(name="Others")
    ann = calls.session(there.model, "ann@acme.com")
    assert denied(ann("PUT", f"{other.data}/{other.ids[0]}", {"Password": "x"}))


def test_an_equality_of_a_rule_does_not_open_the_password() -> None:
    rule = {**OPEN, "include": ["Email"], "require": [{"Password": {"equals": "x"}}]}
    there = users([OPEN])
    try:
        save_rules(there.model, [rule])
    except RulesInvalid:
        return
    answer = calls.anonymous()("PUT", there.data, {"Email": "new@acme.com", "Password": "x"})
    assert denied(answer)


def test_replacing_a_row_keeps_its_password() -> None:
    there = users([EVERYTHING])
    hashed = secret(there)
    body = {"entries": [{"id": there.ids[0], "data": {"Email": "ann@acme.com"}}], "append": True}
    answer = calls.anonymous()("POST", f"{there.url}/commit", body)
    assert answer.status == 200
    assert there.stored[there.ids[0]] == {"Email": "ann@acme.com", "Password": hashed}
    assert sign_in(there).status == 200


def test_only_declared_columns_are_written() -> None:
    there = users([EVERYTHING, OPEN])
    api, before = calls.anonymous(), there.stored
    row = {"Email": "new@acme.com", "Staff": True}
    entry = f"{there.data}/{there.ids[0]}"
    for answer in (
        api("PUT", there.data, row),
        api("PUT", entry, {"Staff": True}),
        api("PUT", entry, raw=b"Staff=1", media="application/x-www-form-urlencoded"),
        api("POST", there.data, {"append": True, "entries": [row]}),
        api("POST", f"{there.url}/commit", {"append": True, "entries": [{"data": row}]}),
        api(
            "POST",
            f"{there.url}/commit",
            {"append": True, "extend": True, "entries": [{"id": there.ids[0], "data": row}]},
        ),
    ):
        assert denied(answer)
    assert there.stored == before
    there.model.refresh_from_db()
    assert there.model.columns == COLUMNS


# -- one address, one row

SAME = ["ann@acme.com", "ANN@ACME.COM", " ann@acme.com", "Ann@acme.com \t", "\u00a0ann@acme.com\n"]


@pytest.mark.parametrize("email", SAME, ids=ascii)
def test_no_write_gives_two_rows_one_address(email: str) -> None:
    there = users([OPEN])
    api, before = calls.anonymous(), there.stored
    many = [{"Email": f"{n}@x"} for n in range(15)]
    insert: dict[str, Any] = {"message": "insert"}
    update = {"message": "update"}
    for verb, method, path, body in [
        (insert, "PUT", there.data, {"Email": email}),
        (update, "PUT", f"{there.data}/{there.ids[1]}", {"Email": email}),
        (insert, "POST", there.data, {"append": True, "entries": [{"Email": email}]}),
        (insert, "POST", there.data, {"append": True, "entries": [*many, {"Email": email}]}),
        (insert, "POST", there.data, {"entries": [{"Email": "ann@acme.com"}, {"Email": email}]}),
        (insert, "POST", there.data, {"entries": [{"Email": email}, *many, {"Email": SAME[0]}]}),
        (
            insert,
            "POST",
            f"{there.url}/commit",
            {"append": True, "entries": [{"data": {"Name": "x"}}, {"data": {"Email": email}}]},
        ),
        (
            update,
            "POST",
            f"{there.url}/commit",
            {"append": True, "entries": [{"id": there.ids[1], "data": {"Email": email}}]},
        ),
        (
            update,
            "POST",
            f"{there.url}/commit",
            {
                "append": True,
                "extend": True,
                "entries": [
                    {"id": n, "data": {"Email": f" {mail}"}}
                    for n, mail in zip(there.ids, ["zoe@acme.com", "Zoe@acme.com"], strict=True)
                ],
            },
        ),
    ]:
        answer = api(method, path, body)
        assert denied(answer), (path, body)
        assert answer.json["payload"] == {"dataSourceId": there.model.pk}
        assert f"to {verb['message']} data" in answer.json["message"]
        assert there.stored == before


@pytest.mark.parametrize(
    ("first", "second"),
    [("ÄNN@x.de", "änn@x.de"), ("ΣΑΣ@x.gr", "σασ@x.gr"), ("a%b@x", "A%B@X"), ("a_b@x", "A_B@x")],
)
def test_case_is_of_every_script(first: str, second: str) -> None:
    there = users([OPEN], [{**ANN, "Email": first}])
    api = calls.anonymous()
    assert denied(api("PUT", there.data, {"Email": second}))
    assert sign_in(there, second).status == 200
    assert api("PUT", there.data, {"Email": f"{second}x"}).status == 200


def test_addresses_may_be_swapped_and_taken_over_in_one_commit() -> None:
    there = users([OPEN])
    api = calls.anonymous()
    ann, bob = there.ids
    swap = [
        {"id": ann, "data": {"Email": "bob@acme.com"}},
        {"id": bob, "data": {"Email": "ann@acme.com"}},
    ]
    body = {"entries": swap, "append": True, "extend": True}
    assert api("POST", f"{there.url}/commit", body).status == 200
    body = {"entries": [{"data": {"Email": "Ann@acme.com"}}], "delete": [bob], "append": True}
    assert api("POST", f"{there.url}/commit", body).status == 200
    body = {"entries": [{"Email": "ann@acme.com"}, {"Email": "bob@acme.com"}]}
    assert api("POST", there.data, body).status == 200
    assert [row["Email"] for row in there.stored.values()] == ["ann@acme.com", "bob@acme.com"]


def test_what_is_no_address_may_stand_in_two_rows() -> None:
    there = users([OPEN])
    api = calls.anonymous()
    for email in ("", "  ", None, 5, ["ann@acme.com"], {"a": "ann@acme.com"}, True):
        for _ in range(2):
            assert api("PUT", there.data, {"Email": email}).status == 200, email
    assert sign_in(there).status == 200


def test_a_row_may_keep_its_own_address() -> None:
    there = users([OPEN])
    path = f"{there.data}/{there.ids[0]}"
    for email in SAME:
        assert calls.anonymous()("PUT", path, {"Email": email, "Name": "A"}).status == 200


def test_a_creation_with_one_address_twice_makes_nothing() -> None:
    rows = [{"Email": "a@b", "Password": "x"}, {"Email": " A@B"}]
    body = {"name": "Users", "definition": LOGIN, "entries": rows}
    answer = calls.superuser()("POST", "data-sources", body)
    assert answer.status == 400
    assert not DataSource.objects.exists() and not Entry.objects.exists()


def at_once(count: int, job: Callable[[int], Any]) -> list[Any]:
    """The results of jobs that begin together, each in a thread and on a connection of its own."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            results[number] = job(number)
        except BaseException as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[n]) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["insert", "update", "bulk", "commit", "mixed"])
def test_at_once_no_two_rows_get_one_address(how: str) -> None:
    there = users([EVERYTHING], [{**ANN, "Email": f"{n}@x"} for n in range(4)])
    wanted = ["new@x", "NEW@x", " new@X", "New@x "]

    def write(number: int) -> int:
        api, email = calls.anonymous(), wanted[number]
        kind = ["insert", "update", "bulk", "commit"][number] if how == "mixed" else how
        if kind == "insert":
            return api("PUT", there.data, {"Email": email}).status
        if kind == "update":
            return api("PUT", f"{there.data}/{there.ids[number]}", {"Email": email}).status
        if kind == "bulk":
            return api("POST", there.data, {"append": True, "entries": [{"Email": email}]}).status
        body = {"append": True, "extend": True}
        entries = [{"data": {"Email": email}}, {"id": there.ids[number], "data": {"Name": "x"}}]
        return api("POST", f"{there.url}/commit", {**body, "entries": entries}).status

    assert sorted(at_once(4, write)) == [200, 400, 400, 400]
    held = [str(row.get("Email")).strip().lower() for row in there.stored.values()]
    assert held.count("new@x") == 1


# -- how a session ends


def changed_address(there: Place) -> Answer:
    return calls.anonymous()("PUT", f"{there.data}/{there.ids[0]}", {"Email": "anna@acme.com"})


def changed_password(there: Place) -> Answer:
    return calls.anonymous()("PUT", f"{there.data}/{there.ids[0]}", {"Password": "other"})


def cleared_password(there: Place) -> Answer:
    return calls.anonymous()("PUT", f"{there.data}/{there.ids[0]}", {"Password": ""})


def same_password_again(there: Place) -> Answer:
    return calls.anonymous()("PUT", f"{there.data}/{there.ids[0]}", {"Password": PASSWORD})


def removed(there: Place) -> Answer:
    return calls.anonymous()("DELETE", f"{there.data}/{there.ids[0]}")


def removed_by_query(there: Place) -> Answer:
    body = {"type": "delete", "where": {"Name": "Ann"}}
    return calls.anonymous()("POST", f"{there.data}/query", body)


def removed_by_commit(there: Place) -> Answer:
    body = {"entries": [], "delete": [there.ids[0]], "append": True}
    return calls.anonymous()("POST", f"{there.url}/commit", body)


def replaced_by_bulk(there: Place) -> Answer:
    return calls.anonymous()("POST", there.data, {"entries": [{**ANN, "Password": PASSWORD}]})


def no_login_any_more(there: Place) -> Answer:
    return calls.superuser()("PUT", there.url, {"definition": {}})


def other_password_column(there: Place) -> Answer:
    definition = {"login": {"emailColumn": "Email", "passwordColumn": "Name"}}
    return calls.superuser()("PUT", there.url, {"definition": definition})


def other_address_column(there: Place) -> Answer:
    definition = {"login": {"emailColumn": "Name", "passwordColumn": "Password"}}
    return calls.superuser()("PUT", there.url, {"definition": definition})


def no_data_source_any_more(there: Place) -> Answer:
    return calls.superuser()("DELETE", there.url)


ENDS = [
    changed_address,
    changed_password,
    cleared_password,
    same_password_again,
    removed,
    removed_by_query,
    removed_by_commit,
    replaced_by_bulk,
    no_login_any_more,
    other_password_column,
    other_address_column,
    no_data_source_any_more,
]


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_session(end: Callable[[Place], Answer]) -> None:
    there = users([EVERYTHING])
    other = place([READ], [{"Name": "x"}], name="Other")
    ann, bob = calls.session(there.model, "ann@acme.com"), calls.session(there.model, BOB["Email"])
    answer = end(there)
    assert answer.status == 200, answer
    for path in ("session", "user", other.data, there.data, "nothing"):
        assert ann("GET", path).failure == (401, "auth.invalid")
    if end in (changed_address, changed_password, cleared_password, removed, removed_by_commit):
        assert bob("GET", "session").status == 200


def test_a_session_ended_does_not_come_back() -> None:
    there = users([EVERYTHING])
    ann = calls.session(there.model, "ann@acme.com")
    removed_by_commit(there)
    fill(there, [{**ANN, "Password": PASSWORD}])
    assert ann("GET", "session").failure == (401, "auth.invalid")


def test_a_session_survives_the_edit_of_its_row_and_sees_it() -> None:
    there = users([EVERYTHING])
    rule = {**READ, "allow": {"user": {"Role": {"equals": "Admin"}}}}
    other = place([rule], [{"Name": "x"}], name="Other")
    ann = calls.session(there.model, "ann@acme.com")
    path = f"{there.data}/{there.ids[0]}"
    assert ann("GET", other.data).status == 200
    calls.anonymous()("PUT", path, {"Role": "Clerk", "Name": "Anna", "Email": "Ann@ACME.com"})
    assert denied(ann("GET", other.data))
    assert ann("GET", "user").json["user"]["fullName"] == "Anna"
    calls.anonymous()("PUT", path, {"Role": "Admin"})
    assert ann("GET", other.data).status == 200


def test_signing_out() -> None:
    there = users()
    ann, again = (calls.session(there.model, "ann@acme.com") for _ in range(2))
    assert ann("POST", "session/logout").json == {}
    assert ann("GET", "session").failure == (401, "auth.invalid")
    assert ann("POST", "session/logout").failure == (401, "auth.invalid")
    assert again("GET", "session").status == 200
    assert calls.anonymous()("POST", "session/logout").failure == (401, "auth.required")
    token = calls.bare_token()[1]
    assert token("POST", "session/logout").json == {}
    assert token("GET", "user").status == 200


# -- who the user is, and what they are told


def test_a_session_is_told_no_more_than_it_may_see() -> None:
    for rules, told in [
        ([], {"Email"}),
        ([{**READ, "include": ["Name"]}], {"Email", "Name"}),
        ([{**READ, "exclude": ["Email", "Role"]}], {"Email", "Name"}),
        ([{**READ, "require": [{"Name": {"equals": "Bob"}}]}], {"Email"}),
        ([{**READ, "require": [{"Name": {"equals": "Ann"}}]}], {"Email", "Name", "Role"}),
        ([{"type": ["insert", "update"], "allow": "all"}], {"Email"}),
    ]:
        there = users(rules, name=f"Users {len(DataSource.objects.all())}")
        answer = sign_in(there)
        assert set(answer.json["session"]["entries"]["dataSource"]["data"]) == told, rules
        ann = Api({"Auth-token": answer.json["session"]["auth_token"]})
        for path in ("session", "user"):
            text = ann("GET", path).text
            assert (b"Admin" in text) is ("Role" in told and path == "session")
            assert (b"Ann" in text) is ("Name" in told)
        # What it is not told, rules still see.
        rule = {**READ, "allow": {"user": {"Role": {"equals": "Admin"}}}}
        hidden = place([rule], [{"N": 1}], name=f"Other {there.model.pk}")
        assert ann("GET", hidden.data).rows == [{"N": 1}]


def test_session_columns_are_told_though_no_rule_shows_them() -> None:
    there = users([], sessionColumns=["Role", "Password", "Missing"])
    data = sign_in(there).json["session"]["entries"]["dataSource"]["data"]
    assert data == {"Email": "ann@acme.com", "Role": "Admin"}


def test_the_server_says_who_it_is() -> None:
    """Columns called `ID` and `Source` count for nothing."""
    columns = [*COLUMNS, "ID", "Source"]
    row = {**ANN, "ID": 999, "Source": "django", "Password": PASSWORD}
    there = place([OPEN], [row], name="Users", columns=columns, definition=LOGIN)
    ann = calls.session(there.model, "ann@acme.com")
    for number, (condition, granted) in enumerate(
        [
            ({"Source": {"equals": "Users"}}, True),
            ({"Source": {"equals": "django"}}, False),
            ({"ID": {"equals": there.ids[0]}}, True),
            ({"ID": {"equals": 999}}, False),
            ({"ID": {"equals": str(there.ids[0])}}, False),
            ({"ID": {"equals": there.ids[0]}, "Source": {"equals": "Users"}}, True),
        ]
    ):
        other = place([{**READ, "allow": {"user": condition}}], [{}], name=f"Other {number}")
        assert ann("GET", other.data).status == (200 if granted else 400), condition
    assert ann("GET", "user").json["user"]["id"] == there.ids[0]


def test_who_a_credential_stands_for() -> None:
    token, api = calls.bare_token()
    assert api("GET", "user").json == {
        "user": {
            "id": token.pk,
            "email": None,
            "fullName": "a token",
            "firstName": "",
            "lastName": "",
            "type": "appToken",
        }
    }
    user = calls.django_user(email="d@x", first_name="Di", last_name="Doe")
    assert calls.on_site(user)("GET", "user").json == {
        "user": {
            "id": f"django:{user.pk}",
            "email": "d@x",
            "fullName": "Di Doe",
            "firstName": "Di",
            "lastName": "Doe",
            "type": "django",
        }
    }
    assert set(calls.on_site(user)("GET", "session").json["session"]) == {"user"}
    for path in ("user", "session"):
        assert calls.anonymous()("GET", path).failure == (401, "auth.required")
        assert calls.revoked_token()("GET", path).failure == (401, "auth.invalid")


def test_a_session_has_the_app_of_its_data_source() -> None:
    app, other_app = App.objects.create(name="One"), App.objects.create(name="Two")
    there = users()
    there.model.app = app
    saving.save(there.model)
    ann = calls.session(there.model, "ann@acme.com")
    mine = place([{**READ, "appId": [app.pk]}], [{}], name="Mine")
    other = place([{**READ, "appId": [other_app.pk]}], [{}], name="Other")
    assert ann("GET", mine.data).status == 200
    assert denied(ann("GET", other.data))
    for headers in ({"App-Id": str(other_app.pk)}, {"X-App": str(other_app.pk)}):
        assert denied(ann("GET", f"{other.data}?appId={other_app.pk}", headers=headers))


# -- the site's own users


def test_the_sites_own_session_needs_the_csrf_token() -> None:
    there = place([{**OPEN, "allow": {"user": {"Source": {"equals": "django"}}}}], [{"N": 1}])
    api = calls.on_site(calls.django_user(), csrf=True)
    assert api("GET", there.data).rows == [{"N": 1}]
    entry = f"{there.data}/{there.ids[0]}"
    asks = [
        ("POST", f"{there.data}/query", {}),
        ("PUT", there.data, {"N": 2}),
        ("POST", there.data, {"entries": []}),
        ("PUT", entry, {"N": 2}),
        ("DELETE", entry, None),
        ("POST", f"{there.url}/commit", {"entries": []}),
        ("POST", "session/logout", None),
        ("POST", "session/authorize", {}),
        ("POST", "data-sources", {"name": "x"}),
    ]
    for method, path, body in asks:
        for headers in ({}, {"X-CSRFToken": "y" * 32}, {"Referer": "http://testserver/"}):
            answer = api(method, path, body, headers=headers)
            assert answer.failure == (403, "auth.csrf"), (method, path)
    assert there.stored == {there.ids[0]: {"N": 1}}
    api.client.cookies["csrftoken"] = "x" * 32
    headers = {"X-CSRFToken": "x" * 32}
    assert api("PUT", entry, {"N": 2}, headers=headers).json["data"] == {"N": 2}
    assert api("PUT", entry, {"N": 3}, headers={"X-CSRFToken": "z" * 32}).failure[0] == 403
    foreign = {**headers, "Origin": "http://evil.example"}
    assert api("PUT", entry, {"N": 3}, headers=foreign).failure == (403, "auth.csrf")
    assert api("POST", "session/logout", headers=headers).json == {}
    assert api("GET", "user").failure == (401, "auth.required")


def test_with_a_header_the_sites_session_is_not_read() -> None:
    there = place([OPEN], [{"N": 1}])
    api = calls.on_site(calls.django_user(is_superuser=True), csrf=True)
    _, token = calls.bare_token()
    answer = api("PUT", there.data, {"N": 2}, headers=token.headers)
    assert answer.status == 200
    assert api("GET", "user", headers=token.headers).json["user"]["type"] == "appToken"
    assert api("GET", "data-sources", headers=token.headers).failure == (403, "auth.forbidden")
    bad = {"Auth-token": "rk_" + "x" * 43}
    assert api("GET", "user", headers=bad).failure == (401, "auth.invalid")


def test_what_rules_see_of_a_django_user() -> None:
    group = Group.objects.create(name="editors")
    user = calls.django_user(email="d@x", first_name="Di", last_name="Doe", is_staff=True)
    user.groups.add(group)
    api = calls.on_site(user)
    for number, (condition, granted) in enumerate(
        [
            ({"Source": {"equals": "django"}}, True),
            ({"ID": {"equals": f"django:{user.pk}"}}, True),
            ({"ID": {"equals": user.pk}}, False),
            ({"Username": {"equals": user.username}}, True),
            ({"Email": {"equals": "d@x"}, "First Name": {"equals": "Di"}}, True),
            ({"Groups": {"contains": "editors"}}, True),
            ({"Groups": {"contains": "editor"}}, False),
            ({"Groups": {"equals": "editors"}}, False),
            ({"Staff": {"equals": True}}, True),
            ({"Staff": {"equals": 1}}, False),
            ({"password": {"contains": "md5"}}, False),
            ({"is_superuser": {"notequals": True}}, True),
        ]
    ):
        there = place([{**READ, "allow": {"user": condition}}], [{}], name=f"Things {number}")
        assert api("GET", there.data).status == (200 if granted else 400), condition
    user.is_active = False
    user.save()
    assert api("GET", "user").failure == (401, "auth.required")


def test_a_token_in_the_query_or_a_cookie_is_none() -> None:
    there = users()
    token = sign_in(there).json["session"]["auth_token"]
    api = calls.anonymous()
    assert api("GET", f"user?auth_token={token}").failure == (401, "auth.required")
    api.client.cookies["auth_token"] = token
    assert api("GET", "user").failure == (401, "auth.required")
    assert api("GET", "user", headers={"Auth-token": ""}).failure == (401, "auth.required")
    basic = {"Authorization": "Basic YTpi"}
    assert api("GET", "user", headers=basic).failure == (401, "auth.required")


# -- how often


def forged(number: int) -> dict[str, str]:
    address = f"203.0.{number >> 8}.{number & 255}"
    return {
        "X-Forwarded-For": address,
        "X-Real-IP": address,
        "Forwarded": f"for={address}",
        "Client-IP": address,
        "True-Client-IP": address,
    }


def test_an_account_is_closed_after_ten_failures_however_they_come() -> None:
    there = users()
    emails = ["ann@acme.com", " ANN@acme.com", "Ann@Acme.com\t"]
    for number in range(10):
        answer = sign_in(
            there,
            emails[number % 3],
            "wrong",
            headers=forged(number),
            REMOTE_ADDR=f"2001:db8::{number}",
        )
        assert answer.failure == (401, "auth.invalid")
    answer = sign_in(there, headers=forged(99), REMOTE_ADDR="2001:db8::99")
    assert answer.failure == (429, "request.limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 901
    assert sign_in(there, "bob@acme.com", REMOTE_ADDR="2001:db8::99").status == 200
    # A session that was there before goes on.
    assert LoginSession.objects.count() == 1


def test_an_address_is_closed_after_sixty_attempts_whatever_it_claims() -> None:
    there = users()
    for number in range(60):
        answer = sign_in(there, f"{number}@x", "wrong", headers=forged(number))
        assert answer.failure == (401, "auth.invalid")
    assert sign_in(there, headers=forged(77)).failure == (429, "request.limited")
    assert sign_in(there, REMOTE_ADDR="198.51.100.7").status == 200


def test_behind_a_proxy_of_ones_own_the_last_address_counts(settings: LazySettings) -> None:
    settings.ROWKEEPER = {"TRUSTED_PROXIES": 1, "SIGN_IN_ATTEMPTS_PER_ADDRESS": 3}
    there = users()

    def attempt(header: str) -> int:
        return sign_in(there, "x@x", "wrong", headers={"X-Forwarded-For": header}).status

    assert [attempt(f"1.1.1.{n}, 9.9.9.9") for n in range(4)] == [401, 401, 401, 429]
    assert attempt("9.9.9.9, 8.8.8.8") == 401


def test_an_unknown_account_is_limited_alike() -> None:
    """Else the limit would tell which addresses there are."""
    there = users()
    statuses = [sign_in(there, "nobody@acme.com", "x").status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    known = [sign_in(there, "ann@acme.com", "x").status for _ in range(11)]
    assert known == statuses


def test_a_right_password_forgives() -> None:
    there = users()
    for _ in range(3):
        for _ in range(9):
            assert sign_in(there, password="wrong", REMOTE_ADDR="198.51.100.7").status == 401
        cache_is_kept = sign_in(there, REMOTE_ADDR="198.51.100.7")
        assert cache_is_kept.status == 200


def test_a_malformed_attempt_is_none() -> None:
    there = users()
    for _ in range(70):
        assert sign_in(there, password=None).status == 400
    assert sign_in(there).status == 200


def test_rules_can_be_tested_with_what_was_sent_nowhere() -> None:
    """The identity is never taken from a body, a query string or a free-form header."""
    rule = {**OPEN, "allow": {"user": {"Role": {"equals": "Admin"}}}}
    there = place([rule], [{"N": 1}])
    for api in (calls.anonymous(), calls.person({"Role": "Clerk"}), calls.bare_token()[1]):
        headers = {"Role": "Admin", "X-User": json.dumps(ANN), "Remote-User": "ann@acme.com"}
        body = {"where": {}, "user": ANN, "identity": {"user": ANN}, "session": ANN}
        path = f"{there.data}/query?Role=Admin&user={json.dumps(ANN)}"
        assert api("POST", path, body, headers=headers).status in (400, 401)
