"""How a command names a data source."""

from __future__ import annotations

from django.core.management.base import CommandError

from ..catalog.registry import Source, find, reference_of
from ..errors import Malformed


def source_named(text: str) -> Source:
    """The data source of a number, or else of a name. Raises `CommandError`."""
    try:
        reference = reference_of(text)
    except Malformed as error:
        raise CommandError(error.message) from None
    found = find(reference)
    if found is None and isinstance(reference, int):
        found = find(text)
    if found is None:
        raise CommandError(f"there is no data source `{text}`, expected its number or its name")
    return found
