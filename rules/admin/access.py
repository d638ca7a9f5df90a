"""The admin page on who can do what, for all data sources whose rules the user may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse

from rowkeeper.datasources.admin.data_sources import DataSourceAdmin
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having
from rowkeeper.datasources.values.validation import whole_number

from ..describe.overview import DOES, Overview, as_csv, overviews
from ..engine.rule import OPERATIONS

PER_PAGE = 10
BATCH = 50
_URL = "rowkeeper_access"


class AccessPages(DataSourceAdmin):
    """`access/`: the whole access matrix, one data source by column, or a CSV file."""

    change_list_template = "admin/rowkeeper_datasources/datasource/change_list.html"

    def get_urls(self) -> list[Any]:
        """Add the page."""
        view = self.admin_site.admin_view(self.access_view)
        return [path("access/", view, name=_URL), *super().get_urls()]

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Add a link to the part of the page about this data source."""
        links = super().page_links(request, obj)
        if self._has(request, obj, "change_rules"):
            links.append(("Who can do what", f"{self._access_url()}?source={obj.pk}"))
        return links

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Add the link to the page, for users who may change any rules."""
        url = self._access_url() if self._has(request, None, "change_rules") else ""
        return super().changelist_view(request, {**(extra_context or {}), "access_url": url})

    def access_view(self, request: HttpRequest) -> HttpResponseBase:
        """`?source=` for one data source, `?format=csv` for a file, `?page=`."""
        if not self._has(request, None, "change_rules"):
            raise PermissionDenied
        sources = self._sources(request)
        if request.GET.get("format") == "csv":
            headers = {
                "Content-Disposition": 'attachment; filename="who-can-do-what.csv"',
                "Cache-Control": "no-store",
            }
            return StreamingHttpResponse(
                (text.encode() for text in as_csv(_batches(sources))),
                content_type="text/csv; charset=utf-8",
                headers=headers,
            )
        page = Paginator(sources, PER_PAGE).get_page(request.GET.get("page"))
        found = overviews(list(page))
        one = found[0] if "source" in request.GET and found else None
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "admin/rowkeeper_datasources/datasource/access.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Who can do what",
                "subtitle": one.source.name if one else None,
                "media": self.media,
                "found": found,
                "one": one,
                "columns": _columns(one) if one else None,
                "operations": [DOES[operation] for operation in OPERATIONS],
                "page": page,
                "pages": page.paginator.get_elided_page_range(page.number),
                "all_url": self._access_url(),
                "csv_url": f"?{_with_csv(request)}",
            },
        )

    def _access_url(self) -> str:
        return reverse(f"admin:{_URL}")

    def _sources(self, request: HttpRequest) -> QuerySet[DataSource]:
        """The data sources whose rules the user may change; only one if the request names one."""
        mine = having(request.user, ("change_rules",), DataSource.objects.order_by("name"))
        text = request.GET.get("source")
        if text is None:
            return mine
        number = whole_number(text)
        if number is None:
            raise Http404
        one = mine.filter(pk=number)
        if not one.exists():
            raise Http404
        return one


def _with_csv(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop("page", None)
    query["format"] = "csv"
    return query.urlencode()


def _columns(one: Overview) -> list[tuple[str, list[list[tuple[str, str]]]]]:
    """(column, for each caller what they can do with it and whether always), for all columns."""
    by_column: dict[str, dict[int, list[tuple[str, str]]]] = {
        column: {} for column in one.source.columns
    }
    for line, operation, column, access, _ in one.by_column():
        if column and access != "no":
            place = by_column[column].setdefault(id(line), [])
            place.append((DOES[operation], access))
    return [
        (column, [cells.get(id(line), []) for line in one.lines])
        for column, cells in by_column.items()
    ]


def _batches(sources: QuerySet[DataSource]) -> Iterator[list[DataSource]]:
    keys = list(sources.values_list("pk", flat=True))
    for at in range(0, len(keys), BATCH):
        yield list(sources.filter(pk__in=keys[at : at + BATCH]))
