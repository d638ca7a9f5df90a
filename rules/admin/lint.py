"""The admin's endpoint that checks rules while they are typed. It saves nothing.

Since it is called again and again during typing, it answers anything that it is sent: text that is
not JSON is a problem with a position, not a failure.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    JsonResponse,
    RawPostDataException,
)
from django.urls import path

from rowkeeper.datasources.admin.data_sources import DataSourceAdmin
from rowkeeper.datasources.definition import problem_with_columns
from rowkeeper.datasources.errors import Failure, Malformed, TooLarge
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import loads
from rowkeeper.datasources.values.validation import MAX_INTEGER

from ..describe.editor import answer

# The largest request. Rules may contain much white space, and are a JSON string in it.
MAX_BYTES = 2 * 1024 * 1024


class CheckPages(DataSourceAdmin):
    """`POST check-rules/`."""

    def get_urls(self) -> list[Any]:
        """Add the endpoint."""
        view = self.admin_site.admin_view(self.check_view)
        return [path("check-rules/", view, name="rowkeeper_rules_check"), *super().get_urls()]

    def check_view(self, request: HttpRequest) -> HttpResponse:
        """Check the rules that are being typed, and answer as `describe.editor.answer` does."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_add_permission(request) or self._has(request, None, "change_rules")):
            raise PermissionDenied
        try:
            body = _body(request)
            source = self._checked_source(request, body["dataSource"])
            return JsonResponse(answer(body["rules"], source, body["columns"], request.user))
        except Failure as error:
            status = 413 if isinstance(error, TooLarge) else 400
            return JsonResponse({"message": error.message, "type": error.code}, status=status)

    def _checked_source(self, request: HttpRequest, reference: Any) -> DataSource | None:
        """The data source whose rules are edited; None for one that is being created."""
        if reference is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return None
        if reference.__class__ is not int or not 0 < reference <= MAX_INTEGER:
            raise Malformed("`dataSource` must be the ID of a data source, or null")
        return self.own_source(request, reference, "change_rules")


def _body(request: HttpRequest) -> dict[str, Any]:
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
        raise TooLarge(f"the body is too large; at most {MAX_BYTES} bytes are allowed")
    try:
        body = loads(request.body)
    except RequestDataTooBig:
        raise TooLarge("the body is larger than this site allows") from None
    except RawPostDataException:
        # Django has parsed the body as a form already.
        raise Malformed("the body must be JSON, not a form") from None
    if not isinstance(body, dict):
        raise Malformed(
            'the body must be an object such as {"dataSource": 1, "columns": [], "rules": "[]"}'
        )
    if not isinstance(body.get("rules"), str):
        raise Malformed("`rules` must be the text of a list of rules")
    columns = body.get("columns")
    if columns is not None:
        problem = problem_with_columns(columns)
        if problem:
            raise Malformed(problem)
    return {"dataSource": body.get("dataSource"), "columns": columns, "rules": body["rules"]}
