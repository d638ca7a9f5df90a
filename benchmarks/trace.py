"""Which of our files and functions a warm request passes.

    python -m benchmarks.trace [--sqlite] [--server URL] [--list]

Counted are the code objects of `rowkeeper` that run while the site's WSGI application answers one
request, nested functions and comprehensions included, as Python's profiler hook sees them. A switch
is a call from a function of one file to one of another, or its return. Each request has been sent
before, so that caches are warm. `--list` prints the files. It makes a database of its own, and
drops it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from .against_side import environ, ground_row
from .ground import database

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(str(ROOT / name) + os.sep for name in ("accounts", "datasources", "rules"))


class Trace:
    """The code objects that have run, and how often the file changed."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self.switches = 0
        self._file = ""

    @property
    def files(self) -> set[str]:
        """The files, from the root of the checkout."""
        return {str(Path(path_of(code)).relative_to(ROOT)) for code in self.codes}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """The hook of `sys.setprofile`."""
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if event == "return":
            back = frame.f_back
            if back is None:
                return
            code = back.f_code
        path = path_of(code)
        if not path.startswith(OURS):
            return
        if event == "call":
            self.codes.add(code)
        if path != self._file:
            self.switches += bool(self._file)
            self._file = path


def path_of(code: CodeType) -> str:
    """The file of a code object, without the links of `rowkeeper/`."""
    return (
        code.co_filename.replace(f"{os.sep}rowkeeper{os.sep}", os.sep, 1)
        if (f"{ROOT}{os.sep}rowkeeper{os.sep}" in code.co_filename)
        else code.co_filename
    )


def traced(make: Callable[[], dict[str, Any]]) -> Trace:
    """The trace of one request, after several like it."""
    from project.wsgi import application

    def answer() -> None:
        status: list[str] = []
        body = application(make(), lambda code, headers, error=None: status.append(code))
        text = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        assert status[0].startswith("200"), (status, text[:300])

    for _ in range(5):
        answer()
    trace = Trace()
    sys.setprofile(trace)
    try:
        answer()
    finally:
        sys.setprofile(None)
    return trace


def cases() -> dict[str, Callable[[], dict[str, Any]]]:
    """The requests by name."""
    from . import commit, http

    made = http.prepare(200)
    source, token = made["source"], made["tokens"]["bob"]
    large = commit.prepare().pk
    query = f"/v1/data-sources/{source}/data/query"
    where = json.dumps({"where": {"Email": "bob@acme.com"}, "limit": 50}).encode()
    counted = json.dumps({"where": {"Email": "bob@acme.com"}, "includePagination": True}).encode()
    number = iter(range(10**9))

    def row() -> dict[str, Any]:
        return ground_row(next(number))

    def commits() -> dict[str, Any]:
        body = {"append": True, "returnEntries": False, "entries": [{"data": row()}]}
        return environ(f"/v1/data-sources/{large}/commit", json.dumps(body).encode(), token)

    def insert() -> dict[str, Any]:
        text = json.dumps(row()).encode()
        return environ(f"/v1/data-sources/{large}/data", text, token, method="PUT")

    return {
        "select": lambda: environ(query, where, token),
        "select by the ordinary path": lambda: environ(query, counted, token),
        "insert": insert,
        "commit": commits,
    }


def main() -> None:
    """Print the figures of each request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--list", action="store_true", help="the files, too")
    parser.add_argument(
        "--server", default=os.environ.get("SERVER", "postgres://postgres@127.0.0.1:5432")
    )
    options = parser.parse_args()
    with database(options.server, options.sqlite):
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print(f"{'':32}{'files':>8}{'functions':>12}{'switches':>10}")
        for name, make in cases().items():
            found = traced(make)
            files = sorted(found.files)
            print(f"{name:32}{len(files):8}{len(found.codes):12}{found.switches:10}")
            if options.list:
                print("".join(f"    {path}\n" for path in files), end="")


if __name__ == "__main__":
    main()
