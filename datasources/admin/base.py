"""What all admin pages on data sources share: who may open them, and what they have in common.

Guardian's own admin class answers 403 to those who hold rights on single data sources alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from ..models import DataSource
from ..permissions.rights import OBJECT_RIGHTS, may, may_see, may_somewhere, rights_on, visible
from ..values.validation import MAX_INTEGER
from .filters import OwnFilters

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[DataSource]
else:
    _ModelAdmin = admin.ModelAdmin


class GuardedPages(OwnFilters, _ModelAdmin):
    """A data source that one has no right on does not exist, on any page."""

    class Media:
        css = {"all": ["rowkeeper/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataSource]:
        """The data sources that the user may see."""
        return visible(request.user, super().get_queryset(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the start page leads here."""
        return self.has_add_permission(request) or self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """Any right on a data source lets one see its page."""
        return self._has(request, obj, *OBJECT_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """Which fields can be changed is settled by the two rights, each for itself."""
        return self._has(request, obj, "change", "change_rules")

    def has_delete_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """A right of its own."""
        return self._has(request, obj, "delete")

    def _has(self, request: HttpRequest, obj: DataSource | None, *rights: str) -> bool:
        if obj is None:
            return may_somewhere(request.user, *rights)
        return any(may(request.user, right, obj) for right in rights)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """What was changed says what there is: for those who may see it."""
        obj = self.get_object(request, object_id)
        if obj is not None and not may_see(request.user, obj):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # -- pages of our own

    def url_name(self, page: str) -> str:
        """The name of the URL of a page."""
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"

    def own_source(self, request: HttpRequest, source_id: int, *rights: str) -> DataSource:
        """The data source that a page is about.

        Raises `Http404` for one that the user may not see, as for one that does not exist, and
        `PermissionDenied` where all of the rights are lacking.
        """
        if source_id > MAX_INTEGER:
            raise Http404
        obj = self.get_queryset(request).filter(pk=source_id).first()
        if obj is None:
            raise Http404
        if not self._has(request, obj, *rights):
            raise PermissionDenied
        return obj

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """The pages about a data source that the user may open: names and addresses."""
        held = rights_on(request.user, obj)
        links = []
        if "view" in held or "change" in held:
            links.append(("Entries", reverse(self.url_name("entries"), args=[obj.pk])))
        if "share" in held:
            links.append(("Rights", reverse(self.url_name("rights"), args=[obj.pk])))
        return links

    def page(
        self, request: HttpRequest, obj: DataSource, name: str, title: str, **context: Any
    ) -> TemplateResponse:
        """A page of ours, in the dress of the admin."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/rowkeeper_datasources/datasource/{name}.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "source": obj,
                "source_url": reverse(self.url_name("change"), args=[obj.pk]),
                "entries_url": reverse(self.url_name("entries"), args=[obj.pk]),
                "title": title,
                "media": self.media,
                **context,
            },
        )
