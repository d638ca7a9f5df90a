"""Finds the entry for a row of a file, and checks rows of sign-in data sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .. import store
from ..catalog.passwords import MAX_HASHED_AT_ONCE, MAX_LENGTH
from ..catalog.registry import Source
from ..query.select import Projection
from ..query.where import EVERYTHING
from ..store import normal_address
from ..values.validation import is_scalar, printable
from .changes import Change
from .problems import Problem
from .table import FileRow


def key_of(value: Any) -> Any:
    """Return a key that is equal for equal values: `1` and `1.0`, but not `"1"` or `true`."""
    return (isinstance(value, bool), value)


def pairs(source: Source, column: str) -> Iterator[tuple[int, Any]]:
    """Yield the id of every entry with its value of one column, or None."""
    for text in store.stream(source, EVERYTHING, Projection(frozenset({column}))):
        entry = json.loads(text)
        yield entry["id"], entry["data"].get(column)


class Keys:
    """Which entry has which value of the key, and which rows of the file have used it."""

    def __init__(self, source: Source, column: str) -> None:
        self.column = column
        self._ids: dict[Any, int] = {}
        self._several: dict[Any, int] = {}
        self._lines: dict[Any, int] = {}
        for entry_id, value in pairs(source, column):
            if is_scalar(value):
                key = key_of(value)
                if self._ids.setdefault(key, entry_id) != entry_id:
                    self._several[key] = self._several.get(key, 1) + 1

    def entry_of(self, row: FileRow) -> int | Problem | None:
        """Return the id of a row's entry; None if no entry has its key, or the row's problem."""
        value = row.values.get(self.column)
        if value is None or not is_scalar(value):
            message = "the key is empty" if value is None else "a list or an object cannot be a key"
            return Problem(row.line, message, self.column)
        key = key_of(value)
        first = self._lines.setdefault(key, row.line)
        if first != row.line:
            return Problem(
                row.line, f"line {first} also has the key `{printable(value)}`", self.column
            )
        if key in self._several:
            message = f"{self._several[key]} entries have the key `{printable(value)}`"
            return Problem(row.line, message, self.column)
        return self._ids.get(key)


# -- sign-in data sources


class Passwords:
    """Checks that passwords are short enough, and few enough to be hashed in one import."""

    def __init__(self, source: Source) -> None:
        self._secret = sorted(source.secret)
        self._count = 0

    def problems(self, change: Change) -> Iterator[Problem]:
        """Yield what is wrong with the passwords of one row."""
        before = change.before.data if change.before else {}
        for column in self._secret:
            new = (change.row or {}).get(column)
            if new is None or new == before.get(column):
                continue
            self._count += 1
            if self._count == MAX_HASHED_AT_ONCE + 1:
                message = f"only {MAX_HASHED_AT_ONCE} passwords can be set in one import"
                yield Problem(change.line, message, column, fatal=True)
            elif len(new) > MAX_LENGTH:
                yield Problem(
                    change.line, f"a password can have at most {MAX_LENGTH} characters", column
                )


class Addresses:
    """Checks that no two rows have the same address after everything is written."""

    def __init__(self, source: Source) -> None:
        assert source.login is not None
        self._column = source.login.email_column
        self._stored = {
            entry_id: address
            for entry_id, value in pairs(source, self._column)
            if (address := normal_address(value))
        }
        self._written: list[tuple[int, str]] = []

    def note(self, change: Change) -> None:
        """Record the address that a row will have."""
        if change.row is None:
            return
        address = normal_address(change.row.get(self._column))
        if change.before is not None and self._stored.get(change.before.id) == address:
            return
        if change.before is not None:
            self._stored.pop(change.before.id, None)
        if address:
            self._written.append((change.line, address))

    def problems(self, gone: list[int]) -> Iterator[Problem]:
        """Yield the lines whose address is also that of another row."""
        for entry_id in gone:
            self._stored.pop(entry_id, None)
        held = set(self._stored.values())
        lines: dict[str, int] = {}
        for line, address in self._written:
            first = lines.setdefault(address, line)
            if address in held or first != line:
                whose = f"line {first}" if first != line else "another entry"
                yield Problem(line, f"{whose} also has this email address", self._column)
