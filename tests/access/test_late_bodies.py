"""Every route with a body, whose caller loses the right between the headers and the body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, reverse

from rowkeeper.accounts.models import ApiToken, LoginSession
from rowkeeper.accounts.tokens import revoke
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.api.urls import urlpatterns
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import save_rules
from tests.support import calls
from tests.support.calls import Answer, Api, Place, place
from tests.support.people import PASSWORD, sign_in_source

pytestmark = pytest.mark.django_db
LIMIT = 60
ALL = ["select", "insert", "update", "delete"]

# What is sent to each route, by its method and its path. `{url}` is that of the data source, `{id}`
# of its only entry.
ENTRY_BODIES: dict[tuple[str, str], list[Any]] = {
    ("post", "{url}/data/query"): [
        {"limit": 5},
        {"order": [["Name", "ASC"]]},
        {"type": "delete", "where": {}},
    ],
    ("put", "{url}/data"): [{"Name": "new"}, {"Name": "new", "Column": 1}],
    ("post", "{url}/data"): [
        {"append": True, "entries": [{"Name": "new"}]},
        {"entries": [{"Name": "new"}]},
        {"entries": []},
    ],
    ("put", "{url}/data/{id}"): [{"Name": "changed"}],
    ("post", "{url}/commit"): [
        {"append": True, "entries": [{"data": {"Name": "new"}}]},
        {"append": True, "extend": True, "entries": [{"id": "{id}", "data": {"Name": "changed"}}]},
        {"append": True, "entries": [], "delete": ["{id}"]},
        {"entries": []},
    ],
}
MANAGEMENT_BODIES: dict[tuple[str, str], list[Any]] = {
    ("post", "data-sources"): [{"name": "Made", "entries": [{"Name": "new"}]}],
    ("put", "{url}"): [{"name": "Renamed"}, {"accessRules": []}, {"definition": {"note": 1}}],
}
SESSION_BODIES: dict[tuple[str, str], list[Any]] = {
    ("post", "session/authorize"): [{}],
    ("post", "session/logout"): [{"anything": 1}],
}


def routes() -> Iterator[tuple[str, str]]:
    """Every route of the API that can have a body, as (method, path)."""
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        path = str(pattern.pattern).replace("data-sources/<str:reference>", "{url}")
        for method, action in getattr(pattern.callback, "actions", {}).items():
            if method in ("post", "put", "patch") and action != "nothing":
                yield method, path.replace("<str:entry_id>", "{id}")


def test_every_route_is_walked() -> None:
    assert set(routes()) == {*ENTRY_BODIES, *MANAGEMENT_BODIES, *SESSION_BODIES}


class Late(BytesIO):
    """A body that is sent only after something else has happened."""

    def __init__(self, data: bytes, before: Callable[[], object]) -> None:
        super().__init__(data)
        self.before, self.is_read = before, False

    def read(self, size: int | None = -1) -> bytes:
        if not self.is_read:
            self.is_read = True
            self.before()
        return super().read(size)


@dataclass
class Caller:
    """Who asks, the rule that lets them in, and the ways in which they can lose that."""

    api: Api
    allow: Any
    losses: dict[str, Callable[[], object]]


def token_holder() -> Caller:
    user = calls.django_user("view", "add", "change", "change_rules")
    token, api = calls.bare_token(user=user)
    losses: dict[str, Callable[[], object]] = {
        "revoked": lambda: revoke(token),
        "deleted": lambda: ApiToken.objects.all().delete(),
        "user is inactive": lambda: User.objects.filter(pk=user.pk).update(is_active=False),
    }
    return Caller(api, {"tokens": [token.pk]}, losses)


def signed_in() -> Caller:
    source = sign_in_source("People", [{"Email": "ann@acme.com", "Role": "Boss"}])
    api = calls.session(source, "ann@acme.com")
    row = Entry.objects.get(data_source=source)

    def other_role() -> None:
        Entry.objects.filter(pk=row.pk).update(data={**row.data, "Role": "Guest"})

    losses: dict[str, Callable[[], object]] = {
        "ended": lambda: LoginSession.objects.all().delete(),
        "row is gone": row.delete,
        "other role": other_role,
    }
    return Caller(api, {"user": {"Role": {"equals": "Boss"}}}, losses)


def site_user() -> Caller:
    user = calls.django_user("view", "add", "change", "change_rules")
    user.groups.add(Group.objects.create(name="bosses"))
    losses: dict[str, Callable[[], object]] = {
        "ended": lambda: Session.objects.all().delete(),
        "user is inactive": lambda: User.objects.filter(pk=user.pk).update(is_active=False),
        "password is changed": lambda: User.objects.filter(pk=user.pk).update(password="x"),
        "left the group": user.groups.clear,
    }
    return Caller(calls.on_site(user), {"user": {"Groups": {"contains": "bosses"}}}, losses)


CALLERS: dict[str, Callable[[], Caller]] = {
    "token": token_holder,
    "session": signed_in,
    "site": site_user,
}


def put_in(value: Any, there: Place) -> Any:
    """A body with the entry's id."""
    if isinstance(value, dict):
        return {key: put_in(item, there) for key, item in value.items()}
    if isinstance(value, list):
        return [put_in(item, there) for item in value]
    return there.ids[0] if value == "{id}" else value


def send(
    caller: Caller, there: Place, route: tuple[str, str], body: Any, loss: Callable[[], object]
) -> Answer:
    path = route[1].format(url=there.url, id=there.ids[0])
    # Longer than the limit of those tests that set one.
    data = json.dumps(put_in(body, there)).encode().ljust(LIMIT + 40)
    late = Late(data, loss)
    answer = caller.api(route[0].upper(), path, raw=data, **{"wsgi.input": late})
    assert late.is_read, "the body is not read"
    return answer


def all_that_is_stored() -> Any:
    return (
        list(Entry.objects.order_by("id").values_list("id", "data")),
        list(DataSource.objects.order_by("id").values_list("id", "name", "columns", "definition")),
        list(AccessRule.objects.order_by("id").values_list("id", "position")),
    )


def early(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware of a project that looks at the user of each request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        assert str(request.user)
        return get_response(request)

    return middleware


def walk(who: str, bodies: dict[tuple[str, str], list[Any]], more: dict[str, Any]) -> int:
    """Send every body; the first one of each route in every way in which the caller loses the
    right, the others in two. Returns how many there were.
    """
    count = 0
    for route, several in bodies.items():
        for body in several:
            names = [*CALLERS_LOSE[who], *more]
            for name in ("nothing", *(names if body is several[0] else (names[0], names[-1]))):
                count += 1
                one(who, route, body, name, more)
    return count


CALLERS_LOSE = {
    "token": ["revoked", "deleted", "user is inactive"],
    "session": ["ended", "row is gone", "other role"],
    "site": ["ended", "user is inactive", "password is changed", "left the group"],
}


def one(who: str, route: tuple[str, str], body: Any, name: str, more: dict[str, Any]) -> None:
    """One request; it is answered only if nothing is lost, and nothing is stored otherwise."""
    with transaction.atomic():
        caller = CALLERS[who]()
        there = place([{"type": ALL, "allow": caller.allow}], [{"Name": "old"}])
        # What is kept of one request for the next may not stand in for what is asked again.
        caller.api("POST", f"{there.url}/data/query", {"limit": 5})
        loss = more[name] if name in more else caller.losses.get(name, lambda: None)
        states: list[Any] = []

        def lose() -> None:
            loss() if name not in more else loss(there)
            states.append(all_that_is_stored())

        answer = send(caller, there, route, body, lose)
        case = (who, route, body, name, answer)
        if name == "nothing":
            assert answer.status in (200, 201), case
        else:
            assert answer.failure in (
                (401, "auth.invalid"),
                (401, "auth.required"),
                (403, "auth.forbidden"),
                (400, "datasource.access"),
            ), case
            assert all_that_is_stored() == states[0], case
        transaction.set_rollback(True)


def no_rules(there: Place) -> None:
    save_rules(there.model, [])


def fewer_operations(there: Place) -> None:
    save_rules(there.model, [{"type": ["select"], "allow": {"tokens": [999_999]}}])


RULES = {"no rules": no_rules, "other rules": fewer_operations}


def no_rights(there: Place) -> None:
    for user in User.objects.all():
        user.user_permissions.clear()


@pytest.mark.parametrize("who", CALLERS)
def test_entries(who: str) -> None:
    assert walk(who, ENTRY_BODIES, RULES) > 50


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("route", [("post", "{url}/data"), ("post", "{url}/commit")])
def test_entries_in_a_body_over_the_usual_limit(
    who: str, route: tuple[str, str], settings: Any
) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_BODY": LIMIT}
    walk(who, {route: ENTRY_BODIES[route]}, RULES)


@pytest.mark.parametrize("who", ["token", "site"])
@pytest.mark.parametrize("limit", [None, LIMIT], ids=["", "large"])
def test_management(who: str, limit: int | None, settings: Any) -> None:
    bodies = MANAGEMENT_BODIES
    if limit:
        settings.ROWKEEPER = {**settings.ROWKEEPER, "MAX_BODY": limit}
        bodies = {("post", "data-sources"): bodies["post", "data-sources"]}
    for route, several in bodies.items():
        for body in several:
            for name in ("nothing", *CALLERS_LOSE[who], "no rights"):
                if name != "left the group":
                    one(who, route, body, name, {"no rights": no_rights})


def test_a_middleware_that_looks_at_the_user_first(settings: Any) -> None:
    """Such as Django's `LoginRequiredMiddleware`."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.early"]
    for route, several in (*ENTRY_BODIES.items(), *MANAGEMENT_BODIES.items()):
        for name in ("nothing", "ended", "user is inactive"):
            one("site", route, several[0], name, {})


@pytest.mark.parametrize("who", CALLERS)
def test_signing_out(who: str) -> None:
    for name in ("nothing", CALLERS_LOSE[who][0]):
        one(who, ("post", "session/logout"), {"anything": 1}, name, {})


def test_signing_in() -> None:
    """The password is compared with what is stored once the body has arrived."""
    source = sign_in_source("People", [{"Email": "ann@acme.com"}])
    entry = Entry.objects.get(data_source=source)
    body = {
        "passport": "dataSource",
        "dataSourceId": source.pk,
        "where": {"Email": "ann@acme.com", "Password": PASSWORD},
    }
    there = place([], [{"Name": "old"}])
    caller = Caller(calls.anonymous(), "all", {})
    route = ("post", "session/authorize")
    assert send(caller, there, route, body, lambda: None).status == 200
    for loss in (
        lambda: Entry.objects.filter(pk=entry.pk).update(data={"Email": "ann@acme.com"}),
        lambda: DataSource.objects.filter(pk=source.pk).update(definition={}),
    ):
        assert send(caller, there, route, body, loss).failure == (401, "auth.invalid")


# -- the admin


@pytest.mark.parametrize("looks_first", [False, True])
def test_pages_of_the_admin(looks_first: bool, settings: Any) -> None:
    """Django reads a form with the CSRF token, before the user: unless a middleware looks first."""
    if looks_first:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.early"]
    token = "a" * 32
    for name in ("nothing", "ended", "user is inactive", "no rights"):
        user = calls.django_user("view", "change", "change_rules", is_staff=True)
        there = place([], [{"Name": "old"}], name=f"Things {name}")
        client = Client(enforce_csrf_checks=True)
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        client.cookies["csrftoken"] = token
        losses: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "ended": lambda: Session.objects.all().delete(),
            "user is inactive": lambda: User.objects.all().update(is_active=False),
            "no rights": user.user_permissions.clear,
        }
        url = reverse("admin:rowkeeper_datasources_datasource_entry_add", args=[there.model.pk])
        data = b"row=%7B%22Name%22%3A+%22new%22%7D&order=0"
        late = Late(data, losses[name])
        client.post(
            url,
            data,
            content_type="application/x-www-form-urlencoded",
            headers={"X-CSRFToken": token},
            **{"wsgi.input": late},  # type: ignore[arg-type]
        )
        assert late.is_read, name
        assert (len(there.stored) == 2) is (name == "nothing"), name
