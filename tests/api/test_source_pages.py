"""Pages of `GET data-sources`, and which data sources are in them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm, get_objects_for_user

from rowkeeper.accounts.models import App
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions import rights
from tests.support.calls import Api, bare_token, django_user, manager

pytestmark = pytest.mark.django_db
MALFORMED = (400, "request.invalid")


@pytest.fixture
def sources() -> list[DataSource]:
    kinds = ["x", "y"]
    return [DataSource.objects.create(name=f"S{9 - n}", type=kinds[n % 2]) for n in range(7)]


def page(api: Api, query: str) -> tuple[list[int], Any]:
    answer = api("GET", f"data-sources?attributes=id&{query}")
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["dataSources"]], answer.json.get("pagination")


def test_pages_one_after_the_other(sources: list[DataSource]) -> None:
    api, ids = manager("view"), [source.pk for source in sources]
    assert page(api, "") == (ids, None)
    for limit in (1, 2, 3, 7, 8):
        found, after = [], ""
        while True:
            part, pagination = page(api, f"limit={limit}&after={after}")
            assert pagination["limit"] == limit and len(part) <= limit
            found += part
            if pagination["next"] is None:
                break
            after = pagination["next"]
        assert found == ids
    assert page(api, f"after={ids[2]}") == (ids[3:], {"limit": None, "next": None})
    assert page(api, "limit=0") == ([], {"limit": 0, "next": None})
    assert page(api, f"limit=2&after={ids[-1]}") == ([], {"limit": 2, "next": None})


def test_pages_of_some(sources: list[DataSource]) -> None:
    api, of_x = manager("view"), [source.pk for source in sources if source.type == "x"]
    assert page(api, "type=x&limit=2") == (of_x[:2], {"limit": 2, "next": str(of_x[1])})
    assert page(api, f"type=x&limit=2&after={of_x[1]}")[0] == of_x[2:]
    app = App.objects.create(name="An app")
    DataSource.objects.filter(pk__in=of_x[1:3]).update(app=app)
    assert page(api, f"appId={app.pk}&limit=1")[0] == of_x[1:2]
    mine = manager("view", on=sources[5])
    assert page(mine, "limit=1") == ([sources[5].pk], {"limit": 1, "next": None})


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=-1", "limit=", "limit=1.5", "limit=1&limit=1", "after=x", "after=-1"],
)
def test_pages_that_are_none(sources: list[DataSource], query: str) -> None:
    assert manager("view")("GET", f"data-sources?{query}").failure == MALFORMED


def test_a_page_reads_no_more_than_it_answers(sources: list[DataSource]) -> None:
    with CaptureQueriesContext(connection) as captured:
        page(manager("view"), "limit=2")
    [sql] = [each["sql"] for each in captured if "columns" in each["sql"]]
    assert "LIMIT 3" in sql


def test_what_was_given_for_one_alone_is_what_guardian_says(sources: list[DataSource]) -> None:
    """To a user, to a group, to both, and to neither; also for another model with that number."""
    users = [django_user() for _ in range(4)]
    groups = [Group.objects.create(name=f"group {n}") for n in range(2)]
    users[0].groups.add(groups[0])
    users[1].groups.add(*groups)
    for at, who, right in (
        (0, users[0], "view"),
        (1, groups[0], "view"),
        (1, users[0], "change"),
        (2, groups[1], "change"),
        (3, users[2], "delete"),
        (4, users[3], "view"),
    ):
        assign_perm(f"rowkeeper_datasources.{right}_datasource", who, sources[at])
    App.objects.create(pk=sources[6].pk, name="An app")
    assign_perm("rowkeeper_accounts.view_app", users[0], App.objects.get())
    User.objects.filter(pk=users[3].pk).update(is_active=False)
    for user in User.objects.all():
        for wanted in (("view",), ("view", "change"), ("delete",), tuple(rights.OBJECT_RIGHTS)):
            found = rights.having(user, wanted, DataSource.objects.all())
            names = [rights.permission(right) for right in wanted]
            said = get_objects_for_user(
                user, names, DataSource, any_perm=True, accept_global_perms=False
            )
            expected = set(said) if user.is_active else set()
            assert set(found) == expected, (user, wanted)


def test_nobody_without_a_user_sees_a_page(sources: list[DataSource]) -> None:
    assert bare_token()[1]("GET", "data-sources?limit=1").failure == (403, "auth.forbidden")
