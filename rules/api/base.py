"""What all endpoints share: who is asking, one place for failures, JSON text as the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from accounts.authentication import (
    RowkeeperAuthentication,
    is_by_name,
    is_forced,
    source_beside,
)
from accounts.identity import Identity
from datasources import sources
from datasources.errors import NotFound
from datasources.jsontext import dumps

from ..guard import Guard, guard, guard_of
from ..log.records import Trail
from .errors import REQUEST_ID, WrongMethod, answer, failure_of

_TRAIL = "_rowkeeper_trail"


class AlwaysJson(BaseContentNegotiation):
    """There is one kind of answer, whatever the client would rather have."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Bodies are read in `bodies`."""
        return None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """JSON."""
        return JSONRenderer(), "application/json"


class Endpoint(ViewSet):
    """The base of every viewset. `request.auth` is the Identity; a bad credential comes first."""

    authentication_classes = (RowkeeperAuthentication,)
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AlwaysJson
    versioning_class = None
    # Left out of the project's own OpenAPI document; `project_schema` adds the API on request.
    schema = None
    http_method_names = ["get", "post", "put", "delete", "head"]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """The request of Django REST framework. A test's `force_authenticate` is left to our own
        authentication: the framework would put any object in the place of the Identity.
        """
        made = super().initialize_request(request, *args, **kwargs)
        if is_forced(request):
            made.authenticators = self.get_authenticators()
        return made

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who is asking, before anything else is looked at: this is all there is to prepare.

        The one address that may be answered by a single statement asks itself, with its rows.
        """
        if self.action != "query":
            self.identity(request)

    def handle_exception(self, exc: Exception) -> Any:
        """Every failure, foreseen or not, is JSON; a transaction of the project's is undone."""
        failure = failure_of(exc)
        if isinstance(failure, WrongMethod):
            failure.__dict__["allowed"] = self.allowed_methods
        response = answer(failure)
        response.exception = True  # type: ignore[attr-defined]
        return response

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        """Answers hold people's data: no cache keeps them."""
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        response["Vary"] = "Auth-token, Authorization, Cookie"
        trail: Trail | None = request._request.__dict__.get(_TRAIL)
        if trail is not None and trail.logged:
            response[REQUEST_ID] = trail.request_id
        return response

    def identity(self, request: Request) -> Identity:
        """Who is asking."""
        found: Any = request.auth
        return cast(Identity, found)

    def guard(self, request: Request, reference: str) -> Guard:
        """The guard of the data source that the URL names."""
        wanted = sources.reference_of(reference, is_by_name(request._request))
        beside = source_beside(request._request)
        trail = trail_of(request._request)
        if beside is not None and beside.is_read and beside.reference == wanted:
            found = guard_of(wanted, beside.source, self.identity(request), trail)
        else:
            found = guard(wanted, self.identity(request), trail)
        # `007` is 7, and a denial quotes it as it was sent.
        return found if str(wanted) == reference else replace(found, reference=reference)


def trail_of(request: HttpRequest) -> Trail:
    """What the request leaves behind, from here on."""
    trail = request.__dict__[_TRAIL] = Trail()
    return trail


class Unknown(Endpoint):
    """Every address under the API that is none."""

    http_method_names = [
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "head",
        "options",
        "trace",
    ]

    def nothing(self, request: Request, **kwargs: Any) -> HttpResponse:
        """404, in JSON."""
        raise NotFound("there is nothing at this address")

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Whatever the method: there is no address that could take it."""
        raise NotFound("there is nothing at this address")


def json_answer(value: Any, status: int = 200) -> HttpResponse:
    """A value as JSON."""
    return text_answer(dumps(value), status)


def text_answer(text: str, status: int = 200) -> HttpResponse:
    """JSON text as the answer."""
    return HttpResponse(text, status=status, content_type="application/json")
