"""The base of all endpoints: authentication, error handling, and JSON responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from rowkeeper.accounts.authentication import (
    CallerAuthentication,
    confirm,
    is_by_name,
    is_forced,
    read_again,
)
from rowkeeper.accounts.client import client_address
from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.login.throttle import count_passwords
from rowkeeper.accounts.providers.credential_query import Caller
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.database.connection import atomic, connection
from rowkeeper.datasources.database.hashing import outside_transactions
from rowkeeper.datasources.database.health import is_lost, renew
from rowkeeper.datasources.database.waiting import writers_turn
from rowkeeper.datasources.errors import Changed, NotFound, TooLarge
from rowkeeper.datasources.values.codec import dumps

from ..access.guard import Guard, find_guard, guard_of
from ..decision_log import events
from ..decision_log.records import RequestLog
from .bodies import bulk_body, is_large, receive, release
from .errors import ACCESS, REQUEST_ID, STATUS, WrongMethod, answer, failure_of

_TRAIL = "_rowkeeper_trail"
# A valid ID of a request in a header of a proxy.
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
# How often a write is decided again, at most, while its caller changes.
ATTEMPTS = 5
Answered = TypeVar("Answered")


class AlwaysJson(BaseContentNegotiation):
    """Always answers in JSON, and ignores the `Accept` header."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Bodies are read in `bodies`."""
        return None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """JSON."""
        return JSONRenderer(), "application/json"


class Endpoint(ViewSet):
    """The base of every viewset. `request.auth` is a Caller; an invalid credential is rejected
    first.
    """

    authentication_classes = (CallerAuthentication,)
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AlwaysJson
    versioning_class = None
    # Left out of the project's own OpenAPI document; `project_schema` adds the API on request.
    schema = None
    http_method_names = ["get", "post", "put", "delete", "head"]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return None: `finalize_response` sets the headers, and the allowed methods are only
        listed when a method is rejected.
        """
        return {}

    # Whether a write is decided under the lock of its data source from the beginning.
    is_locked = False
    # Whether the request can be repeated if the connection breaks: nothing has been written yet.
    repeatable = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read the body, and then who is asking.

        Queries are an exception: one statement may read the credential together with the rows.
        A test's `force_authenticate` is left to our own authentication: Django REST framework would
        put any object in the place of the Caller.
        """
        if is_forced(request._request):
            request.authenticators = self.get_authenticators()
        receive(request._request)
        if self.action != "query":
            self.identity(request)
            self.repeatable &= request.method in ("GET", "HEAD")

    def handle_exception(self, exc: Exception) -> Any:
        """Answer every failure in JSON, and roll back a transaction of the project.

        If the connection to the database broke and nothing can have been written, the request is
        answered once more instead.
        """
        if self.repeatable and is_lost(exc) and not connection.in_atomic_block:
            self.repeatable = False
            renew()
            return self.dispatch(self.request._request, *self.args, **self.kwargs)
        failure = failure_of(exc)
        if isinstance(failure, WrongMethod):
            failure.__dict__["allowed"] = self.allowed_methods
        if not failure.request_id and failure.code in ACCESS:
            caller: Caller | None = getattr(self.request, "_auth", None)
            identity = None if caller is None else caller.identity
            trail = trail_of(self.request._request)
            events.refusal(trail, failure, STATUS[failure.code], identity)
            failure.request_id = trail.request_id
        response = answer(failure)
        response.exception = True  # type: ignore[attr-defined]
        return response

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        """Forbid caches to store the response, which contains personal data, and drop the body."""
        release(request._request)
        headers = response.headers
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-store"
        headers["Vary"] = "Auth-token, Authorization, Cookie"
        headers[REQUEST_ID] = trail_of(request._request).request_id
        return response

    def caller(self, request: Request) -> Caller:
        """Who sends the request, with the data source of its URL if that was read as well."""
        found: Any = request.auth
        return cast(Caller, found)

    def identity(self, request: Request) -> Identity:
        """Who sends the request."""
        return self.caller(request).identity

    def identify_again(self, request: Request) -> None:
        """Identify the caller again. Raises `CredentialInvalid` if the credential has ended."""
        read_again(request._request)
        authenticators: Any = request.authenticators
        for authenticator in authenticators:
            request.user, request.auth = authenticator.authenticate(request)

    def caller_now(self, request: Request) -> Identity:
        """Who is asking at this moment, with the permissions of this moment.

        For the transaction of a management write, once it holds its lock. Raises as `identify`.
        """
        self.identify_again(request)
        return self.identity(request)

    def bulk_body(self, request: Request, fits: Callable[[], bool]) -> dict[str, Any]:
        """The body of a bulk write. It may be over the usual limit if the caller has a credential
        and `fits` says that they may send it; the caller is identified again afterwards.

        Raises `TooLarge` and `Malformed`.
        """
        identity = self.identity(request)
        large = is_large(request._request) and not identity.is_anonymous and fits()
        body = bulk_body(request._request, large, identity)
        if large:
            self.identify_again(request)
        return body

    def confirm(self, request: Request) -> store.Confirm:
        """Check that the caller and the data source are as decided, for `store.writing`."""
        return partial(confirm, request._request, self.identity(request))

    def run_write(
        self, request: Request, reference: str, write: Callable[[], Answered]
    ) -> Answered:
        """Run a write, which decides and then writes; if the caller, the rules or the data source
        have changed between the two, run it again, this time under the lock of the data source.

        Raises what `write` raises, and `Changed` (503) if the caller changes again and again.
        """
        return outside_transactions(
            lambda: self._run_write(request, reference, write), partial(allow_passwords, request)
        )

    def _run_write(
        self, request: Request, reference: str, write: Callable[[], Answered]
    ) -> Answered:
        with suppress(Changed):
            return write()
        wanted = registry.reference_of(reference, is_by_name(request._request))
        for _ in range(ATTEMPTS):
            source = registry.find(wanted)
            turn = nullcontext() if source is None else writers_turn(source.id)
            with suppress(Changed), turn, atomic():
                if source is not None:
                    registry.lock(source.id)
                self.identify_again(request)
                self.is_locked = True
                return write()
        raise Changed

    def guard(self, request: Request, reference: str) -> Guard:
        """The guard of the data source that the URL names."""
        wanted = registry.reference_of(reference, is_by_name(request._request))
        caller = self.caller(request)
        trail = trail_of(request._request)
        if caller.source_join is not None and caller.source_join.reference == wanted:
            found = guard_of(wanted, caller.source, caller.identity, trail)
        else:
            found = find_guard(wanted, caller.identity, trail)
        # `007` is 7, and a denial quotes it as it was sent.
        if str(wanted) != reference or self.is_locked:
            found = replace(found, reference=reference, rechecks_lookups=not self.is_locked)
        return found


def allow_passwords(request: Request, count: int, before: int) -> None:
    """Count the passwords that a request sets against its limits.

    Raises `TooLarge` for more than a request can set, and `TooMany` for more than its network can.
    """
    most: int = setting("MAX_PASSWORDS")
    if count + before > most:
        raise TooLarge(f"the request sets more than {most} passwords; import the rows instead")
    count_passwords(count, client_address(request._request))


def hashes_outside(action: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate an action so that it runs again once the passwords that it sets are hashed."""

    @wraps(action)
    def run(self: Endpoint, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        work = partial(action, self, request, *args, **kwargs)
        return outside_transactions(work, partial(allow_passwords, request))

    return run


def trail_of(request: HttpRequest) -> RequestLog:
    """The entry of the request in the decision log: one for all decisions of the request."""
    trail: RequestLog | None = request.__dict__.get(_TRAIL)
    if trail is None:
        trail = request.__dict__[_TRAIL] = RequestLog(client=partial(client_address, request))
        given = request.META.get("HTTP_X_REQUEST_ID")
        if given and setting("TRUST_REQUEST_ID") and _ID.fullmatch(given):
            trail.request_id = given
    return trail


class Unknown(Endpoint):
    """Answers requests to URLs under the API that do not exist."""

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
        raise NotFound("there is no resource at this URL")

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer 404 to every method, because there is no resource that could support it."""
        raise NotFound("there is no resource at this URL")


def json_answer(value: Any, status: int = 200) -> HttpResponse:
    """A value as JSON."""
    return text_answer(dumps(value), status)


def text_answer(text: str, status: int = 200) -> HttpResponse:
    """A JSON response. It is UTF-8, even if the project's pages have another charset."""
    return HttpResponse(text.encode(), status=status, content_type="application/json")
