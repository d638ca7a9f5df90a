"""The admin's simulator: its page, and the endpoint that the page and the panel use.

The panel is next to the rules on the page of a data source. Both are for users with `simulate`, and
write nothing.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import path, reverse

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources.admin.base import GuardedPages
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.errors import Failure, Malformed, TooLarge
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import having, may, may_see
from rowkeeper.datasources.values.codec import dumps, loads

from ..access.guard import ruleset_from, ruleset_of
from ..api.errors import STATUS
from ..decision_log.query import SEEING_PEOPLE
from ..engine.decide import Ruleset
from ..models import LoggedDecision
from ..repository.rules import problems_for
from ..simulator.identity import identity_for
from ..simulator.request import SimulatedRequest, parse_request
from ..simulator.result import result_as_json
from ..simulator.run import DryRunGuard, sees_entries_of, simulate
from ..simulator.scripts import scripts_for

MANY = 200


class SimulatorPages(GuardedPages):
    """The pages of the simulator."""

    def get_urls(self) -> list[Any]:
        """Add the page and its endpoint."""
        own = [
            path(
                f"<int:source_id>/{address}/",
                self.admin_site.admin_view(view),
                name=self.url_name(address).removeprefix("admin:"),
            )
            for address, view in (("simulator", self.simulator_view), ("simulate", self.simulate))
        ]
        return [*own, *super().get_urls()]

    def page_links(self, request: HttpRequest, obj: DataSource) -> list[tuple[str, str]]:
        """Add the link to the page."""
        links = super().page_links(request, obj)
        url = self.simulator_url(request, obj)
        return [*links, ("Simulator", url)] if url else links

    def simulator_url(self, request: HttpRequest, obj: DataSource) -> str:
        """The URL of the page; empty for users who may not open it."""
        if not may(request.user, "simulate", obj):
            return ""
        return reverse(self.url_name("simulator"), args=[obj.pk])

    def simulator_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """The page; with `?decision=`, it starts with the request of that line of the log."""
        obj = self.own_source(request, source_id, "simulate")
        return self.page(
            request,
            obj,
            "simulator",
            "Simulator",
            subtitle=obj.name,
            links=[link for link in self.page_links(request, obj) if link[0] != "Simulator"],
            simulator={
                **self.simulator_context(request, obj),
                "state": dumps(_state(request, obj)),
                "alone": True,
            },
        )

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Add the panel next to the rules, for users who may see both."""
        obj = kwargs.get("obj")
        if obj is not None and obj.pk is not None:
            rights = ("simulate", "change_rules")
            if all(may(request.user, right, obj) for right in rights):
                context["simulator"] = self.simulator_context(request, obj)
        return super().render_change_form(request, context, *args, **kwargs)

    def simulator_context(self, request: HttpRequest, obj: DataSource) -> dict[str, Any]:
        """The context of the panel's template."""
        return {
            "ask_url": reverse(self.url_name("simulate"), args=[obj.pk]),
            "page_url": reverse(self.url_name("simulator"), args=[obj.pk]),
            "may_change_rules": may(request.user, "change_rules", obj),
            "may_see_entries": any(may(request.user, right, obj) for right in SEEING_PEOPLE),
        }

    def simulate(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """GET: the identities that can be simulated. POST: simulate a request."""
        obj = self.own_source(request, source_id, "simulate")
        if request.method == "GET":
            return _json(_people(request.user))
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "POST"])
        try:
            return _json(_simulated(request.user, obj, parse_request(_sent(request))))
        except Failure as error:
            return _json({"message": error.message}, STATUS[error.code])


def _json(value: Any, status: int = 200) -> HttpResponse:
    response = HttpResponse(dumps(value), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response


def _sent(request: HttpRequest) -> dict[str, Any]:
    limit = setting("MAX_BODY")
    try:
        data = request.read(limit + 1)
    except RequestDataTooBig:
        data = b" " * (limit + 1)
    if len(data) > limit:
        raise TooLarge(f"the request to simulate is larger than the limit of {limit} bytes")
    value = loads(data)
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _simulated(user: Any, obj: DataSource, simulated: SimulatedRequest) -> dict[str, Any]:
    source = registry.source_of(obj)
    problems, ruleset = _rules(user, obj, source, simulated)
    if problems:
        return {"problems": problems}
    sees_entries = sees_entries_of(user, source)
    if simulated.needs_entries and not sees_entries:
        raise PermissionMissing(
            "you need permission to see the entries to simulate a request for one"
        )
    identity = identity_for(user, simulated.who, source)
    guard = DryRunGuard(source.id, source, ruleset, identity, scripts_for(user, source.id, ruleset))
    outcome = simulate(guard, simulated, user, sees_entries)
    return result_as_json(guard, outcome, may_see(user, obj), sees_entries)


def _rules(
    user: Any, obj: DataSource, source: Source, simulated: SimulatedRequest
) -> tuple[list[str], Ruleset]:
    """The problems of the rules to try, and those rules compiled as they would be once saved."""
    if simulated.rules is None:
        return [], ruleset_of(source)
    if not may(user, "change_rules", obj):
        raise PermissionMissing(
            "you need permission to change the rules to try rules that are not stored"
        )
    problems = problems_for(user, obj, simulated.rules)
    if problems:
        return [str(problem) for problem in problems[:20]], ruleset_of(source)
    return [], ruleset_from(simulated.rules, source)


# -- what the panel offers


def _people(user: Any) -> dict[str, Any]:
    """The data sources, API tokens and apps that the user may simulate: those they may see."""
    there = having(user, SEEING_PEOPLE, DataSource.objects.exclude(definition={}).order_by("name"))
    logins = [one for one in there if login_of(one.definition) is not None]
    tokens: list[Any] = []
    if user.has_perm("rowkeeper_accounts.view_apitoken"):
        rows = ApiToken.objects.filter(revoked_at=None).values_list("pk", "name", "app_id")
        tokens = [{"id": key, "name": name, "app": app} for key, name, app in rows[:MANY]]
    apps: list[Any] = []
    if user.has_perm("rowkeeper_accounts.view_app"):
        apps = [{"id": key, "name": n} for key, n in App.objects.values_list("pk", "name")[:MANY]]
    return {
        "sources": [{"id": one.pk, "name": one.name} for one in logins[:MANY]],
        "tokens": tokens,
        "apps": apps,
        "me": user.get_username(),
    }


def _state(request: HttpRequest, obj: DataSource) -> dict[str, Any]:
    """The initial state of the page: a logged request as far as the log has it, without values."""
    number = request.GET.get("decision", "")
    if not (number.isascii() and number.isdigit() and may(request.user, "view_log", obj)):
        return {}
    rows = LoggedDecision.objects.filter(data_source=obj)
    found = rows.filter(pk=int(number[:18])).first()
    return {} if found is None else _state_of(found)


def _state_of(found: LoggedDecision) -> dict[str, Any]:
    who: dict[str, Any] = {"kind": "row" if found.kind == "session" else found.kind}
    if found.kind == "session":
        source, _, entry = found.person.partition(":")
        who |= {"source": int(source), "name": entry}
    elif found.kind == "token":
        who |= {"token": found.token_id, "app": found.app_id}
    columns = dict.fromkeys(found.columns)
    by_where = found.operation in ("select", "delete")
    sent = {"where": columns} if by_where and found.address == "query" else columns
    return {
        "as": who,
        "operation": found.operation,
        "entry": found.entry_id if found.address == "id" else None,
        "body": dumps(sent) if columns else "",
        "logged": True,
    }
