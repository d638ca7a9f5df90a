"""The limits of sign-ins where a project calls `authenticate` and signs nobody in."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rowkeeper.accounts.backends import PATH

pytestmark = pytest.mark.urls(__name__)
RIGHT, WRONG = "s3cret", "wrong"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


class Backend:
    """Compares with one password, and keeps what it was asked."""

    asked: list[str] = []

    def authenticate(self, request: Any, password: str = "", **credentials: Any) -> User | None:
        self.asked.append(password)
        time.sleep(0.005)
        return User(pk=1, username="root") if password == RIGHT else None

    async def aauthenticate(
        self, request: Any, password: str = "", **credentials: Any
    ) -> User | None:
        self.asked.append(password)
        await asyncio.sleep(0.01)
        return User(pk=1, username="root") if password == RIGHT else None


class Broken(Backend):
    """A later backend that fails if the earlier one does not know the password."""

    def authenticate(self, request: Any, password: str = "", **credentials: Any) -> User | None:
        raise RuntimeError("the directory does not answer")

    async def aauthenticate(
        self, request: Any, password: str = "", **credentials: Any
    ) -> User | None:
        raise RuntimeError("the directory does not answer")


class Basic(APIView):
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        if "fault" in request.GET:
            raise RuntimeError("a fault of the view")
        return Response({"user": str(request.user)})


def token(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username="root", password=request.GET["password"])
    return HttpResponse(status=200 if user else 401)


async def atoken(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, username="root", password=request.GET["password"])
    return HttpResponse(status=200 if user else 401)


async def batch(request: HttpRequest) -> HttpResponse:
    """As a batch of GraphQL, which asks at the same time."""
    one = {"username": "root", "password": request.GET["password"]}
    found = await asyncio.gather(*(aauthenticate(request, **one) for _ in range(40)))
    return HttpResponse(str(len([user for user in found if user is not None])))


urlpatterns = [
    path("basic", Basic.as_view()),
    path("token", token),
    path("atoken", atoken),
    path("batch", batch),
]


@pytest.fixture(autouse=True)
def asked(settings: LazySettings) -> list[str]:
    settings.AUTHENTICATION_BACKENDS = [PATH, f"{__name__}.Backend"]
    settings.MIDDLEWARE = []
    Backend.asked.clear()
    return Backend.asked


def basic(password: str, address: str = HOME, query: str = "") -> int:
    secret = base64.b64encode(f"root:{password}".encode()).decode()
    client = Client(raise_request_exception=False, REMOTE_ADDR=address)
    return client.get(f"/basic{query}", headers={"Authorization": f"Basic {secret}"}).status_code


def at_token(password: str, address: str = HOME, query: str = "") -> int:
    client = Client(raise_request_exception=False, REMOTE_ADDR=address)
    return client.get("/token", {"password": password}).status_code


ASKS = pytest.mark.parametrize("ask", [basic, at_token])


@ASKS
def test_right_passwords_do_not_count(ask: Any) -> None:
    assert {ask(RIGHT) for _ in range(40)} == {200}


@ASKS
def test_wrong_passwords_count_and_right_ones_between_them_change_nothing(
    ask: Any, asked: list[str]
) -> None:
    for _ in range(5):
        assert (ask(WRONG), ask(RIGHT), ask(RIGHT), ask(WRONG)) == (401, 200, 200, 401)
    asked.clear()
    assert (ask(WRONG), ask(RIGHT)) == (401, 401)
    assert asked == []
    assert ask(RIGHT, ELSEWHERE) == 200


def test_calls_outside_of_a_request_cycle() -> None:
    """Each next call of a thread shows that the one before was right."""
    for _ in range(30):
        request = RequestFactory().get("/", REMOTE_ADDR=HOME)
        assert authenticate(request, username="root", password=RIGHT)
    kept = RequestFactory().get("/", REMOTE_ADDR=HOME)
    for _ in range(10):
        assert authenticate(kept, username="root", password=RIGHT)
        assert authenticate(kept, username="root", password=WRONG) is None
    assert authenticate(kept, username="root", password=RIGHT) is None


def test_wrong_passwords_at_the_same_time_all_count(asked: list[str]) -> None:
    barrier = threading.Barrier(16)

    def one(n: int) -> None:
        if n < 16:
            barrier.wait()
        request = RequestFactory().get("/", REMOTE_ADDR=HOME)
        assert authenticate(request, username="root", password=WRONG) is None

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(96)))
    assert len(asked) == 10


def test_right_passwords_one_after_the_other_in_many_threads() -> None:
    """What one thread has open is not another's, and each takes back its own."""

    def several(_: int) -> int:
        return sum(basic(RIGHT) == 200 for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(several, range(8))) == [10] * 8


def test_asynchronous_views() -> None:
    async def ask(password: str) -> int:
        response = await AsyncClient(REMOTE_ADDR=HOME).get("/atoken", {"password": password})
        return response.status_code

    async def work() -> None:
        assert {await ask(RIGHT) for _ in range(30)} == {200}
        assert {await ask(WRONG) for _ in range(10)} == {401}
        assert await ask(RIGHT) == 401

    asyncio.run(work())


def test_a_batch_of_wrong_passwords_in_one_request_is_limited(asked: list[str]) -> None:
    async def work() -> None:
        for _ in range(2):
            response = await AsyncClient().get("/batch", {"password": WRONG})
            assert response.content == b"0"

    asyncio.run(work())
    assert len(asked) == 10


def test_a_password_of_which_nobody_knows_whether_it_is_right_counts(
    settings: LazySettings, asked: list[str]
) -> None:
    """Else a backend that fails lets somebody guess without a limit at the one before it."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.Broken"]
    assert [at_token(WRONG) for _ in range(20)] == [500] * 10 + [401] * 10
    assert len(asked) == 10

    async def ask() -> int:
        client = AsyncClient(raise_request_exception=False, REMOTE_ADDR=ELSEWHERE)
        return (await client.get("/atoken", {"password": WRONG})).status_code

    async def work() -> list[int]:
        return [await ask() for _ in range(20)]

    asked.clear()
    asyncio.run(work())
    assert len(asked) == 10


def test_a_fault_of_the_view_is_not_a_wrong_password() -> None:
    assert {basic(RIGHT, query="?fault") for _ in range(20)} == {500}
    assert basic(RIGHT) == 200
