"""The interface of look-ups, which run in the web process on behalf of scripts."""

from __future__ import annotations

from typing import Any, Protocol


class LookupFailed(Exception):
    """A look-up failed. The script gets the text, as a `LookupError`."""


class Lookups(Protocol):
    """Reads data sources for one script. `reference` is an id or a name.

    Both methods respect the time limit, and raise `LookupFailed` with a text for the script.
    """

    def find(
        self,
        reference: int | str,
        where: dict[str, Any],
        limit: int,
        offset: int,
        seconds_left: float,
    ) -> list[dict[str, Any]]:
        """The matching entries, each as `{"id": ..., "data": {...}}`, at most `limit` of them."""

    def count(self, reference: int | str, where: dict[str, Any], seconds_left: float) -> int:
        """The number of matching entries."""
