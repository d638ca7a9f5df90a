"""The admin page of a data source's scripts: their writers, and how to take a script over.

After taking a script over, its look-ups have the user's own permissions. This is a separate action
on a page that shows the script, since saving a whole list may restore scripts that nobody has read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.admin.data_sources import DataSourceAdmin
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may

from ..decision_log.over_limit import over_limit
from ..describe.advice import in_lines
from ..models import Revision
from ..repository.authorship import digest
from ..repository.rules import RulesInvalid, rules_and_writers, save_rules

_NOT_TICKED = "Nothing was changed: select the checkbox above the button first."
_GONE = "Nothing was changed: no rule contains this script any more."


@dataclass(frozen=True, slots=True)
class ScriptRow:
    """A script as the page shows it. `writer` is a username, empty if it is not known."""

    positions: str
    text: str
    digest: str
    writer: str
    is_own: bool


class ScriptPages(DataSourceAdmin):
    """The scripts of a data source's rules, each with its writer."""

    def get_urls(self) -> list[Any]:
        """Add the page."""
        view = self.admin_site.admin_view(self.scripts_view)
        name = self.url_name("rules_scripts").removeprefix("admin:")
        return [path("<int:source_id>/rules/scripts/", view, name=name), *super().get_urls()]

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Add the link to the scripts, if there are any, for users who may see the rules."""
        links = super().page_links(request, obj)
        if self._has(request, obj, "change_rules") and obj.rules.exclude(script=None).exists():
            links.append(("Scripts", reverse(self.url_name("rules_scripts"), args=[obj.pk])))
        return links

    def scripts_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """List all scripts; a POST takes one of them over."""
        obj = self.own_source(request, source_id, "change_rules")
        if request.method == "POST":
            self._take_over(request, obj)
            return HttpResponseRedirect(request.path)
        return self.page(
            request,
            obj,
            "rules_scripts",
            "Scripts",
            subtitle=obj.name,
            warnings=in_lines(over_limit(obj)),
            scripts=script_rows(request.user, obj),
            may_take_over=may(request.user, "write_scripts", obj),
        )

    def _take_over(self, request: HttpRequest, obj: DataSource) -> None:
        if not request.user.is_authenticated:
            raise PermissionDenied
        with atomic():
            registry.lock(obj.pk)
            rules, writers, _ = rules_and_writers(obj.pk)
            wanted = request.POST.get("script")
            texts = [text for text in writers if digest(text) == wanted]
            if not texts or "read" not in request.POST:
                messages.warning(request, _NOT_TICKED if texts else _GONE)
                return
            try:
                save_rules(obj, rules, request.user, origin=Revision.Origin.ADMIN, take_over=texts)
            except (PermissionMissing, RulesInvalid) as error:
                messages.error(request, error.message)
                return
        self.log_change(request, obj, "Rules: took over a script.")
        messages.success(request, "From now on, the look-ups of the script have your permissions.")


def script_rows(user: Any, obj: DataSource) -> list[ScriptRow]:
    """The scripts in the rules, without duplicates."""
    rules, writers, _ = rules_and_writers(obj.pk)
    people = get_user_model()._default_manager.in_bulk(
        [key for key in writers.values() if key is not None]
    )
    found = []
    for text, writer in writers.items():
        places = [str(at) for at, rule in enumerate(rules, 1) if rule.get("script") == text]
        name = people[writer].get_username() if writer in people else ""
        found.append(ScriptRow(", ".join(places), text, digest(text), name, writer == user.pk))
    return found
