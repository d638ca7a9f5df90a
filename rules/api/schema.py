"""`GET schema`: the API as an OpenAPI 3.1 document.

The document is built from the URL patterns of the API and the table in `operations`. No schema
generator of the project takes part, so its settings and hooks change nothing here, and the
viewsets do not appear in the project's own document. `project_schema` adds them on request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import URLPattern, get_resolver, reverse
from rest_framework.request import Request

from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.codec import dumps
from rowkeeper.datasources.values.validation import printable

from .base import Endpoint
from .openapi import RESPONSES, SCHEMAS, SECURITY, TEXT, Json, ref
from .operations import HEADERS, OPERATIONS, PATH_PARAMETERS, Operation

VERSION = "3.1.1"
JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
# By name: the module imports this one.
_URLS = f"{__package__}.urls"


@memoize(4)
def document(prefix: str) -> Json:
    """The OpenAPI document of the API at a URL prefix such as `/v1/`."""
    paths: Json = {}
    for path, method, operation in _operations(prefix):
        paths.setdefault(path, {})[method] = _operation(operation, path, method)
    security = deepcopy(SECURITY)
    security["siteSession"]["name"] = settings.SESSION_COOKIE_NAME
    return {
        "openapi": VERSION,
        "info": {
            "title": "Rowkeeper",
            "version": "1",
            "description": "Data sources with ordered access rules.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": deepcopy(SCHEMAS),
            "responses": deepcopy(RESPONSES),
            "securitySchemes": security,
        },
    }


def _operations(prefix: str) -> Iterator[tuple[str, str, Operation]]:
    """Each path, method (in lower case) and operation, in the order of the URL patterns."""
    for pattern in get_resolver(_URLS).url_patterns:
        callback: Any = pattern.callback if isinstance(pattern, URLPattern) else None
        path = prefix + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        for method, action in getattr(callback, "actions", {}).items():
            operation = OPERATIONS.get((callback.cls.__name__, action))
            if operation is not None and method != "head":
                yield path, method, operation


def _operation(operation: Operation, path: str, method: str) -> Json:
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            *_path_parameters(path),
            *_query_parameters(operation, path),
            *_header_parameters(operation),
        ],
        "responses": {
            str(operation.status): {
                "description": "Done.",
                "content": {JSON: {"schema": _one_of(operation.answer)}},
            },
            **{
                str(status): {"$ref": f"#/components/responses/Error{status}"}
                for status in _statuses(operation, method)
            },
        },
        # The empty requirement: without a credential, for what the rules open to everybody.
        "security": [*({name: []} for name in SECURITY), *([] if operation.elevated else [{}])],
    }
    if operation.tagged:
        tag = {"schema": TEXT, "required": False, "description": "For `If-Match`."}
        found["responses"][str(operation.status)]["headers"] = {"ETag": tag}
    if operation.open:
        found["security"] = [{}]
    if operation.body:
        media = [JSON, *(FORMS if operation.form else ())]
        schema = _one_of(operation.body)
        found["requestBody"] = {"content": {kind: {"schema": schema} for kind in media}}
    return found


def _one_of(names: str | tuple[str, ...]) -> Json:
    return ref(names) if isinstance(names, str) else {"anyOf": [ref(name) for name in names]}


def _statuses(operation: Operation, method: str) -> list[int]:
    found = {400, 401, 404, 405, 500, 503, *operation.errors}
    if operation.elevated or method != "get":
        found.add(403)
    if operation.body:
        found |= {413, 415}
    return sorted(found)


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schema, "description": text}
        for name, (schema, text) in PATH_PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _query_parameters(operation: Operation, path: str) -> list[Json]:
    query = list(operation.query)
    if "{reference}" in path:
        query.append(("dsn", TEXT, "Treat digits as a name, not as an ID."))
    return [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, schema, text in query
    ]


def _header_parameters(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "header", "schema": TEXT, "description": HEADERS[name]}
        for name in operation.headers
    ]


class Schema(Endpoint):
    """The endpoint of the API's own description."""

    def document(self, request: Request) -> HttpResponse:
        """`GET schema`: JSON, or YAML with `?format=yaml` if PyYAML is installed."""
        wanted = request._request.GET.get("format", "json")
        if wanted not in ("json", "yaml"):
            raise Malformed(f'`format` must be "json" or "yaml", not `{printable(wanted)}`')
        text = _text(reverse("rowkeeper-api-root"), wanted)
        return HttpResponse(text, content_type=f"application/{wanted}")


@memoize(8)
def _text(prefix: str, wanted: str) -> str:
    """The document as JSON or YAML text. It is cached, because anyone can request it."""
    if wanted == "json":
        return dumps(document(prefix))
    try:
        import yaml
    except ImportError:
        raise Malformed('`format` must be "json", because PyYAML is not installed') from None

    class Dumper(yaml.SafeDumper):
        """Writes repeated parts out, where the safe dumper writes anchors."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(document(prefix), Dumper=Dumper, sort_keys=False, allow_unicode=True))
