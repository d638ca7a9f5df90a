"""The middleware of requests with a token, and the checks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.test import Client

from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.conf import setting
from rowkeeper.rules.api.checks import SHORT, check_api_middleware
from rowkeeper.rules.api.middleware import TokenApiMiddleware
from tests.support.calls import READ, place

PATH = __name__
seen: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    setting.cache_clear()


def office_only(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """An IP filter."""

    def filtered(request: HttpRequest) -> HttpResponse:
        seen.append("office_only")
        if request.META["REMOTE_ADDR"] != "127.0.0.1":
            return HttpResponseForbidden("not from here")
        response = get_response(request)
        response["X-Office"] = "yes"
        return response

    return filtered


class SeesView:
    """A middleware that is given the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        seen.append("SeesView")
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        seen.append(f"view of {kwargs['reference']}")
        return HttpResponse("stopped") if "stop" in request.GET else None


class Fails:
    """A middleware with a fault."""

    def __init__(self, get_response: object) -> None:
        pass

    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError


class NotUsed:
    """A middleware that is not meant for this site."""

    def __init__(self, get_response: object) -> None:
        raise MiddlewareNotUsed


def asked(settings: Any, *names: str, **more: Any) -> Any:
    settings.ROWKEEPER = {
        **settings.ROWKEEPER,
        "API_MIDDLEWARE": [f"{PATH}.{name}" for name in names],
    }
    there = place([READ], [{"A": 1}], name=uuid4().hex)
    secret = create_api_token("t")[1]
    client = Client(raise_request_exception=False, headers={"auth-token": secret})
    return client.get(f"/v1/{there.data}" + more.pop("query", ""), **more)


@pytest.mark.django_db
def test_they_run_in_their_order_before_the_view(settings: Any) -> None:
    response = asked(settings, "office_only", "NotUsed", "SeesView")
    assert (response.status_code, response["X-Office"]) == (200, "yes")
    assert [one.split()[0] for one in seen] == ["office_only", "SeesView", "view"]


@pytest.mark.django_db
def test_they_can_refuse(settings: Any) -> None:
    response = asked(settings, "office_only", "SeesView", REMOTE_ADDR="192.0.2.1")
    assert response.status_code == 403 and seen == ["office_only"]
    # Under the API every error is JSON.
    assert response.json()["type"]
    response = asked(settings, "SeesView", query="?stop=1")
    assert response.content == b"stopped"


@pytest.mark.django_db
def test_a_fault_of_one_is_answered_in_json(settings: Any) -> None:
    response = asked(settings, "Fails")
    assert response.status_code == 500 and response["X-Request-Id"]
    assert response.json()["type"]


@pytest.mark.django_db
def test_no_setting_is_no_middleware(settings: Any) -> None:
    assert asked(settings).status_code == 200 and seen == []


def test_one_that_does_not_exist_stops_the_site(settings: Any) -> None:
    settings.ROWKEEPER = {**settings.ROWKEEPER, "API_MIDDLEWARE": ["nothing.Here"]}
    with pytest.raises(ImportError, match="nothing"):
        TokenApiMiddleware(lambda request: HttpResponse())
    [message] = check_api_middleware(None)
    assert message.id == "rowkeeper.E040" and "`nothing.Here`" in message.msg


@pytest.mark.parametrize(
    ("after", "own", "ids"),
    [
        ([], [], []),
        (["django.middleware.common.CommonMiddleware"], [], []),
        (["shop.OfficeOnly"], [], ["rowkeeper.W040"]),
        ([f"{PATH}.office_only"], [f"{PATH}.office_only"], []),
        ([f"{PATH}.office_only", "shop.Other"], [f"{PATH}.office_only"], ["rowkeeper.W040"]),
    ],
)
def test_what_is_skipped_is_said(
    settings: Any, after: list[str], own: list[str], ids: list[str]
) -> None:
    settings.MIDDLEWARE = ["shop.First", SHORT, *after]
    settings.ROWKEEPER = {**settings.ROWKEEPER, "API_MIDDLEWARE": own}
    found = check_api_middleware(None)
    assert [message.id for message in found] == ids
    assert all("shop.First" not in message.msg for message in found)


def test_a_list_without_effect_is_said(settings: Any) -> None:
    settings.MIDDLEWARE = []
    settings.ROWKEEPER = {**settings.ROWKEEPER, "API_MIDDLEWARE": [f"{PATH}.office_only"]}
    assert [message.id for message in check_api_middleware(None)] == ["rowkeeper.W041"]
    settings.ROWKEEPER = {**settings.ROWKEEPER, "API_MIDDLEWARE": []}
    assert check_api_middleware(None) == []
