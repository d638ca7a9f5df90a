"""The server of `make run`: clients that send slowly hold none of its threads."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rowkeeper.datasources.checks import settings as checks
from tests.support.servers import free_port, running

ROOT = Path(__file__).parents[2]
HEAD = b"POST /v1/session/authorize HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def serving(folder: Path, code: str = "", **variables: str) -> Iterator[int]:
    """The port of a running server. `code` runs in its process before it starts."""
    port = free_port()
    with running(
        port,
        *(sys.executable, "-c", f"import project.serve as serve\n{code}\nserve.main()"),
        *("--port", str(port)),
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "SECRET_KEY": "x" * 50,
            **variables,
        },
        stderr=subprocess.DEVNULL,
    ):
        yield port


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running server whose database is empty."""
    with serving(tmp_path_factory.mktemp("serve")) as found:
        yield found


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n{"], ids=["silent", "head", "body"]
)
def test_slow_clients_hold_no_thread(port: int, sent: bytes) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(sent)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/schema", timeout=10) as response:
            assert response.status == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_body_that_is_too_large_is_not_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: 200000000\r\n\r\n{")
        assert b" 413 " in connection.recv(100)


def test_a_request_has_to_arrive_within_a_time(tmp_path: Path) -> None:
    """However often a byte comes, and whether it is one of the headers or of the body."""
    limits = "serve.HEADER_SECONDS, serve.REQUEST_SECONDS = 1, 2"
    with serving(tmp_path, limits) as port:
        body = HEAD + b"Content-Length: 1000\r\n\r\n{"
        slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        for connection, start in zip(slow, (HEAD + b"X: ", body), strict=True):
            connection.sendall(start)
        closed = 0
        for _ in range(40):
            time.sleep(0.25)
            for connection in slow:
                try:
                    connection.sendall(b" ")
                except OSError:
                    closed += 1
            if closed >= 2:
                break
        for connection in slow:
            connection.close()
        assert closed >= 2
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/schema", timeout=10) as response:
            assert response.status == 200


@pytest.mark.parametrize(("proxies", "client"), [("0", "127.0.0.1"), ("1", "203.0.113.9")])
def test_behind_a_proxy_the_client_is_the_one_that_it_names(
    tmp_path: Path, proxies: str, client: str
) -> None:
    """Its address and its scheme; without a proxy, anybody could say so."""
    code = """
from django.http import HttpResponse
from rowkeeper.accounts.client import client_address
import project.urls
from django.urls import path
project.urls.urlpatterns.append(
    path("who", lambda request: HttpResponse(f"{client_address(request)} {request.scheme}")))
"""
    with serving(tmp_path, code, TRUSTED_PROXIES=proxies) as port:
        said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/who", headers=said)
        with urllib.request.urlopen(request, timeout=10) as response:
            told = response.read().decode()
    assert told == f"{client} {'https' if proxies == '1' else 'http'}"


@pytest.mark.parametrize(("proxies", "codes"), [(0, ["rowkeeper.W006"]), (1, [])])
def test_check_deploy_asks_for_a_proxy(proxies: int, codes: list[str], settings: object) -> None:
    settings.ROWKEEPER = {"TRUSTED_PROXIES": proxies}  # type: ignore[attr-defined]
    assert [told.id for told in checks.check_requests_are_buffered(None)] == codes
