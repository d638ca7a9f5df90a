"""The registry of failures: the status of each code, and the JSON of the response."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import IntegrityError
from django.http import Http404, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions

from rowkeeper.datasources.database.health import Unavailable, failure_of_database
from rowkeeper.datasources.errors import AddressTaken, Busy, Failure, Malformed, NotFound, TooLarge
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import dumps

logger = logging.getLogger("rowkeeper.api")

STATUS: Final[dict[str, int]] = {
    "auth.invalid": 401,
    "auth.required": 401,
    "auth.forbidden": 403,
    "auth.csrf": 403,
    "datasource.access": 400,
    "request.invalid": 400,
    "request.method": 405,
    "request.media": 415,
    "request.size": 413,
    "request.limited": 429,
    "request.precondition": 412,
    "request.conflict": 409,
    "notfound": 404,
    "server.error": 500,
    "server.busy": 503,
}
# Who may not: each of these has a record, which the id in the answer finds.
ACCESS: Final = frozenset(
    ("auth.invalid", "auth.required", "auth.forbidden", "auth.csrf", "datasource.access")
)
BUSY_SECONDS = 2
# The header that names what finds a request in the decision log.
REQUEST_ID = "X-Request-Id"


class WrongMethod(Failure):
    """The URL exists, but does not support this method."""

    code = "request.method"


class WrongMedia(Failure):
    """The URL does not support this media type."""

    code = "request.media"


WRONG_HOST: Final = Malformed("this site does not serve that host name (`ALLOWED_HOSTS`)")


def answer(failure: Failure) -> HttpResponse:
    """The response for a failure: `message`, `type`, and the `payload` of a denial."""
    body: dict[str, Any] = {"message": failure.message, "type": failure.code}
    payload = getattr(failure, "payload", None)
    if payload is not None:
        body["payload"] = payload
    if failure.request_id:
        body["requestId"] = failure.request_id
    response = HttpResponse(
        dumps(body), status=STATUS[failure.code], content_type="application/json"
    )
    if response.status_code == 401:
        response["WWW-Authenticate"] = "Bearer"
    if failure.code in ("request.limited", "server.busy"):
        response["Retry-After"] = str(getattr(failure, "retry_after", BUSY_SECONDS))
    if isinstance(failure, WrongMethod) and failure.__dict__.get("allowed"):
        response["Allow"] = ", ".join(failure.__dict__["allowed"])
    if failure.request_id:
        response[REQUEST_ID] = failure.request_id
    response["Cache-Control"] = "no-store"
    if isinstance(failure, Unavailable):
        # Django would log each such response, at the level of errors.
        response.__dict__["_has_been_logged"] = True
    return response


def failure_of(error: Exception) -> Failure:
    """Convert an exception to a failure. Unexpected exceptions are logged, and their details are
    not sent to the client.
    """
    if isinstance(error, AddressTaken):
        # Of a creation with entries; where rules decide, it has become the ordinary denial.
        return Malformed("`entries`: two rows have the same email address")
    if isinstance(error, Failure):
        return error
    if isinstance(error, exceptions.MethodNotAllowed):
        return WrongMethod("this URL does not support that method")
    if isinstance(error, exceptions.UnsupportedMediaType):
        return WrongMedia("this URL does not support that media type")
    if isinstance(error, Http404 | exceptions.NotFound):
        return NotFound("there is no resource at this URL")
    if isinstance(error, RequestDataTooBig):
        return TooLarge("the body is too large")
    if isinstance(error, UnreadablePostError):
        return Malformed("the body is incomplete")
    if isinstance(error, DisallowedHost):
        return WRONG_HOST
    if isinstance(error, SuspiciousOperation | MultiPartParserError | exceptions.ParseError):
        return Malformed("the request cannot be read")
    if isinstance(error, PermissionDenied):
        return Malformed("the request was rejected")
    if isinstance(error, RecursionError):
        return Malformed("the body is nested too deeply")
    failed = failure_of_database(error)
    if failed is not None:
        if isinstance(failed, Unavailable):
            logger.warning("the database is not available: %s", str(error).split("\n")[0])
        return failed
    if isinstance(error, DataSource.DoesNotExist) or _is_orphan(error):
        return Busy("the data source was removed in the meantime")
    logger.exception("an error while handling a request", exc_info=error)
    return Failure("an error on the server; it was logged")


def _is_orphan(error: Exception) -> bool:
    """Whether an entry or session was written while the row that it belongs to was deleted."""
    return isinstance(error, IntegrityError) and "foreign key" in str(error).lower()
