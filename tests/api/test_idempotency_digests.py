"""What is stored of a request with an `Idempotency-Key` tells nobody the passwords in it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from django.conf import LazySettings
from django.forms import model_to_dict

from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.models import IdempotencyKey
from rowkeeper.rules.repository.rules import save_rules
from tests.support.calls import OPEN, Answer, Api, bare_token
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db
SECRET = "tiger"
KEY = "retry 1"


@pytest.fixture
def people() -> DataSource:
    found = sign_in_source("People", [{"Email": "ann@acme.com"}])
    save_rules(found, [{**OPEN, "include": ["Email", "Password"]}])
    return found


def requests(people: DataSource) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every write that can set a password: method, path, body."""
    row = {"Email": "bob@acme.com", "Password": SECRET}
    url = f"data-sources/{people.pk}"
    yield "PUT", f"{url}/data", row
    yield "PUT", f"{url}/data/{people.entries.get().pk}", {"Password": SECRET}
    yield "POST", f"{url}/data", {"append": True, "entries": [row]}
    yield "POST", f"{url}/commit", {"append": True, "entries": [{"data": row}]}


def send(api: Api, method: str, path: str, body: Any) -> Answer:
    return api(method, path, body, headers={"Idempotency-Key": KEY})


def guesses(parts: list[str], password: str) -> set[str]:
    """What somebody with the database can compute for a password, however the parts are joined."""
    found = set()
    for size in range(1, 4):
        for some in permutations([part.replace(SECRET, password) for part in parts], size):
            for glue in ("", "\n", " ", "\0"):
                text = glue.join(some).encode()
                found.add(hashlib.sha256(text).hexdigest())
                # The digest of the body in place of the body.
                body = hashlib.sha256(some[-1].encode()).digest()
                head = (glue.join(some[:-1]) + glue).encode()
                found.add(hashlib.sha256(head + body).hexdigest())
                found.add(hmac.digest(KEY.encode(), text, "sha256").hex())
    return found


@pytest.mark.parametrize("number", range(4))
def test_nobody_guesses_a_password_by_the_database(people: DataSource, number: int) -> None:
    _, api = bare_token()
    method, path, body = list(requests(people))[number]
    assert send(api, method, path, body).status == 200
    row = IdempotencyKey.objects.get()
    stored = {value for value in model_to_dict(row).values() if isinstance(value, str)}
    parts = [f"{method} /v1/{path}", f"{method} /v1/{path}\n", json.dumps(body), row.credential]
    parts += [json.dumps(body, separators=(",", ":")), row.key, KEY]
    assert not guesses(parts, SECRET) & (stored - {row.key})
    # Nor is the password or its hash in what is kept of the answer.
    hashes = [entry["Password"] for entry in Entry.objects.values_list("data", flat=True)]
    assert not any(text in row.outcome for text in (SECRET, *hashes))


def test_the_digest_needs_what_only_the_client_has(
    people: DataSource, settings: LazySettings
) -> None:
    """Two clients, and two keys, have nothing in common, even for who knows the secret key."""
    method, path, body = next(requests(people))
    for number, key in enumerate(("a", "a", "b")):
        _, api = bare_token()
        row = {**body, "Email": "same@acme.com"}
        Entry.objects.filter(data__Email="same@acme.com").delete()
        answer = api(method, path, row, headers={"Idempotency-Key": key})
        assert answer.status == 200, number
    assert len(set(IdempotencyKey.objects.values_list("request", flat=True))) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_another_secret_key(people: DataSource, settings: LazySettings, kept: bool) -> None:
    """A retry is answered if the old key is a fallback; without it, it is not carried out again."""
    _, api = bare_token()
    method, path, body = next(requests(people))
    assert send(api, method, path, body).status == 200
    before = Entry.objects.count()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if kept else []
    settings.SECRET_KEY = "another secret key"
    answer = send(api, method, path, body)
    if kept:
        assert answer.status == 200 and answer.headers["Idempotency-Replayed"] == "true"
        other = send(api, method, path, {**body, "Password": "lion"})
        assert other.failure == (409, "request.conflict")
    else:
        assert answer.failure == (409, "request.conflict")
    assert Entry.objects.count() == before


def test_another_password_is_another_request(people: DataSource) -> None:
    _, api = bare_token()
    method, path, body = next(requests(people))
    assert send(api, method, path, body).status == 200
    assert send(api, method, path, {**body, "Password": "lion"}).status == 409
