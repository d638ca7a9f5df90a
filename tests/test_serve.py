"""The server of `make run`: clients that send slowly hold none of its threads."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasources import checks

ROOT = Path(__file__).parent.parent
HEAD = b"POST /v1/session/authorize HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running server whose database is empty."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "project.serve", "--port", str(port)],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('serve')}/db.sqlite3",
            "SECRET_KEY": "x" * 50,
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


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


@pytest.mark.parametrize(("proxies", "codes"), [(0, ["rowkeeper.W006"]), (1, [])])
def test_check_deploy_asks_for_a_proxy(proxies: int, codes: list[str], settings: object) -> None:
    settings.ROWKEEPER = {"TRUSTED_PROXIES": proxies}  # type: ignore[attr-defined]
    assert [told.id for told in checks.check_requests_are_buffered(None)] == codes
