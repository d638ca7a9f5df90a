"""Servers of a test's own, to be killed and frozen: a PostgreSQL, and the site under gunicorn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[2]
# Seconds after which a process is taken for one that hangs, also on a busy machine.
PATIENCE = 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once the process listens on a port."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def running(port: int, *command: str, **options: Any) -> Iterator[None]:
    """A process that listens on a port while the block runs."""
    process = subprocess.Popen(command, **options)
    try:
        listens(process, port)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def postgresql_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, of the newest release that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@dataclass
class PostgreSQL:
    """A server with a role `site` and a database of its own."""

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"postgres://site@127.0.0.1:{self.port}/site"

    @property
    def superuser(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *words: str) -> None:
        programs = postgresql_programs()
        assert programs is not None
        # The server refuses to run as root.
        by = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        with (self.folder / "log").open("ab") as log:
            subprocess.run(
                [*by, str(programs / program), *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                check=True,
                timeout=120,
            )

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def make(self) -> None:
        if os.getuid() == 0:
            import shutil

            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        with (self.folder / "data" / "postgresql.conf").open("a") as config:
            config.write(
                f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\n"
                "max_connections=60\nshared_buffers=32MB\n"
            )
        self.start()
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute("CREATE ROLE site LOGIN")
            connection.execute("CREATE DATABASE site OWNER site")

    def start(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-l", "server.log", "start")

    def crash(self) -> None:
        """As if it were killed: no checkpoint, every session is cut."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def processes(self) -> list[int]:
        first = int((self.folder / "data" / "postmaster.pid").read_text().split("\n")[0])
        found = subprocess.run(
            ["pgrep", "-P", str(first)], capture_output=True, text=True, check=False
        )
        return [first, *map(int, found.stdout.split())]

    def freeze(self) -> list[int]:
        stopped = self.processes()
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        return stopped

    @staticmethod
    def thaw(stopped: list[int]) -> None:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A running server, gone at the end. Its folder is not pytest's, which other users cannot
    enter.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = PostgreSQL(Path(folder))
        server.make()
        try:
            yield server
        finally:
            with suppress(Exception):
                server.thaw(server.processes())
            with suppress(Exception):
                server.crash()


@dataclass
class Site:
    """The site under gunicorn."""

    url: str
    log: Path
    environment: dict[str, str]
    workers: int = 1
    threads: int = 8
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str) -> str:
        """What a command of `manage.py` prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.full_environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def token(self) -> str:
        """An API token with all permissions."""
        self.environment["DJANGO_SUPERUSER_PASSWORD"] = "of tests alone"
        self.manage("createsuperuser", "--noinput", "--username", "boss", "--email", "b@b.test")
        return self.manage("createtoken", "boss", "--user", "boss").split()[-1]

    def create(self, token: str, name: str, **more: Any) -> int:
        """A data source that the token reads and writes; its id."""
        rule = {"type": ["select", "insert", "update", "delete"], "allow": "all"}
        body = {"name": name, "columns": ["A"], "accessRules": [rule], **more}
        status, found, _ = self.ask("POST", "/v1/data-sources", body, token)
        assert status == 201, found
        return int(found["dataSource"]["id"])

    def full_environment(self) -> dict[str, str]:
        given = {**os.environ, "DATABASE_URL": self.url, **self.environment}
        given.pop("PGOPTIONS", None)
        return {"SECRET_KEY": "of tests alone", "ALLOWED_HOSTS": "127.0.0.1", **given}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "project.wsgi"),
                    *("--bind", f"127.0.0.1:{self.port}", "--no-control-socket"),
                    *("--worker-class", "gthread", "--log-level", "warning"),
                    *("--workers", str(self.workers), "--threads", str(self.threads)),
                ],
                cwd=ROOT,
                env=self.full_environment(),
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(OSError, HTTPException):
                if self.ask("GET", "/v1/user")[0] in (200, 401):
                    return
            time.sleep(0.1)
        raise AssertionError(f"the site does not answer: {self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def web_workers(self) -> list[int]:
        """The processes that answer."""
        assert self.process is not None
        return children(self.process.pid)

    def script_workers(self) -> list[int]:
        """The processes that run scripts, with their supervisors."""
        return [found for worker in self.web_workers() for found in children(worker)]

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "",
        timeout: float = 60,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, body, headers). Raises `OSError` or `HTTPException` without an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            kind = response.headers.get("Content-Type", "")
            found = json.loads(text) if kind.startswith("application/json") else text
            return response.status, found, dict(response.headers)
        finally:
            connection.close()


def children(process: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(process)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


@contextmanager
def site(url: str, folder: Path, **options: Any) -> Iterator[Site]:
    """The site, migrated and running; `environment` and the numbers of workers and threads."""
    made = Site(url, folder / "site.log", options.pop("environment", {}), **options)
    made.manage("migrate", "--verbosity", "0")
    try:
        made.start()
        yield made
    finally:
        made.stop()
