"""How arguments of commands name things: a data source by id or name, and JSON."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import loads
from rowkeeper.datasources.values.validation import join_some, printable, whole_number


def data_source(reference: str) -> DataSource:
    """The data source with this id, or else with this name. Raises `CommandError` without one."""
    found = None
    number = whole_number(reference)
    if number is not None:
        found = DataSource.objects.filter(pk=number).first()
    found = found or DataSource.objects.filter(name=reference).first()
    if found is None:
        raise CommandError(
            f"there is no data source `{reference}`, expected an ID or a name: {_existing()}"
        )
    return found


def _existing() -> str:
    rows = DataSource.objects.order_by("pk").values_list("pk", "name")[:11]
    found = [f"{pk} `{printable(name)}`" for pk, name in rows]
    return f"there are {join_some(found)}" if found else "there are no data sources yet"


def json_object(option: str, text: str) -> dict[str, Any]:
    """Parse the JSON object of an option. Raises `CommandError`."""
    try:
        value = loads(text, "the argument")
    except Malformed as error:
        raise CommandError(f"{option}: {error.message}") from None
    if not isinstance(value, dict):
        raise CommandError(f"{option} must be a JSON object, such as {{}}")
    return value
