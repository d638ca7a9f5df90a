"""Kill web workers, script workers and the database while clients write, and check every write.

    python -m tests.faults.run [--seconds 75] [--database sqlite|postgresql] [--seed N]

It starts gunicorn with 3 processes, on SQLite and on a PostgreSQL of its own. Afterwards it counts
the rows of every write: an acknowledged one is there once, one that failed is not there, and one
without an answer is there as a whole or not at all. A backup that was taken meanwhile is restored
and read. The exit code is 1 where anything is not so.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.clients import ALL, SCRIPT, Clients, Notes
from tests.support.servers import PostgreSQL, Site, postgresql, postgresql_programs, site

WORKERS, THREADS = 3, 8


class Run:
    """One site on one database."""

    def __init__(self, folder: Path, running: Site, server: PostgreSQL | None, seed: int) -> None:
        self.folder, self.site, self.server = folder, running, server
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stored_without_key = 0
        token = running.token()
        self.clients = Clients(
            running,
            token,
            {
                "Commits": running.create(token, "Commits", columns=["Key"]),
                "Scripted": running.create(
                    token, "Scripted", columns=["Key"], accessRules=[{"script": SCRIPT}]
                ),
                "Rules": running.create(token, "Rules", accessRules=[ALL]),
            },
            folder,
            random.Random(seed),
        )
        running.manage("indexes", "Commits", "--mark", "Key", "--build")

    def go(self, seconds: float) -> bool:
        """Whether all is as it has to be."""
        threads = self.clients.start()
        until = time.monotonic() + seconds
        backup = threading.Thread(target=self._back_up_later, args=(seconds / 2,))
        backup.start()
        while time.monotonic() < until:
            time.sleep(self.random.uniform(0.5, 1.5))
            self._kill()
        self.clients.stop.set()
        for thread in [*threads, backup]:
            thread.join(180)
            if thread.is_alive():
                self.problems.append(f"{thread.name} does not end")
        self._check()
        try:
            self._restore()
        except (AssertionError, subprocess.CalledProcessError) as error:
            self.problems.append(f"the backup could not be restored: {error}")
        self._say(seconds)
        return not self.problems

    # -- killing

    def _kill(self) -> None:
        kinds: list[Callable[[], None]] = [self._kill_web, self._kill_web, self._kill_script]
        if self.server is not None:
            kinds.append(self._crash)
        self.random.choice(kinds)()

    def _kill_web(self) -> None:
        self._kill_one("web workers", self.site.web_workers())

    def _kill_script(self) -> None:
        self._kill_one("script workers", self.site.script_workers())

    def _kill_one(self, kind: str, processes: list[int]) -> None:
        if processes:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(processes), signal.SIGKILL)
                self.kills[kind] += 1

    def _crash(self) -> None:
        assert self.server is not None
        self.server.crash()
        time.sleep(self.random.uniform(0, 0.5))
        self.server.start()
        self.kills["PostgreSQL"] += 1

    # -- checking

    def _check(self) -> None:
        notes: Notes = self.clients.notes
        there = Counter(self._keys())
        for name, rows in notes.acknowledged.items():
            if there[name] != rows:
                self.problems.append(f"`{name}` was acknowledged: {there[name]} of {rows} rows")
        for name in notes.failed:
            if there[name]:
                self.problems.append(f"`{name}` was answered as failed: {there[name]} rows")
        self.stored_without_key = sum(there[name] > 0 for name in notes.busy)
        # Where the database is killed as it stores, nobody knows; one client sends without a key.
        if self.stored_without_key > self.kills["PostgreSQL"]:
            self.problems.append(f"{self.stored_without_key} writes answered 503 were stored")
        for name, rows in {**notes.unknown, **notes.busy}.items():
            if there[name] not in (0, rows):
                self.problems.append(f"`{name}` is half: {there[name]} of {rows} rows")
        self.problems += notes.faults[:10]
        self._check_rules(notes)
        if not notes.acknowledged or not self.kills["web workers"]:
            self.problems.append("too little happened")

    def _check_rules(self, notes: Notes) -> None:
        path = f"/v1/data-sources/{self.clients.sources['Rules']}"
        found = self.site.ask("GET", path, token=self.clients.token)[1]["dataSource"]
        names = [rule.get("name") for rule in found["accessRules"]]
        if len(set(names)) != 1 or names[0] not in notes.rules:
            self.problems.append(f"the rules are a mixture: {names}")
            return
        at = notes.rules.index(names[0])
        if len(names) != 1 + at % 5 or at < notes.rules_acknowledged:
            self.problems.append(
                f"the rules are those of save {at} ({len(names)}), and {notes.rules_acknowledged} "
                "was acknowledged"
            )

    def _keys(self, url: str = "") -> list[str]:
        text = "SELECT {} FROM rowkeeper_datasources_entry"
        if self.server is None:
            path = (url or self.site.url).removeprefix("sqlite:///")
            with closing(sqlite3.connect(path)) as connection:
                rows: list[Any] = connection.execute(text.format("data->>'$.Key'")).fetchall()
        else:
            with psycopg.connect(url or self.site.url) as other:
                rows = other.execute(text.format("data->>'Key'").encode()).fetchall()
        return [row[0] for row in rows]

    # -- a backup, as docs/how-to/back-up.md has it

    def _back_up_later(self, seconds: float) -> None:
        """While clients write; again where the database is killed meanwhile."""
        time.sleep(seconds)
        for _ in range(20):
            try:
                self._back_up()
            except (sqlite3.Error, subprocess.CalledProcessError):
                time.sleep(0.5)
            else:
                return
        self.problems.append("there was no backup")

    @property
    def _backup(self) -> Path:
        return self.folder / "backup"

    def _program(self, name: str, *words: str) -> None:
        programs = postgresql_programs()
        assert programs is not None
        subprocess.run([str(programs / name), *words], check=True, capture_output=True)

    def _back_up(self) -> None:
        if self.server is not None:
            self._program("pg_dump", "-Fc", "-f", str(self._backup), self.site.url)
            return
        path = self.site.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(self._backup)) as new:
            old.backup(new)

    def _restore(self) -> None:
        url = f"sqlite:///{self._backup}"
        if self.server is not None:
            with psycopg.connect(self.server.superuser, autocommit=True) as admin:
                admin.execute("CREATE DATABASE restored OWNER site")
            url = self.site.url.replace("/site", "/restored").replace("//restored", "//site")
            self._program(
                "pg_restore", "-d", url, "--exit-on-error", "--no-owner", str(self._backup)
            )
        counts = Counter(self._keys(url))
        notes = self.clients.notes
        sizes = {**notes.acknowledged, **notes.failed, **notes.unknown, **notes.busy}
        half = [name for name, rows in counts.items() if rows != sizes.get(name)]
        if half or not counts:
            self.problems.append(f"the backup has {len(counts)} writes, and half: {half[:3]}")
        restored = Site(url, self.folder / "restored.log", self.site.environment, threads=2)
        restored.manage("check", "--database", "default", "--fail-level", "WARNING")
        restored.manage("checkrules")
        try:
            restored.start()
            path = f"/v1/data-sources/{self.clients.sources['Commits']}/data/query"
            some = next(iter(counts))
            ask = {"where": {"Key": some}, "countOnly": True}
            status, found, _ = restored.ask("POST", path, ask, self.clients.token)
            if status != 200:
                self.problems.append(f"the restored site answers {status}: {found}")
        finally:
            restored.stop()

    def _say(self, seconds: float) -> None:
        notes = self.clients.notes
        print(
            f"{'PostgreSQL' if self.server else 'SQLite'}: {seconds:.0f} s, killed "
            f"{dict(self.kills)}; {len(notes.acknowledged)} writes acknowledged, "
            f"{len(notes.failed)} failed, {len(notes.unknown)} without an answer, "
            f"{len(notes.busy)} answered 503 and not sent again (stored: "
            f"{self.stored_without_key}); "
            f"{notes.rules_acknowledged + 1} saves of rules; statuses {dict(notes.statuses)}"
        )
        for problem in self.problems[:20]:
            print("  error:", problem)


def run(database: str, seconds: float, seed: int) -> bool:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        server = stack.enter_context(postgresql()) if database == "postgresql" else None
        url = f"sqlite:///{folder / 'site.sqlite3'}" if server is None else server.url
        running = stack.enter_context(
            site(url, folder, workers=WORKERS, threads=THREADS, environment={})
        )
        return Run(folder, running, server, seed).go(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    databases = [given.database] if given.database else ["sqlite", "postgresql"]
    print("seed", given.seed)
    done = [run(each, given.seconds, given.seed) for each in databases]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
