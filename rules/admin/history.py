"""The admin pages of the history of a data source's rules, where any revision can be restored.

They are for users who may change the rules. Restoring is a save like any other, with its checks,
its review and a new revision.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.admin.data_sources import DataSourceAdmin
from rowkeeper.datasources.admin.markup import code_spans
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.format import pretty
from rowkeeper.datasources.values.validation import MAX_INTEGER

from ..analysis.site import check
from ..describe.advice import in_lines
from ..describe.escalation import digest, review
from ..describe.history import change, history
from ..describe.rule import sentence, summaries
from ..models import Revision
from ..repository.authorship import without_writer
from ..repository.canonical import in_order
from ..repository.rules import RulesInvalid, rules_and_writers, rules_of, save_rules

PER_PAGE = 20


class HistoryPages(DataSourceAdmin):
    """The list of revisions, and the page of one of them, which can restore it."""

    def get_urls(self) -> list[Any]:
        """Add the pages of the history."""
        wrap, name = self.admin_site.admin_view, self._bare_name
        pages = "<int:source_id>/rules/history/"
        return [
            path(pages, wrap(self.rules_history_view), name=name("rules_history")),
            path(f"{pages}<int:number>/", wrap(self.revision_view), name=name("rules_revision")),
            *super().get_urls(),
        ]

    def _bare_name(self, page: str) -> str:
        return self.url_name(page).removeprefix("admin:")

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Add the link to the history, for users who may see the rules."""
        links = super().page_links(request, obj)
        if self._has(request, obj, "change_rules"):
            url = reverse(self.url_name("rules_history"), args=[obj.pk])
            links.append(("History of the rules", url))
        return links

    def rules_history_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """The revisions, newest first, each with its changes."""
        obj = self.own_source(request, source_id, "change_rules")
        revisions = Revision.objects.filter(data_source=obj).order_by("-number")
        page = Paginator(revisions, PER_PAGE).get_page(request.GET.get("page"))
        start = page.start_index() - 1 if page.paginator.count else 0
        shown = list(revisions[start : start + PER_PAGE + 1])
        return self.page(
            request,
            obj,
            "rules_history",
            "History of the rules",
            subtitle=obj.name,
            revisions=history(obj, shown, PER_PAGE),
            page=page,
            pages=page.paginator.get_elided_page_range(page.number),
        )

    def revision_view(self, request: HttpRequest, source_id: int, number: int) -> HttpResponse:
        """One revision: its changes, its rules, and what restoring it would change."""
        obj = self.own_source(request, source_id, "change_rules")
        revision = _revision(obj, number)
        if request.method == "POST":
            done = self._revert(request, obj, revision)
            if done is not None:
                return done
            obj = self.own_source(request, source_id, "change_rules")
        older = Revision.objects.filter(data_source=obj, number__lt=number).order_by("-number")
        (saved,) = history(obj, [revision, *older[:1]], 1)
        stored = rules_of(obj)
        found = check(revision.rules, obj, user=request.user)
        return self.page(
            request,
            obj,
            "rules_revision",
            f"Revision {number} of the rules",
            subtitle=obj.name,
            saved=saved,
            words=[sentence(each) for each in summaries(revision.rules)],
            text=pretty(in_order(revision.rules), 2),
            back=change(obj, stored, revision.rules) if revision.rules != stored else [],
            errors=[str(each) for each in found if each.severity == "error"],
            warnings=in_lines(each for each in found if each.severity == "warning"),
            widens=review(obj, revision.rules),
            seen=digest(obj, revision.rules),
            note=request.POST.get("note", "")[:1000],
            history_url=reverse(self.url_name("rules_history"), args=[obj.pk]),
        )

    def _revert(
        self, request: HttpRequest, obj: DataSource, revision: Revision
    ) -> HttpResponse | None:
        """Save the old list as a new revision. Returns None if it has to be reviewed (again)."""
        with atomic():
            registry.lock(obj.pk)
            obj.refresh_from_db()
            if request.POST.get("seen") != digest(obj, revision.rules):
                text = "The rules were changed in the meantime. Check the differences again."
                messages.warning(request, text)
                return None
            if review(obj, revision.rules) and "confirmed" not in request.POST:
                messages.warning(
                    request, "This lets people do more than the rules in force: confirm it below."
                )
                return None
            note = request.POST.get("note", "").strip()[:1000]
            problem = _saved(request, obj, revision, note)
            if problem:
                messages.error(request, problem)
                return None
            self.log_change(request, obj, f"Rules: reverted to revision {revision.number}.")
        messages.success(request, f"The rules of revision {revision.number} are in force again.")
        for text in in_lines(without_writer(*rules_and_writers(obj.pk)[:2])):
            messages.warning(request, code_spans(f"{text[:1].upper()}{text[1:]}"))
        return HttpResponseRedirect(reverse(self.url_name("rules_history"), args=[obj.pk]))


def _revision(obj: DataSource, number: int) -> Revision:
    """The revision with a number. Raises `Http404` if there is none."""
    if number > MAX_INTEGER:
        raise Http404
    found = Revision.objects.filter(data_source=obj, number=number).first()
    if found is None:
        raise Http404
    return found


def _saved(request: HttpRequest, obj: DataSource, revision: Revision, note: str) -> str | None:
    """Save the rules of a revision. Returns the reason if they cannot be saved, otherwise None."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    try:
        save_rules(
            obj,
            revision.rules,
            request.user,
            origin=Revision.Origin.ADMIN,
            note=note,
            reverts=revision.number,
        )
    except RulesInvalid as error:
        return f"These rules are no longer valid: {error.message}"
    except PermissionMissing as error:
        return error.message
    return None
