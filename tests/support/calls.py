"""Asking the API as a client would, for the tests: JSON in, JSON out, every failure well-formed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import Permission, User
from django.test import Client
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.login.sign_in import authorize
from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.accounts.tokens import create_api_token, revoke
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.api.errors import STATUS
from rowkeeper.rules.repository.rules import save_rules
from tests.support.people import PASSWORD, sign_in_source

OPEN: dict[str, Any] = {"type": ["select", "insert", "update", "delete"], "allow": "all"}
READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
_addresses = itertools.count(1)
_people = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: bytes
    headers: Mapping[str, str]
    # Of a denial; taken off the text, as it is another each time.
    request_id: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def failure(self) -> tuple[int, str]:
        """The status and the `type` of an error."""
        return self.status, self.json.get("type")

    @property
    def entries(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.text
        found: list[dict[str, Any]] = self.json["entries"]
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [entry["data"] for entry in self.entries]


class Api:
    """One caller: `api("POST", "data-sources/1/data/query", {"where": {}})`."""

    def __init__(self, headers: Mapping[str, str] | None = None, client: Client | None = None):
        self.headers = dict(headers or {})
        self.client = client or Client(raise_request_exception=False)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Answer:
        """`body` is sent as JSON, `raw` as it is; a failure that is not as documented fails."""
        response = self.respond(method, path, body, raw=raw, media=media, headers=headers, **extra)
        text = b"".join(response.streaming_content) if response.streaming else response.content
        text, request_id = without_id(text)
        answer = Answer(response.status_code, text, response.headers, request_id)
        check_shape(method, answer)
        return answer

    def respond(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Any:
        """The response as Django gives it, which may be streamed and is not read here."""
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(
            method,
            f"/v1/{path}",
            data,
            content_type=media,
            headers={**self.headers, **(headers or {})},
            **extra,
        )


class SourceApi(Api):
    """One caller and one data source. The responses are Django's."""

    def __init__(self, model: DataSource, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers, Client())
        self.model = model

    @property
    def url(self) -> str:
        """The address of the data source."""
        return f"/v1/data-sources/{self.model.pk}"

    def send(self, method: str, url: str, sent: Any = None) -> Any:
        """Any request; `url` is the part after that of the data source."""
        return self.respond(method, f"data-sources/{self.model.pk}{url}", sent)

    def query(self, **asked: Any) -> Any:
        """`POST data/query`."""
        return self.send("POST", "/data/query", asked)

    def index(self, *columns: str) -> Any:
        """`GET indexes/A,B`; a comma in a name is encoded twice."""
        names = ",".join(quote(quote(c, safe="") if "," in c else c, safe="") for c in columns)
        return self.send("GET", f"/indexes/{names}")

    def rows(self, **asked: Any) -> list[dict[str, Any]]:
        """The rows of a select that has to be answered."""
        response = self.query(**asked)
        assert response.status_code == 200, (asked, response.content)
        return [entry["data"] for entry in response.json()["entries"]]

    def ids(self) -> list[int]:
        """The IDs of all entries."""
        return list(self.model.entries.order_by("id").values_list("id", flat=True))


DENIED = (400, "datasource.access")
INVALID = (400, "request.invalid")
LOGIN = (401, "auth.required")


def json_of(response: Any) -> Any:
    """The JSON of a response, streamed or not."""
    return json.loads(response.getvalue())


def failure_of(response: Any) -> tuple[int, str | None]:
    """The status, and the type of a failure, which has a message too; None if it is none."""
    if response.status_code == 200:
        return 200, None
    told = json_of(response)
    assert told["message"]
    return response.status_code, told["type"]


def without_id(text: bytes) -> tuple[bytes, str]:
    """The body of a denial without its `requestId`, and that."""
    found = re.search(rb',"requestId":"([0-9a-f]{32})"}\Z', text)
    return (text, "") if found is None else (text[: found.start()] + b"}", found[1].decode())


def check_shape(method: str, answer: Answer) -> None:
    """JSON whatever happens; an error has a message, a known type and the status of that type."""
    assert answer.headers["Content-Type"] == "application/json", answer
    if method == "HEAD":
        assert answer.text == b""
        return
    for trace in (b"Traceback", b"<html", b"<!DOCTYPE", b"site-packages", b'File \\"'):
        assert trace not in answer.text
    body = answer.json
    if answer.status >= 400:
        assert set(body) - {"payload"} == {"message", "type"}, body
        assert isinstance(body["message"], str) and body["message"]
        # A denial quotes the reference as it was sent.
        assert "\n" not in body["message"] or body["type"] == "datasource.access"
        assert STATUS[body["type"]] == answer.status
        if answer.status in (429, 503):
            assert int(answer.headers["Retry-After"]) > 0
        if body["type"] == "datasource.access":
            assert set(body) == {"message", "type", "payload"}, body
            assert answer.request_id == answer.headers["X-Request-Id"] != ""


# -- data sources


@dataclass(frozen=True, slots=True)
class Place:
    """A data source and its entries, in the order in which they were made."""

    model: DataSource
    ids: list[int]

    @property
    def url(self) -> str:
        return f"data-sources/{self.model.pk}"

    @property
    def data(self) -> str:
        return f"{self.url}/data"

    @property
    def stored(self) -> dict[int, dict[str, Any]]:
        """What the database holds now."""
        found = Entry.objects.filter(data_source=self.model).order_by("id")
        return dict(found.values_list("id", "data"))


def data_source(
    name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], rules: Any
) -> DataSource:
    """A data source with these rows, saved with these rules."""
    model = DataSource.objects.create(name=name, columns=list(columns))
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, list(rows))
    save_rules(model, rules)
    return model


def place(
    rules: Sequence[Any] = (OPEN,),
    rows: Sequence[dict[str, Any]] = (),
    name: str = "Things",
    columns: Sequence[str] | None = None,
    **fields: Any,
) -> Place:
    """A data source with these rules and rows."""
    names = dict.fromkeys(key for row in rows for key in row)
    model = DataSource(name=name, columns=list(columns or names), **fields)
    saving.save(model)
    source = registry.source_of(model)
    with store.writing(source, names):
        made = store.insert(source, [dict(row) for row in rows])
    if rules:
        save_rules(model, list(rules))
    return Place(model, [entry.id for entry in made])


def fill(there: Place, rows: Sequence[dict[str, Any]]) -> list[int]:
    """More rows; their ids."""
    source = registry.source_of(there.model)
    with store.writing(source, dict.fromkeys(key for row in rows for key in row)):
        return [entry.id for entry in store.insert(source, [dict(row) for row in rows])]


# -- callers


def anonymous() -> Api:
    return Api()


def bare_token(app: App | None = None, user: User | None = None) -> tuple[ApiToken, Api]:
    """An API token and who asks with it."""
    token, secret = create_api_token("a token", app=app, user=user)
    return token, Api({"Auth-token": secret})


def revoked_token() -> Api:
    token, api = bare_token()
    revoke(token)
    return api


def session(source: DataSource, email: str, password: str = PASSWORD) -> Api:
    """Somebody who signed in, from an address of their own: limits are tested elsewhere."""
    number = next(_addresses)
    signed_in = authorize(
        {
            "passport": "dataSource",
            "dataSourceId": source.pk,
            "where": {"Email": email, "Password": password},
        },
        f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    )
    return Api({"Auth-token": signed_in.secret})


def person(row: dict[str, Any] | None = None, **fields: Any) -> Api:
    """Somebody with this row, in a data source of their own to sign in against."""
    row = {"Email": "ann@acme.com", **(row or {})}
    source = sign_in_source(f"People {next(_people)}", [row], **fields)
    return session(source, row["Email"])


def django_user(*rights: str, on: DataSource | None = None, **fields: Any) -> User:
    """A Django user with rights (`view`, `change_rules`, ...), site-wide or on one data source."""
    user = User.objects.create_user(f"user{next(_people)}", **fields)
    for right in rights:
        permission = f"{right}_datasource"
        if on is None:
            user.user_permissions.add(
                Permission.objects.get(
                    codename=permission, content_type__app_label="rowkeeper_datasources"
                )
            )
        else:
            assign_perm(f"rowkeeper_datasources.{permission}", user, on)
    return user


def on_site(user: User, csrf: bool = False) -> Api:
    """A Django user who is signed in to the site."""
    client = Client(raise_request_exception=False, enforce_csrf_checks=csrf)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return Api(client=client)


def manager(*rights: str, on: DataSource | None = None) -> Api:
    """A token that carries a Django user's rights on the management endpoints."""
    return bare_token(user=django_user(*rights, on=on))[1]


def superuser() -> Api:
    return bare_token(user=django_user(is_superuser=True))[1]
