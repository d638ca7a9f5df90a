"""Runs of scripts as the tests make them: a user, look-ups without a database, quick limits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.test import override_settings

from rowkeeper.rules.sandbox import LookupFailed, run
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict
from rowkeeper.rules.sandbox.runner import close_pool
from rowkeeper.rules.sandbox.strikes import strikes

CASES = Path(__file__).parents[1] / "cases"
HONEST: list[dict[str, Any]] = json.loads((CASES / "honest_scripts.json").read_text())
HOSTILE: list[dict[str, Any]] = json.loads((CASES / "hostile_scripts.json").read_text())

USER: dict[str, Any] = {
    "Email": "bob@acme.com",
    "First Name": "Bob",
    "Office": "London",
    "Age": 42,
    "Admin": "No",
    "Tags": ["a", "b"],
    "Home": {"City": "Rome", "keys": [1]},
    "items": "three",
    "Nothing": None,
    "Zero": 0,
    "Empty": "",
}
GRANTS = 'return {"granted": user.Email == "bob@acme.com"}'
FOREVER = "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass"


class Users:
    """Three records in every data source but two; `slow` and `asleep` take their time."""

    def find(
        self,
        reference: int | str,
        where: dict[str, Any],
        limit: int,
        offset: int,
        seconds_left: float,
    ) -> list[dict[str, Any]]:
        assert 0 < seconds_left <= 3
        if reference == "slow":
            time.sleep(0.05)
        if reference == "asleep":
            time.sleep(seconds_left)
        records = [{"id": n + 1, "data": {"Name": f"u{n}"}} for n in range(self.number(reference))]
        return records[offset : offset + limit]

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        assert 0 < seconds_left <= 3
        return self.number(reference)

    def number(self, reference: int | str) -> int:
        if reference == "Gone":
            raise LookupFailed("there is no data source `Gone`")
        return 0 if reference == "Nothing" else 3


def ask(script: str, lookups: Any = None, **parts: Any) -> ScriptVerdict:
    """The verdict of one run."""
    given: dict[str, Any] = {"operation": "select", "user": USER, "query": {}, **parts}
    return run(ScriptCall(script, **given), lookups or Users())


@contextmanager
def limits(**names: Any) -> Iterator[None]:
    """Other limits, and so a pool of its own."""
    with override_settings(ROWKEEPER={"SCRIPTS": {n.upper(): v for n, v in names.items()}}):
        yield
        close_pool()
        strikes.clear()
