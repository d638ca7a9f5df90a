"""Every refusal has an id that finds a record; the records are bounded, and hold no secret."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from guardian.shortcuts import assign_perm

from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.rules.decision_log import events
from rowkeeper.rules.decision_log import journal as journals
from rowkeeper.rules.decision_log.journal import journal
from rowkeeper.rules.models import LoggedDecision, LoggedRefusal
from tests.support.calls import data_source
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
LOGIN_ONLY: dict[str, Any] = {"type": ["select"], "allow": "loggedIn"}
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "{}/data", None),
    ("GET", "{}/data/1", None),
    ("POST", "{}/data/query", {}),
    ("POST", "{}/data/query", {"type": "delete", "where": {"Name": "a"}}),
    ("PUT", "{}/data", {"Name": "a"}),
    ("PUT", "{}/data/1", {"Name": "a"}),
    ("DELETE", "{}/data/1", None),
    ("POST", "{}/data", {"append": True, "entries": [{"Name": "a"}]}),
    ("POST", "{}/commit", {"append": True, "entries": [{"data": {"Name": "a"}}]}),
    ("GET", "{}/indexes/Name", None),
]
MANAGEMENT: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"name": "New"}),
    ("GET", "/{}", None),
    ("PUT", "/{}", {"name": "Other"}),
    ("PUT", "/{}", {"accessRules": []}),
    ("DELETE", "/{}", None),
]
PASSWORD = "a secret pass phrase"


@pytest.fixture(autouse=True)
def _empty_journal() -> None:
    """Denials of earlier tests use up no limit."""
    journal.reset()


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return client.generic(
        method,
        f"/v1/{path}",
        "" if body is None else json.dumps(body),
        content_type="application/json",
        headers=headers,
    )


def record_of(answer: Any) -> Any:
    """The record that the id of a refusal finds."""
    assert answer.status_code in (400, 401, 403), (answer.status_code, answer.content)
    body = answer.json()
    assert body["requestId"] == answer.headers["X-Request-Id"]
    journal.flush()
    found = [
        *LoggedRefusal.objects.filter(request_id=body["requestId"]),
        *LoggedDecision.objects.filter(request_id=body["requestId"]),
    ]
    assert len(found) == 1, (answer.content, found)
    if isinstance(found[0], LoggedRefusal):
        assert (found[0].code, found[0].status) == (body["type"], answer.status_code)
        assert found[0].step
    return found[0]


@pytest.fixture
def token() -> str:
    return create_api_token("reader")[1]


def test_credentials_that_are_not_valid(token: str) -> None:
    data_source("Things", ["Name"], [{"Name": "a"}], [READ])
    for method, path, body in [
        *((m, "data-sources/" + p.format("Things"), b) for m, p, b in ROUTES),
        *((m, "data-sources" + p.format("Things"), b) for m, p, b in MANAGEMENT),
        ("GET", "user", None),
        ("GET", "session", None),
        ("POST", "session/logout", {}),
    ]:
        for value in ("rk_wrong", token + "x"):
            found = record_of(send(Client(), method, path, body, **{"Auth-token": value}))
            assert (found.code, found.step) == ("auth.invalid", "the credential")
    both = {"Auth-token": token, "Authorization": "Bearer rk_other"}
    assert record_of(send(Client(), "GET", "user", **both)).code == "auth.invalid"


def test_sign_ins_that_fail() -> None:
    sign_in_source("Users", [{"Email": "ann@acme.com"}])
    for name, email, step in (
        ("Nothing", "ann@acme.com", "no such data source"),
        ("Users", "eve@acme.com", "no row"),
        ("Users", "ann@acme.com", "wrong password"),
    ):
        where = {"Email": email, "Password": PASSWORD}
        body = {"passport": "dataSource", "dataSourceName": name, "where": where}
        found = record_of(send(Client(), "POST", "session/authorize", body))
        assert step in found.step and found.code == "auth.invalid"
        kept = str(LoggedRefusal.objects.filter(pk=found.pk).values())
        for secret in (email, PASSWORD, "127.0.0.1", "Nothing", "Users"):
            assert secret not in kept


@pytest.mark.parametrize("name", ["Things", "Closed", "Nothing", "999999"])
def test_denials(token: str, name: str) -> None:
    data_source("Things", ["Name"], [{"Name": "a"}], [LOGIN_ONLY])
    data_source("Closed", ["Name"], [{"Name": "a"}], [])
    statuses = set()
    for method, path, body in ROUTES:
        for headers in ({}, {"Auth-token": token}):
            answer = send(Client(), method, "data-sources/" + path.format(name), body, **headers)
            record_of(answer)
            statuses.add(answer.status_code)
    assert statuses == {400, 401}


def test_management_without_the_right(token: str) -> None:
    data_source("Things", ["Name"], [{"Name": "a"}], [])
    user = User.objects.create_user("ann")
    site = Client()
    site.force_login(user)
    for method, path, body in MANAGEMENT:
        url = "data-sources" + path.format("Things")
        record_of(send(Client(), method, url, body)) if (method, path) != ("GET", "") else None
        answer = send(site, method, url, body)
        if answer.status_code == 200:
            assert (method, path) == ("GET", "")
            continue
        found = record_of(answer)
        if found.code == "auth.forbidden":
            assert "permission" in found.step and found.step.count("permission") == 1
        assert (found.kind, found.person) == ("django", str(user.pk))
    for method, path in (("GET", "user"), ("GET", "session"), ("POST", "session/logout")):
        assert record_of(send(Client(), method, path, {})).code == "auth.required"


def test_a_site_session_without_its_csrf_token() -> None:
    source = data_source("Things", ["Name"], [{"Name": "a"}], [READ])
    site = Client(enforce_csrf_checks=True)
    site.force_login(User.objects.create_superuser("root"))
    for method, path, body in ROUTES:
        if method != "GET":
            found = record_of(send(site, method, "data-sources/" + path.format("Things"), body))
            assert found.code == "auth.csrf"
    assert record_of(send(site, "DELETE", f"data-sources/{source.pk}")).code == "auth.csrf"


# -- many of them


def test_a_flood_is_counted_and_each_id_finds_the_count(settings: Any) -> None:
    settings.ROWKEEPER = {"DECISION_LOG_PER_MINUTE": 3, "TRUSTED_PROXIES": 1}
    data_source("Things", ["Name"], [{"Name": "a"}], [LOGIN_ONLY])
    answers = []
    for number in range(30):
        path = ("data-sources/Things/data", "data-sources/Nothing/data", "user")[number % 3]
        headers = {"X-Forwarded-For": f"10.0.0.{number % 2}"}
        if path == "user":
            headers["Auth-token"] = "rk_wrong"
        answers.append(send(Client(), "GET", path, **headers))
    for answer in answers:
        record_of(answer)
    # Three of each log one by one, and one count for each network and kind of refusal.
    assert LoggedRefusal.objects.count() <= 3 + 4
    assert LoggedDecision.objects.count() <= 3 + 2
    counted = sum(LoggedRefusal.objects.values_list("count", flat=True))
    assert counted + sum(LoggedDecision.objects.values_list("count", flat=True)) == 30
    networks = set(LoggedRefusal.objects.values_list("network", flat=True))
    assert len(networks) == 2 and not any("10.0" in network for network in networks)


def ask(headers: dict[str, str], path: str, times: int = 1) -> list[str]:
    """The ids of so many refusals of one caller."""
    answers = [send(Client(), "GET", path, **headers) for _ in range(times)]
    assert {answer.status_code for answer in answers} <= {400, 401, 403}
    return [answer.json()["requestId"] for answer in answers]


@pytest.mark.parametrize("name", ["Nothing", "Things"])
def test_a_flood_deletes_its_own_records_first(settings: Any, name: str) -> None:
    """Of refusals, and of the decisions of one data source."""
    settings.ROWKEEPER = {"DECISION_LOG_ROWS": 20, "DECISION_LOG_PER_MINUTE": 1_000}
    data_source("Things", ["Name"], [{"Name": "a"}], [])
    path = f"data-sources/{name}/data"
    site = Client()
    site.force_login(User.objects.create_user("ann"))
    genuine = [site.get(f"/v1/{path}").json()["requestId"] for _ in range(3)]
    genuine += ask({"Auth-token": create_api_token("genuine")[1]}, path, 3)
    rows = LoggedRefusal.objects if name == "Nothing" else LoggedDecision.objects

    def kept() -> list[str]:
        journal.flush()
        call_command("purgedecisions", verbosity=0)
        return list(rows.order_by("pk").values_list("request_id", flat=True))

    nobody = ask({}, path, 60)
    assert kept() == [*genuine, *nobody[-14:]]
    assert kept() == [*genuine, *nobody[-14:]]
    one = ask({"Auth-token": create_api_token("flood")[1]}, path, 60)
    # Two that flood share what the others leave.
    assert kept() == [*genuine, *nobody[-7:], *one[-7:]]


def test_what_is_counted_of_one_credential_is_not_lost_in_a_flood(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(events, "timezone", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr(journals, "MAX_WAITING", 8)
    settings.ROWKEEPER = {"DECISION_LOG_PER_MINUTE": 2, "TRUSTED_PROXIES": 1}
    tokens = [create_api_token(name) for name in ("flood", "genuine")]
    for number in range(30):
        ask({"X-Forwarded-For": f"10.0.{number}.1"}, "data-sources/Nothing/data")
    for number in range(10):
        headers = {"Auth-token": tokens[0][1], "X-Forwarded-For": f"10.1.{number}.1"}
        ask(headers, "data-sources/Nothing/data")
    [mine] = ask({"Auth-token": tokens[1][1]}, "data-sources/Nothing/data")
    journal.flush()
    found = LoggedRefusal.objects.get(request_id=mine)
    assert (found.token_id, found.count) == (tokens[1][0].pk, 1)
    assert sum(LoggedRefusal.objects.values_list("count", flat=True)) == 41


# -- the id of a request


def test_every_answer_has_an_id(settings: Any) -> None:
    data_source("Things", ["Name"], [{"Name": "a"}], [READ])
    ids = set()
    for method, path in (
        ("GET", "data-sources/Things/data"),
        ("POST", "data-sources/Things/data/query"),
        ("GET", "nowhere"),
        ("PATCH", "user"),
        ("POST", "session/authorize"),
        ("GET", "user"),
    ):
        ids.add(send(Client(), method, path, {}).headers["X-Request-Id"])
    assert len(ids) == 6 and all(len(each) == 32 for each in ids)


def test_only_a_trusted_proxy_names_a_request(settings: Any) -> None:
    given = {"X-Request-Id": "from-the-proxy-1"}
    assert send(Client(), "GET", "user", **given).headers["X-Request-Id"] != "from-the-proxy-1"
    settings.ROWKEEPER = {"TRUSTED_PROXIES": 1}
    # Most proxies pass on what the client sent.
    assert send(Client(), "GET", "user", **given).headers["X-Request-Id"] != "from-the-proxy-1"
    settings.ROWKEEPER = {"TRUST_REQUEST_ID": True}
    answer = send(Client(), "GET", "user", **given)
    assert answer.headers["X-Request-Id"] == answer.json()["requestId"] == "from-the-proxy-1"
    record_of(answer)
    for text in ("a b", "x" * 65, "", "é", "a\tb", "<b>"):
        answer = send(Client(), "GET", "user", **{"X-Request-Id": text})
        assert len(answer.headers["X-Request-Id"]) == 32


# -- who sees them


def test_those_who_may_see_all_logs_see_the_refusals() -> None:
    source = data_source("Things", ["Name"], [{"Name": "a"}], [LOGIN_ONLY])
    refused = send(Client(), "GET", "user", **{"Auth-token": "rk_wrong"})
    denied = send(Client(), "GET", "data-sources/Things/data")
    record_of(refused), record_of(denied)
    url = reverse("admin:rowkeeper_datasources_datasource_refusals")
    reader = User.objects.create_user("reader", is_staff=True)
    assign_perm("rowkeeper_datasources.view_log_datasource", reader, source)
    client = Client()
    client.force_login(reader)
    assert client.get(url).status_code == 403
    assign_perm("rowkeeper_datasources.view_log_datasource", reader)
    client.force_login(User.objects.get(pk=reader.pk))
    page = client.get(url, {"request": refused.json()["requestId"]}).content.decode()
    assert "the credential" in page and refused.json()["requestId"] in page
    assert "None." in client.get(url, {"network": "0" * 16}).content.decode()
    page = client.get(url, {"request": denied.json()["requestId"]}).content.decode()
    assert f"/{source.pk}/decisions/?request=" in page
    for asked in ({"token_id__gt": "1"}, {"before": "x"}, {"code": "x"}):
        assert client.get(url, asked).status_code == 200


def test_the_message_of_a_script_is_for_those_who_may_see_it() -> None:
    script = "x = 1\nraise ValueError('the va1ue of it')"
    source = data_source("Things", ["Name"], [{"Name": "a"}], [{"script": script}])
    record_of(send(Client(), "GET", "data-sources/Things/data"))
    url = reverse("admin:rowkeeper_datasources_datasource_decisions", args=[source.pk])
    for rights, sees in ((("view_log",), False), (("view_log", "change_rules"), True)):
        user = User.objects.create_user(f"u{sees}", is_staff=True)
        for right in rights:
            assign_perm(f"rowkeeper_datasources.{right}_datasource", user, source)
        client = Client()
        client.force_login(user)
        page = client.get(url).content.decode()
        assert ("the va1ue of it" in page) is sees and "line 2" in page


# -- clocks that jump


def test_rows_of_the_future_do_not_keep_the_log_from_being_purged() -> None:
    source = data_source("Things", ["Name"], [], [])
    now = timezone.now()
    ahead, old, new = now + timedelta(days=4_000), now - timedelta(days=400), now

    def decision(at: Any) -> LoggedDecision:
        empty = {"person": "", "rule_name": "", "kind": "anonymous", "took": 0.0}
        shape = {"status": 401, "operation": "select", "address": "query"}
        return LoggedDecision(data_source=source, at=at, request_id="", **shape, **empty)

    def refusal(at: Any) -> LoggedRefusal:
        return LoggedRefusal(at=at, status=401, code="auth.invalid", kind="anonymous")

    for model, make in ((LoggedDecision, decision), (LoggedRefusal, refusal)):
        rows = [make(ahead) for _ in range(501)] + [make(old), make(new), make(old), make(ahead)]
        model.objects.bulk_create(rows)  # type: ignore[attr-defined]
    call_command("purgedecisions", verbosity=0)
    for model in (LoggedDecision, LoggedRefusal):
        times = list(model.objects.values_list("at", flat=True))
        assert len(times) == 503 and min(times) >= now - timedelta(days=1)
        assert max(times) <= timezone.now() + timedelta(minutes=1)
        model.objects.update(at=old)
    call_command("purgedecisions", verbosity=0)
    assert not LoggedDecision.objects.exists() and not LoggedRefusal.objects.exists()
