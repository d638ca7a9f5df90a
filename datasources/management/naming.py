"""How management commands refer to data sources."""

from __future__ import annotations

from django.core.management.base import CommandError

from ..catalog.registry import Source, find, reference_of
from ..errors import Malformed


def source_named(text: str) -> Source:
    """Return the data source with this id, or else with this name. Raises `CommandError`."""
    try:
        reference = reference_of(text)
    except Malformed as error:
        raise CommandError(error.message) from None
    found = find(reference)
    if found is None and isinstance(reference, int):
        found = find(text)
    if found is None:
        raise CommandError(f"there is no data source `{text}`, expected its ID or its name")
    return found
