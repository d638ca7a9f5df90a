"""The tutorial is followed, word for word, in a new Django project with its own server.

- ```` ```python add to FILE ````: the lines are added to the end of that file;
  ```` ```python write FILE ```` or ```` ```json write FILE ````: the file has this content.
- ```` ```console ````: each `$ ` line is run. A line of `curl` is sent to the server, and its
  answer and status are compared. Of another command, the output is compared. `…` stands for
  anything.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_docs import ROOT, _curl, _expanded, _like, _lines, blocks

pytestmark = pytest.mark.checkout

PAGE = ROOT / "docs" / "tutorial" / "first-data-source.md"
PASSWORD = "only-for-this-test"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty folder, and what is started in it until the test ends."""
    made = Project(tmp_path)
    yield made
    made.stop()


@pytest.mark.slow
def test_the_tutorial_can_be_followed(project: Project) -> None:
    statuses, ran = [], 0
    for block in blocks(PAGE):
        language, words = block.kind
        if language == "python" or words.startswith("write "):
            project.edit(words, block.text)
        for line, told in _lines(block) if language == "console" else ():
            if line.startswith("curl "):
                body, _, status = told.strip().rpartition("\n")
                found, text = project.send(_curl(_expanded(line, project.words)))
                assert found == int(status), (str(block), text)
                assert _like(json.loads(text), json.loads(body)), (str(block), text)
                statuses.append(found)
                for token in re.findall(r"\brks_[\w-]+", text):
                    project.words["ANN"] = token
            else:
                output = project.run(shlex.split(line))
                assert _looks_like(output, told), (str(block), output)
                ran += 1
                for token in re.findall(r"\brk_[\w-]+", output):
                    project.words["TOKEN"] = token
    assert {200, 201, 400, 401, 403} <= set(statuses)
    assert ran == 5


def _looks_like(output: str, told: str) -> bool:
    pattern = ".+".join(re.escape(part) for part in told.strip().split("…"))
    return re.fullmatch(pattern, output.strip()) is not None


class Project:
    """A project of a reader, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What the reader stores in variables of the shell.
        self.words: dict[str, Any] = {}
        settings = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY", "SCRIPT_NAME")
        self.environ = {key: value for key, value in os.environ.items() if key not in settings}
        self.environ |= {"PYTHONPATH": str(ROOT), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        self.port = 0
        self.server: subprocess.Popen[bytes] | None = None

    def edit(self, words: str, text: str) -> None:
        """Change a file as the page says."""
        how, _, name = words.rpartition(" ")
        path = self.folder / name
        assert how in ("add to", "write"), words
        before = path.read_text("utf-8") if how == "add to" else ""
        path.write_text(before + text, "utf-8")

    def run(self, command: list[str]) -> str:
        """Run a command with the Python of the tests. `createsuperuser` does not ask here."""
        if command[0] == "django-admin":
            command = ["python", "-m", "django", *command[1:]]
        if "createsuperuser" in command:
            command = [*command, "--noinput", "--verbosity", "0"]
        assert command[0] == "python", command
        done = subprocess.run(
            [sys.executable, *command[1:]],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        # A denial is the exit code 1 of `explain`.
        assert done.returncode == 0 or "explain" in command, done.stderr
        return done.stdout

    def start(self) -> None:
        """Start the development server, and wait until it accepts connections."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "manage.py", "runserver", "--noreload", str(self.port)]
        self.server = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise AssertionError("the development server did not start")

    def stop(self) -> None:
        """End the development server, if it was started."""
        if self.server:
            self.server.kill()
            self.server.wait()

    def send(self, request: dict[str, Any]) -> tuple[int, str]:
        """Return the status and the body of the answer. The first request starts the server."""
        if self.server is None:
            self.start()
        headers = {"Content-Type": "application/json"} | request["headers"]
        data = request["data"]
        if data.startswith("@"):
            data = (self.folder / data[1:]).read_text("utf-8")
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{request['url']}",
            data.encode() or None,
            headers,
            method=request["method"],
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()
