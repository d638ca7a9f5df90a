"""Values as short texts on a page. They are for people, and are not parsed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..values.codec import dumps

MAX_CELL = 80


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as it is displayed; `kind` is `missing`, `text` or `json`."""

    kind: str
    text: str


def cell(value: Any) -> Cell:
    """Return a value as a cell that is short enough for a table."""
    if value is None:
        return Cell("missing", "–")
    kind = "text" if isinstance(value, str) else "json"
    text = value if isinstance(value, str) else dumps(value)
    return Cell(kind, text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…")
