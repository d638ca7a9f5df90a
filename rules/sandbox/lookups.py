"""The look-ups of scripts, as whoever runs one hands them in: they run in the web process."""

from __future__ import annotations

from typing import Any, Protocol


class LookupFailed(Exception):
    """A look-up cannot be answered; the text is what the script is told, as a `LookupError`."""


class Lookups(Protocol):
    """Reads of data sources for one script. `reference` is an id or a name.

    Both keep to the time that is left, and raise `LookupFailed` for what the script may be told.
    """

    def find(
        self,
        reference: int | str,
        where: dict[str, Any],
        limit: int,
        offset: int,
        seconds_left: float,
    ) -> list[dict[str, Any]]:
        """The records, each `{"id": ..., "data": {...}}`, at most `limit` of them."""

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """How many records there are."""
