"""Switches that a client may send in the body, in the query string, or in both.

Clients of the API that this one is compatible with send `?append=true`. If a switch in the query
string were ignored, "add these rows" would become "replace everything".
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.validation import printable

QUERY_SWITCHES = ("includePagination", "countOnly")
BULK_SWITCHES = ("append",)
COMMIT_SWITCHES = ("append", "extend", "returnEntries")
_VALUES = {"true": True, "false": False}


def has_query(request: HttpRequest) -> bool:
    """Whether the URL has a query string. Checking this is faster than parsing an empty one."""
    return bool(request.META.get("QUERY_STRING"))


def names_switch(request: HttpRequest, names: tuple[str, ...]) -> bool:
    """Whether the query string has one of these switches."""
    return has_query(request) and any(name in request.GET for name in names)


def with_switches(
    request: HttpRequest, body: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """The body, with the switches in `names` that only the query string has.

    Raises `Malformed` for a switch that is neither `true` nor `false`, that is in the query string
    twice, or that has a different value in the body.
    """
    if not has_query(request):
        return body
    found = {name: _switch(request, name) for name in names if name in request.GET}
    for name, value in found.items():
        if body.get(name) is not None and body[name] is not value:
            raise contradiction(name)
    return {**body, **found}


def only_value(request: HttpRequest, name: str) -> str | None:
    """The value of a parameter of the query string, or None. Raises `Malformed` for two."""
    values = request.GET.getlist(name) if has_query(request) else []
    if len(values) > 1:
        raise Malformed(f"the query string has `{name}` {len(values)} times; send it only once")
    return values[0] if values else None


def contradiction(name: str) -> Malformed:
    """The error for a value that differs between the body and the query string."""
    return Malformed(
        f"`{name}` has different values in the body and in the query string; send it only once"
    )


def _switch(request: HttpRequest, name: str) -> bool:
    text = only_value(request, name) or ""
    if text not in _VALUES:
        raise Malformed(
            f"`{name}` in the query string must be `true` or `false`, not `{printable(text)}`"
        )
    return _VALUES[text]
