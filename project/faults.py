"""The site's answer outside the API to errors, of the database and others."""

from __future__ import annotations

import logging
import sys

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.defaults import server_error as plain_server_error

from rowkeeper.datasources.database.health import failure_of_database
from rowkeeper.rules.api.errors import BUSY_SECONDS

logger = logging.getLogger("rowkeeper.site")
PAGE = "<!doctype html><title>Not available</title><h1>Not available</h1><p>{}.</p>"


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's `handler500`: a 503 and one line in the log if the database failed."""
    error = sys.exc_info()[1]
    failure = None if error is None else failure_of_database(error)
    if failure is None:
        return plain_server_error(request)
    logger.warning("%s: %s", request.path, str(error).split("\n")[0])
    message = failure.message[:1].upper() + failure.message[1:]
    response = HttpResponse(PAGE.format(message), status=503)
    response["Retry-After"] = str(BUSY_SECONDS)
    response["Cache-Control"] = "no-store"
    # Prevents Django from logging a traceback.
    response.__dict__["_has_been_logged"] = True
    return response
