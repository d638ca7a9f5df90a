"""One side of `benchmarks.against`, which runs this file in the checkout of either commit.

So it uses nothing but the site's HTTP and what `benchmarks` has had all along. It prints its cases
as JSON, and then, for each line `[case, count]` that it reads, the microseconds of processor time
and by the clock that one of that many requests took.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    # The folder of this file, where `http.py` would hide Python's own.
    sys.path.pop(0)
    rows, server = int(sys.argv[1]), sys.argv[2]
    from benchmarks import ground

    # Both sides are at work on the same server.
    ground.NAME = f"rowkeeper_benchmark_{os.getpid()}"
    with ground.database(server):
        cases = prepare(rows)
        kept = last()
        say({name: count for name, (count, _) in cases.items()})
        for line in sys.stdin:
            name, count = json.loads(line)
            requests = [cases[name][1]() for _ in range(count)]
            processor, clock = time.process_time(), time.perf_counter()
            for environ in requests:
                answer(environ)
            processor, clock = time.process_time() - processor, time.perf_counter() - clock
            say([1e6 * processor / count, 1e6 * clock / count])
            tidy(kept)


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def prepare(rows: int) -> dict[str, tuple[int, Callable[[], dict[str, Any]]]]:
    """The cases: how many requests make a turn, and what makes the next request."""
    import contextlib

    from benchmarks import commit, http

    with contextlib.suppress(ImportError), contextlib.redirect_stdout(sys.stderr):
        made = http.prepare(rows)
    large = commit.prepare().pk
    query = f"/v1/data-sources/{made['source']}/data/query"
    number = iter(range(10**9))

    def select(who: str, where: dict[str, Any], anew: bool) -> Callable[[], dict[str, Any]]:
        # What is decided of so long a body is not kept for when it comes again.
        text = json.dumps({"where": where, "limit": 50}).ljust(1_025 if anew else 0)
        return lambda: environ(query, text.encode(), made["tokens"][who])

    def commits(count: int, token: str = "") -> Callable[[], dict[str, Any]]:
        def make() -> dict[str, Any]:
            entries = [{"data": ground_row(next(number))} for _ in range(count)]
            body = {"append": True, "returnEntries": False, "entries": entries}
            return environ(f"/v1/data-sources/{large}/commit", json.dumps(body).encode(), token)

        return make

    def insert() -> dict[str, Any]:
        row = json.dumps(ground_row(next(number)))
        return environ(f"/v1/data-sources/{large}/data", row.encode(), method="PUT")

    one, fifty = {"Email": "bob@acme.com"}, {"Department": "Engineering"}
    return {
        "one row, again": (50, select("bob", one, False)),
        "one row, anew": (30, select("bob", one, True)),
        "fifty rows, again": (30, select("alice", fifty, False)),
        "fifty rows, anew": (30, select("alice", fifty, True)),
        "insert": (30, insert),
        "commit of 1": (30, commits(1)),
        "commit of 500": (2, commits(500)),
        "commit of 20000": (1, commits(20_000, made["tokens"]["bob"])),
    }


def ground_row(n: int) -> dict[str, Any]:
    from benchmarks.ground import row_of

    return row_of(n, n, 2_000)


def environ(path: str, text: bytes, token: str = "", method: str = "POST") -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(text)),
        "wsgi.input": io.BytesIO(text),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **({"HTTP_AUTH_TOKEN": token} if token else {}),
    }


def answer(environ: dict[str, Any]) -> None:
    from project.wsgi import application

    status = ""

    def start(text: str, headers: object, exc_info: object = None, /) -> Any:
        nonlocal status
        status = text

    response = application(environ, start)
    content = b"".join(response)
    response.close()
    assert status[:2] == "20", (status, content)


def last() -> int:
    """The highest id of an entry."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM rowkeeper_datasources_entry")
        return int(cursor.fetchone()[0])


def tidy(after: int) -> None:
    """Take away what a turn wrote, so that the next one finds the same."""
    from django.db import connection

    if last() > after:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM rowkeeper_datasources_entry WHERE id>{after}")
            if connection.vendor == "postgresql":
                cursor.execute("VACUUM rowkeeper_datasources_entry")


if __name__ == "__main__":
    main()
