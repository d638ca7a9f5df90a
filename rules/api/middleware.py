"""Middleware: errors that occur outside the views are JSON under the API, and requests with a token
have a list of middleware of their own.

Errors outside of the views are answered in JSON, too. Requests with a token skip the middleware
that they do not need. The prefix of the API is where the project includes `rules.api.urls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeAlias, cast

from django.conf import settings
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, Resolver404, ResolverMatch, get_urlconf, resolve, reverse
from django.utils.module_loading import import_string

from rowkeeper.accounts.authentication import read_again
from rowkeeper.accounts.credentials import extract_secrets
from rowkeeper.accounts.providers.django_user import is_read
from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.errors import Busy, Failure, Malformed, NotFound, TooLarge

from .base import Endpoint, trail_of
from .errors import REQUEST_ID, WRONG_HOST, WrongMedia, WrongMethod, answer

Handler: TypeAlias = Callable[[HttpRequest], HttpResponse]
_BY_STATUS: dict[int, Failure] = {
    400: Malformed("the request cannot be read"),
    404: NotFound("there is no resource at this URL"),
    405: WrongMethod("this URL does not support that method"),
    413: TooLarge("the body is too large"),
    415: WrongMedia("this URL does not support that media type"),
    503: Busy("the site is busy; try again later"),
}
_REFUSED = Malformed("the site rejected the request")


class JsonErrorMiddleware:
    """Turns error responses that are not JSON into JSON. Place it first in `MIDDLEWARE`."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> None:
        """Read the body of a request to one of our admin pages before the user is loaded, if a
        middleware has already loaded it: a client can take its time to send the body, and lose a
        permission in the meantime.
        """
        match = request.resolver_match
        if request.method != "POST" or match is None or match.app_name != "admin":
            return
        if (match.url_name or "").startswith("rowkeeper_"):
            is_identified = is_read(request)
            bool(request.POST)
            if is_identified:
                read_again(request)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The response, converted to JSON if it is an error under the API."""
        response = self.get_response(request)
        if response.status_code < 400 or not _is_ours(request):
            return response
        if response.get("Content-Type", "").startswith("application/json"):
            response.headers.setdefault(REQUEST_ID, trail_of(request).request_id)
            return response
        fault = Failure("an error on the server; it was logged")
        known = _BY_STATUS.get(response.status_code)
        if response.status_code == 400 and not _is_our_host(request):
            known = WRONG_HOST
        refused = known is None and response.status_code < 500
        replacement = answer(_REFUSED if refused else known or fault)
        if refused:
            # Sent by a middleware of the site: its status is kept.
            replacement.status_code = response.status_code
        replacement[REQUEST_ID] = trail_of(request).request_id
        return replacement


def _is_our_host(request: HttpRequest) -> bool:
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return True


def _is_ours(request: HttpRequest) -> bool:
    try:
        return request.path_info.startswith(reverse("rowkeeper-api-root"))
    except NoReverseMatch:
        return request.path_info.startswith("/v1/")


class TokenApiMiddleware:
    """Passes API requests with a token through `ROWKEEPER["API_MIDDLEWARE"]` and then to their
    view. Place it directly after `SecurityMiddleware`.

    Sessions, CSRF protection and messages are for browsers, so requests with a token do not need
    them. All other requests pass the rest of `MIDDLEWARE`. So do requests with an invalid host,
    token or URL, and all requests if a database has `ATOMIC_REQUESTS`.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.api = _handler_of(setting("API_MIDDLEWARE"))
        self.frames = str(getattr(settings, "X_FRAME_OPTIONS", "DENY"))
        if any(settings.DATABASES[name].get("ATOMIC_REQUESTS") for name in settings.DATABASES):
            raise MiddlewareNotUsed

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The response of the view, with the headers that the skipped middleware would have set."""
        match = _match_with_token(request)
        if match is None:
            return self.get_response(request)
        request.resolver_match = match
        response = self.api(request)
        response.headers.setdefault("X-Frame-Options", self.frames)
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


def _handler_of(names: Iterable[str]) -> Handler:
    """The view of a request's `resolver_match` behind these middleware, the first outermost."""
    before: list[Callable[..., HttpResponse | None]] = []

    def run_view(request: HttpRequest) -> HttpResponse:
        match = request.resolver_match
        assert match is not None
        for process_view in before:
            response = process_view(request, match.func, match.args, match.kwargs)
            if response is not None:
                return response
        found: HttpResponse = match.func(request, *match.args, **match.kwargs)
        return found

    handler: Handler = run_view
    for name in reversed(list(names)):
        with suppress(MiddlewareNotUsed):
            middleware = import_string(name)(handler)
            if hasattr(middleware, "process_view"):
                before.insert(0, middleware.process_view)
            handler = cast(Handler, convert_exception_to_response(middleware))
    return handler


def _match_with_token(request: HttpRequest) -> ResolverMatch | None:
    """The view of the API for a request with a token, or None."""
    try:
        if not extract_secrets(request):
            return None
        request.get_host()
        return _match(get_urlconf(), request.path_info)
    except (Failure, DisallowedHost, Resolver404, NoReverseMatch):
        return None


@memoize(1_000)
def _match(urlconf: str | None, path: str) -> ResolverMatch | None:
    """The view of a URL, if it belongs to the API. It is cached, because the URLs do not change."""
    if not path.startswith(reverse("rowkeeper-api-root", urlconf)):
        return None
    found = resolve(path, urlconf)
    return found if issubclass(getattr(found.func, "cls", object), Endpoint) else None
