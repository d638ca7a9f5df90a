"""What all admin pages on data sources share: who may open them, and their layout.

Guardian's own admin class answers 403 to users who only have permissions on single data sources.
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
    """Pages on data sources; one that the user has no permission on does not exist on any page."""

    class Media:
        css = {"all": ["rowkeeper/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataSource]:
        """Return the data sources that the user may see."""
        return visible(request.user, super().get_queryset(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the start page links to this page."""
        return self.has_add_permission(request) or self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """Whether the user has any permission on the data source, which is enough for its page."""
        return self._has(request, obj, *OBJECT_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """Whether the user has one of the two permissions that each make some fields editable."""
        return self._has(request, obj, "change", "change_rules")

    def has_delete_permission(self, request: HttpRequest, obj: DataSource | None = None) -> bool:
        """Whether the user has the `delete` permission on the data source."""
        return self._has(request, obj, "delete")

    def _has(self, request: HttpRequest, obj: DataSource | None, *rights: str) -> bool:
        if obj is None:
            return may_somewhere(request.user, *rights)
        return any(may(request.user, right, obj) for right in rights)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show the history only to users who may see the data source, because it has its data."""
        obj = self.get_object(request, object_id)
        if obj is not None and not may_see(request.user, obj):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    # -- additional pages

    def url_name(self, page: str) -> str:
        """Return the name of a page's URL."""
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"

    def own_source(self, request: HttpRequest, source_id: int, *rights: str) -> DataSource:
        """Return the data source that a page is about.

        Raises `Http404` if it does not exist or the user may not see it, and `PermissionDenied` if
        the user has none of the `rights`.
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
        """Return (name, URL) of the pages about a data source that the user may open."""
        held = rights_on(request.user, obj)
        links = []
        if "view" in held or "change" in held:
            links.append(("Entries", reverse(self.url_name("entries"), args=[obj.pk])))
        if "share" in held:
            links.append(("Permissions", reverse(self.url_name("rights"), args=[obj.pk])))
        return links

    def page(
        self, request: HttpRequest, obj: DataSource, name: str, title: str, **context: Any
    ) -> TemplateResponse:
        """Return the response for an additional page, in the layout of the admin."""
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
