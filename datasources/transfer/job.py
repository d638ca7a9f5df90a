"""An import as somebody asked for it: a file, how it is read, and what is done with its rows.

It is looked at (`preview`) and carried out (`apply`). What is carried out is what was looked at:
`seen` names the file, the way it is read, and the state of the data source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from .. import store
from ..catalog.registry import Source
from .plan import Plan, check_mode
from .table import Reading, Table

# Told how much of the file has been read (None: who knows), and how many rows.
Progress = Callable[[float | None, int], None]


def silent(fraction: float | None, rows: int) -> None:
    """A progress that nobody follows."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be imported, and how."""

    path: Path
    mode: str = "append"
    key: str | None = None
    reading: Reading = field(default_factory=Reading)

    def plan(self, source: Source, lock: bool = False) -> Plan:
        """The plan for a data source. Raises `Unreadable`."""
        table = Table(self.path, self.reading, source)
        check_mode(table, self.mode, self.key)
        return Plan(table, self.mode, self.key, lock)

    def seen(self, source: Source, lock: bool = False) -> str:
        """What a preview is of. Where rows are only added, entries do not matter to it."""
        adds = self.mode == "append" and source.login is None
        parts = (
            _digest(self.path),
            self.mode,
            self.key,
            self.reading.format,
            self.reading.delimiter,
            self.reading.recognise,
            sorted(self.reading.text_columns),
            source.id,
            source.columns,
            sorted(source.declared),
            sorted(source.secret),
            source.login,
            None if adds else store.state(source, lock),
        )
        return sha256(repr(parts).encode()).hexdigest()


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
