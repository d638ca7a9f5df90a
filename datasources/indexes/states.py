"""The states of a marked column's index, as they are stored and shown."""

from __future__ import annotations

from typing import Final

WANTED: Final = "wanted"
BUILDING: Final = "building"
READY: Final = "ready"
FAILED: Final = "failed"
