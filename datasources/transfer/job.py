"""An import as it was requested: a file, how it is read, and what is done with its rows.

An import is previewed (`preview`) and then carried out (`apply`). `seen` ensures that both are the
same: it identifies the file, how it is read, and the state of the data source.
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

# Called with the fraction of the file that has been read (None if unknown), and the number of rows.
Progress = Callable[[float | None, int], None]


def silent(fraction: float | None, rows: int) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is imported, and how."""

    path: Path
    mode: str = "append"
    key: str | None = None
    reading: Reading = field(default_factory=Reading)

    def plan(self, source: Source, lock: bool = False) -> Plan:
        """Return the plan for a data source. Raises `Unreadable`."""
        table = Table(self.path, self.reading, source)
        check_mode(table, self.mode, self.key)
        return Plan(table, self.mode, self.key, lock)

    def seen(self, source: Source, lock: bool = False) -> str:
        """Return a digest of everything that a preview depends on.

        If rows are only added, stored entries do not matter.
        """
        adds = self.mode == "append" and source.login is None
        parts = (
            _digest(self.path),
            self.mode,
            self.key,
            self.reading.format,
            self.reading.delimiter,
            self.reading.recognize,
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
