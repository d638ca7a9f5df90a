"""The admin pages of the decision log."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may

from ..decision_log.query import PER_PAGE, LogFilter, RefusalFilter, lines
from ..models import LoggedDecision, LoggedRefusal
from .simulator import SimulatorPages


class DecisionLogPages(SimulatorPages):
    """The decision log of a data source and the refusals of the site, for users with `view_log`."""

    def get_urls(self) -> list[Any]:
        """Add the pages."""
        view = self.admin_site.admin_view(self.decisions_view)
        name = self.url_name("decisions").removeprefix("admin:")
        refusals = self.admin_site.admin_view(self.refusals_view)
        return [
            path("<int:source_id>/decisions/", view, name=name),
            path("refusals/", refusals, name=self.url_name("refusals").removeprefix("admin:")),
            *super().get_urls(),
        ]

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Add the links to the pages."""
        links = super().page_links(request, obj)
        if may(request.user, "view_log", obj):
            links.append(("Decisions", reverse(self.url_name("decisions"), args=[obj.pk])))
        if may(request.user, "view_log"):
            links.append(("Refused requests of the site", reverse(self.url_name("refusals"))))
        return links

    def refusals_view(self, request: HttpRequest) -> HttpResponse:
        """Requests that the site refused before any data source's rules were evaluated.

        Only for users who may see the log of all data sources.
        """
        if not may(request.user, "view_log"):
            raise PermissionDenied
        wanted = RefusalFilter(request.GET)
        found: list[LoggedRefusal] = []
        decision = None
        if wanted.is_valid():
            found = list(wanted.found()[: PER_PAGE + 1])
            decision = wanted.decision()
        older = ""
        if len(found) > PER_PAGE:
            older = f"?{urlencode({**_filters(request), 'before': found[PER_PAGE - 1].pk})}"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": "Refused requests",
            "wanted": wanted,
            "refusals": found[:PER_PAGE],
            "older": older,
            "decision": decision,
            "decision_url": "" if decision is None else self._decision_url(decision),
        }
        template = "admin/rowkeeper_datasources/datasource/refusals.html"
        return TemplateResponse(request, template, context)

    def _decision_url(self, decision: LoggedDecision) -> str:
        url = reverse(self.url_name("decisions"), args=[decision.data_source_id])
        return f"{url}?{urlencode({'request': decision.request_id})}"

    def decisions_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """A page of the log, newest first; `?before=` continues from a line."""
        obj = self.own_source(request, source_id, "view_log")
        wanted = LogFilter(request.GET)
        found: list[LoggedDecision] = []
        if wanted.is_valid():
            rows = LoggedDecision.objects.filter(data_source=obj).order_by("-pk")
            found = list(wanted.found(request.user, rows)[: PER_PAGE + 1])
        return self.page(
            request,
            obj,
            "decisions",
            "Decisions",
            subtitle=obj.name,
            wanted=wanted,
            is_filtered=bool(_filters(request)),
            lines=lines(request.user, found[:PER_PAGE]),
            older=_older(request, found),
            newest=f"?{urlencode(_filters(request))}",
            simulator_url=self.simulator_url(request, obj),
            links=[link for link in self.page_links(request, obj) if link[0] != "Decisions"],
        )


def _older(request: HttpRequest, found: list[LoggedDecision]) -> str:
    """The query string of the next page; empty without one."""
    if len(found) <= PER_PAGE:
        return ""
    return f"?{urlencode({**_filters(request), 'before': found[PER_PAGE - 1].pk})}"


def _filters(request: HttpRequest) -> dict[str, Any]:
    return {key: value for key, value in request.GET.dict().items() if value and key != "before"}
