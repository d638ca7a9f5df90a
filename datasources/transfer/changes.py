"""The effect of one row of a file on the stored entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..store import StoredEntry


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of a row. `before` None: a new entry; `row` None: nothing has to be written."""

    line: int
    row: dict[str, Any] | None
    before: StoredEntry | None = None
