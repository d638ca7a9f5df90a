"""How long requests take while PostgreSQL or Redis does not answer, or a row is locked.

    python -m benchmarks.waits [NAME …]

A PostgreSQL server of its own, and the site under gunicorn with 8 threads and its default limits.

- `frozen`: the processes of PostgreSQL are stopped. Reads and writes are answered 503 within 30
  seconds: `DATABASE_SECONDS`, the connection that is tried then, and a little.
- `locked`: a row is locked, and 16 clients write to it. Each of them is answered 503 within 15
  seconds. Meanwhile reads of another data source are answered within a second.
- `redis`: Redis takes connections, and never answers. A sign-in is answered 503 within 15 seconds,
  and reads meanwhile within a second.

The exit code is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import PostgreSQL, Site, postgresql, site

WRITERS, SOON = 16, 1.0
# Seconds until the client gives up.
NEVER = 90.0


class Ground:
    """The running site, with two data sources of one row."""

    def __init__(self, server: PostgreSQL, running: Site) -> None:
        self.server, self.site, self.token = server, running, running.token()
        self.paths = [
            f"/v1/data-sources/{running.create(self.token, name, entries=[{'A': 1}])}/data"
            for name in ("Written", "Read")
        ]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[float, int]:
        """The seconds until the answer, and its status; 0 if none came."""
        began = time.monotonic()
        try:
            status = self.site.ask(method, path, body, self.token, timeout=NEVER)[0]
        except OSError:
            status = 0
        return time.monotonic() - began, status

    def report(self, what: str, answers: list[tuple[float, int]], status: int, most: float) -> bool:
        """Print and judge: all have this status, and came in time."""
        slowest, statuses = max(took for took, _ in answers), sorted({each for _, each in answers})
        kept = slowest <= most and statuses == [status]
        print(
            f"{what}: {len(answers)} answers with {', '.join(map(str, statuses))}, "
            f"the slowest after {slowest:.1f} s (at most {most:g}){'' if kept else '  MISSED'}",
            flush=True,
        )
        return kept

    def beside(self, asked: list[Future[tuple[float, int]]]) -> list[tuple[float, int]]:
        """Reads of the other data source until all that was asked is answered."""
        found = []
        while not found or not all(each.done() for each in asked):
            found.append(self.ask("GET", self.paths[1]))
            time.sleep(0.1)
        return found


def frozen(ground: Ground) -> bool:
    stopped = ground.server.freeze()
    try:
        asks = [("GET", None), ("PUT", {"A": 2})] * 3
        with ThreadPoolExecutor(len(asks)) as pool:
            sent = [pool.submit(ground.ask, how, ground.paths[0], body) for how, body in asks]
            answers = [each.result() for each in sent]
    finally:
        ground.server.thaw(stopped)
    return ground.report("a frozen database", answers, 503, 30)


def locked(ground: Ground) -> bool:
    import psycopg

    path = ground.paths[0]
    entry = ground.site.ask("GET", path, token=ground.token)[1]["entries"][0]["id"]
    with (
        psycopg.connect(ground.server.superuser.replace("/postgres", "/site")) as other,
        ThreadPoolExecutor(WRITERS) as pool,
    ):
        other.execute("SELECT 1 FROM rowkeeper_datasources_entry WHERE id=%s FOR UPDATE", [entry])
        sent = [pool.submit(ground.ask, "PUT", f"{path}/{entry}", {"A": 3}) for _ in range(WRITERS)]
        time.sleep(0.2)
        reads = ground.beside(sent)
        answers = [each.result() for each in sent]
    kept = ground.report("writes to a locked row", answers, 503, 15)
    return ground.report("reads beside them", reads, 200, SOON) and kept


def redis(ground: Ground) -> bool:
    where = {"Email": "ann@acme.com", "Password": "of tests alone"}
    body = {"passport": "dataSource", "dataSourceName": "Nobody", "where": where}
    with ThreadPoolExecutor(1) as pool:
        sent = [pool.submit(ground.ask, "POST", "/v1/session/authorize", body)]
        reads = ground.beside(sent)
        answers = [each.result() for each in sent]
    kept = ground.report("a sign-in while Redis does not answer", answers, 503, 15)
    return ground.report("reads in the meantime", reads, 200, SOON) and kept


MEASURES: dict[str, Callable[[Ground], bool]] = {
    "frozen": frozen,
    "locked": locked,
    "redis": redis,
}


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURES, []], default=[])
    names = parser.parse_args().names or list(MEASURES)
    kept = []
    with silent() as port:
        for name in names:
            environment = {"REDIS_URL": f"redis://127.0.0.1:{port}/0"} if name == "redis" else {}
            with (
                tempfile.TemporaryDirectory() as folder,
                postgresql() as server,
                site(server.url, Path(folder), environment=environment) as running,
            ):
                kept.append(MEASURES[name](Ground(server, running)))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
