"""How commands refer to things: a data source by number or name, JSON as an argument."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from datasources.errors import Malformed
from datasources.jsontext import loads
from datasources.models import DataSource
from datasources.values import MAX_INTEGER


def data_source(reference: str) -> DataSource:
    """The data source of a number, or else of a name. Raises `CommandError`."""
    found = None
    if reference.isascii() and reference.isdigit() and int(reference[:30]) <= MAX_INTEGER:
        found = DataSource.objects.filter(pk=int(reference)).first()
    found = found or DataSource.objects.filter(name=reference).first()
    if found is None:
        raise CommandError(f"there is no data source `{reference}`, expected a number or a name")
    return found


def json_object(option: str, text: str) -> dict[str, Any]:
    """The JSON object in an option's text. Raises `CommandError`."""
    try:
        value = loads(text)
    except Malformed as error:
        raise CommandError(f"{option}: {error.message}") from None
    if not isinstance(value, dict):
        raise CommandError(f"{option} is a JSON object, such as {{}}")
    return value
