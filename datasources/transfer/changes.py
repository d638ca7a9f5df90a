"""What one row of a file does to what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..store import StoredEntry


@dataclass(frozen=True, slots=True)
class Change:
    """What a row does. `before` None: a new entry; `row` None: nothing is to be written."""

    line: int
    row: dict[str, Any] | None
    before: StoredEntry | None = None
