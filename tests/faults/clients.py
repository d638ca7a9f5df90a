"""Clients that write without a pause, and note what each write was answered."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from tests.support.servers import ROOT, Site

BATCH, IMPORTED = 5, 200
SCRIPT = "return {'granted': type == 'insert' and query.Key != 'none'}"
ALL = {"type": ["select", "insert", "update", "delete"], "allow": "all"}


@dataclass
class Notes:
    """What was sent, by the key of its rows, and what was said of it."""

    # How many rows there have to be of each acknowledged key.
    acknowledged: dict[str, int] = field(default_factory=dict)
    # Answered as failed, and not sent again.
    failed: dict[str, int] = field(default_factory=dict)
    # Without an answer: all or nothing.
    unknown: dict[str, int] = field(default_factory=dict)
    # Answered 503, without a key by which they could be sent again.
    busy: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    # The lists of rules that were sent, in order; the last one that was acknowledged.
    rules: list[str] = field(default_factory=list)
    rules_acknowledged: int = -1


@dataclass
class Clients:
    """Each runs in a thread of its own until `stop` is set."""

    site: Site
    token: str
    sources: dict[str, int]
    folder: Path
    random: Random
    notes: Notes = field(default_factory=Notes)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[threading.Thread]:
        kinds = [self.commit, self.commit, self.insert_once, self.scripted, self.bulk]
        kinds += [self.import_files, self.save_rules, self.read]
        threads = [threading.Thread(target=self._repeat, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        return threads

    def _repeat(self, kind: Callable[[], None]) -> None:
        while not self.stop.is_set():
            kind()

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> int:
        """The status; 0 where there was no answer."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            status, found, _ = self.site.ask(method, path, body, self.token, headers=headers)
        except (OSError, HTTPException, ValueError):
            status, found = 0, None
        self.notes.statuses[status] += 1
        if status >= 500 and status != 503:
            self.notes.faults.append(f"{method} {path}: {status} {found}")
        if status in (0, 503):
            time.sleep(0.1)
        return status

    def _until_answered(self, method: str, path: str, body: Any, rows: int, name: str) -> None:
        """Sent again with the same key until it is answered: stored once, whatever happened."""
        key = str(uuid4())
        status = 0
        while status in (0, 503, 409):
            status = self.ask(method, path, body, key)
        done = self.notes.acknowledged if status == 200 else self.notes.failed
        done[name] = rows

    def _once(self, method: str, path: str, body: Any, rows: int, name: str) -> None:
        """Not sent again. An answer of 503 says that it may be, so it is not a failure for good
        where the database broke while it stored.
        """
        status = self.ask(method, path, body)
        kind = {200: self.notes.acknowledged, 0: self.notes.unknown, 503: self.notes.busy}
        kind.get(status, self.notes.failed)[name] = rows

    def commit(self) -> None:
        name = f"commit {uuid4()}"
        entries = [{"clientId": str(at), "data": {"Key": name}} for at in range(BATCH)]
        body = {"append": True, "entries": entries}
        self._until_answered("POST", self._path("Commits", "commit"), body, BATCH, name)

    def insert_once(self) -> None:
        name = f"once {uuid4()}"
        body = {"append": True, "entries": [{"data": {"Key": name}}] * BATCH}
        self._once("POST", self._path("Commits", "commit"), body, BATCH, name)

    def scripted(self) -> None:
        name = f"scripted {uuid4()}"
        self._until_answered("PUT", self._path("Scripted", "data"), {"Key": name}, 1, name)

    def bulk(self) -> None:
        name = f"bulk {uuid4()}"
        body = {"append": True, "entries": [{"Key": name}] * IMPORTED}
        self._until_answered("POST", self._path("Commits", "data"), body, IMPORTED, name)

    def import_files(self) -> None:
        """By the command, which is killed now and then."""
        name = f"import {uuid4()}"
        path = self.folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["Key"])
            rows.writerows([[name]] * IMPORTED)
        words = [sys.executable, "manage.py", "importentries", "Commits", str(path)]
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=self.site.full_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if self.random.random() < 0.3:
            time.sleep(self.random.uniform(0.5, 3))
            process.kill()
        ended = process.wait(120)
        (self.notes.acknowledged if ended == 0 else self.notes.unknown)[name] = IMPORTED
        path.unlink()
        self.stop.wait(1)

    def save_rules(self) -> None:
        name = f"rules {len(self.notes.rules)}"
        rules = [{**ALL, "name": name}] * (1 + len(self.notes.rules) % 5)
        self.notes.rules.append(name)
        at = len(self.notes.rules) - 1
        if self.ask("PUT", self._path("Rules", ""), {"accessRules": rules}) == 200:
            self.notes.rules_acknowledged = at
        self.stop.wait(0.05)

    def read(self) -> None:
        self.ask("POST", self._path("Commits", "data/query"), {"limit": 10})
        self.ask("GET", self._path("Rules", ""))
        self.stop.wait(0.05)

    def _path(self, source: str, rest: str) -> str:
        return f"/v1/data-sources/{self.sources[source]}/{rest}".rstrip("/")
