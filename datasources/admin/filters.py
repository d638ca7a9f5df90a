"""Restricts the query parameters that filter an admin list to the filters that the page shows.

Django lets a request filter by every field of the model itself. The number of rows would then
reveal the values of fields that the page does not show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey
from django.http import HttpRequest

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class OwnFilters(_ModelAdmin):
    """Refuses, with status 400, every filter that is not in `list_filter`."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Whether a query parameter may filter the list."""
        names = self.list_filter if request is None else self.get_list_filter(request)
        return any(lookup in self._parameters_of(name) for name in names)

    def _parameters_of(self, item: Any) -> set[str]:
        """Return the query parameters that one item of `list_filter` uses."""
        if isinstance(item, type):
            return {str(getattr(item, "parameter_name", ""))}
        name = item[0] if isinstance(item, list | tuple) else item
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            return {name}
        exact = name
        if isinstance(field, ForeignKey):
            exact = f"{name}__{field.target_field.name}"
        return {f"{exact}__exact", f"{name}__isnull"}
