"""For faults that happen outside the views: under the API they are JSON, too.

First in `MIDDLEWARE`. The prefix is where the project includes `rules.api.urls`.
"""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse

from datasources.errors import Busy, Failure, Malformed, NotFound, TooLarge

from .errors import WRONG_HOST, WrongMedia, WrongMethod, answer

_BY_STATUS: dict[int, Failure] = {
    400: Malformed("the request cannot be read"),
    404: NotFound("there is nothing at this address"),
    405: WrongMethod("this address does not take that method"),
    413: TooLarge("the body is too large"),
    415: WrongMedia("a body of that media type is not read here"),
    503: Busy("the site is busy; try again in a moment"),
}


class JsonErrors:
    """Answers under the API that tell of an error and are no JSON become JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The response, in JSON where it tells of an error under the API."""
        response = self.get_response(request)
        if response.status_code < 400 or not _is_ours(request):
            return response
        if response.get("Content-Type", "").startswith("application/json"):
            return response
        fault = Failure("a fault on the server; it has been logged")
        known = _BY_STATUS.get(response.status_code)
        if response.status_code == 400 and not _is_our_host(request):
            known = WRONG_HOST
        if known is None and response.status_code < 500:
            known = _BY_STATUS[400]
        return answer(known or fault)


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
