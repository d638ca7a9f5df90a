"""`GET schema`: the API as an OpenAPI 3.1 document. Imported only where drf-spectacular is there.

drf-spectacular walks the addresses; what stands at each is said in one table here, as the
viewsets have no serializers that it could be read from.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path, reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent, normalize_result_object
from drf_spectacular.renderers import OpenApiYamlRenderer
from rest_framework.request import Request

from datasources.errors import Malformed
from datasources.values import shown

from .base import Endpoint, json_answer
from .openapi import ID, RESPONSES, SCHEMAS, SECURITY, TEXT, Json, ref

VERSION = "3.1.1"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. `elevated`: by Django's permissions, not by access rules."""

    id: str
    tag: str
    summary: str
    answer: str | tuple[str, ...]
    body: str | tuple[str, ...] = ()
    status: int = 200
    query: tuple[tuple[str, Json, str], ...] = ()
    elevated: bool = False
    # Takes the row as a form, too.
    form: bool = False
    errors: tuple[int, ...] = ()
    # No credential is asked for.
    open: bool = False


_LIST_QUERY = (
    ("appId", ID, "Only those of this app."),
    ("type", TEXT, "Only those of this type."),
    ("excludeTypes", TEXT, "None of these types, divided by commas."),
    ("attributes", TEXT, "Only these properties, divided by commas."),
)
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("People", "user"): Operation("getUser", "session", "Who am I", "OneUser"),
    ("People", "session"): Operation("getSession", "session", "The session", "Session"),
    ("People", "authorize"): Operation(
        "signIn",
        "session",
        "Sign in against a data source",
        "SignedIn",
        "SignIn",
        errors=(429,),
        open=True,
    ),
    ("People", "logout"): Operation("signOut", "session", "Sign out", "Nothing"),
    ("DataSources", "list"): Operation(
        "listDataSources",
        "data sources",
        "The data sources that the caller may see",
        "DataSources",
        query=_LIST_QUERY,
        elevated=True,
    ),
    ("DataSources", "create"): Operation(
        "createDataSource",
        "data sources",
        "Make a data source",
        "OneDataSource",
        "NewDataSource",
        status=201,
        elevated=True,
    ),
    ("DataSources", "retrieve"): Operation(
        "getDataSource", "data sources", "A data source", "OneDataSource", errors=(403,)
    ),
    ("DataSources", "update"): Operation(
        "updateDataSource",
        "data sources",
        "Change a data source, or its rules",
        "OneDataSource",
        "DataSourceChange",
        elevated=True,
    ),
    ("DataSources", "destroy"): Operation(
        "deleteDataSource",
        "data sources",
        "Delete a data source with all that is in it",
        "Nothing",
        elevated=True,
    ),
    ("Entries", "query"): Operation(
        "query",
        "entries",
        "Select, or delete by query",
        ("Selected", "Results", "Counted", "Deleted"),
        ("Select", "DeleteByQuery"),
    ),
    ("EntriesAndCommits", "list"): Operation(
        "listEntries", "entries", "Every entry that may be seen", "Entries"
    ),
    ("EntriesAndCommits", "insert"): Operation(
        "insertEntry", "entries", "Insert a row", "Entry", "Row", form=True
    ),
    ("EntriesAndCommits", "bulk"): Operation(
        "insertEntries", "entries", "Insert rows, or replace everything", "Committed", "Bulk"
    ),
    ("Entries", "retrieve"): Operation("getEntry", "entries", "An entry", "Entry"),
    ("Entries", "update"): Operation(
        "updateEntry",
        "entries",
        "Update an entry: the columns that are sent",
        "Entry",
        "Row",
        form=True,
    ),
    ("Entries", "destroy"): Operation("deleteEntry", "entries", "Delete an entry", "Nothing"),
    ("EntriesAndCommits", "commit"): Operation(
        "commit", "entries", "Inserts, updates and deletes, all or nothing", "Committed", "Commit"
    ),
    ("Entries", "indexes"): Operation(
        "getIndexes", "entries", "The distinct values of columns", "Indexes"
    ),
    ("Schema", "document"): Operation(
        "getSchema",
        "schema",
        "This document",
        "Document",
        query=(("format", {**TEXT, "enum": ["json", "yaml"]}, "JSON where absent."),),
        open=True,
    ),
}
_PATH = {
    "reference": (TEXT, "The number of the data source, or its URL-encoded name."),
    "entry_id": (ID, "The number of the entry."),
    "names": (TEXT, "Columns, divided by commas; a comma in a name is encoded twice."),
}


class RowkeeperSchema(AutoSchema):
    """What drf-spectacular asks about each address."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Any:
        """The operation of a method at an address; None for those that are no part of the API."""
        view = self.view.__class__.__name__
        operation = OPERATIONS.get((view, str(getattr(self.view, "action", None))))
        if operation is None:
            return None
        _register(registry)
        return _operation(operation, path, method)


def _register(registry: ComponentRegistry) -> None:
    """Everything that an operation may refer to, as components of the document."""
    component: Any = ResolvedComponent
    cookie = {**SECURITY["siteSession"], "name": settings.SESSION_COOKIE_NAME}
    for kind, found in (
        (ResolvedComponent.SCHEMA, SCHEMAS),
        (ResolvedComponent.RESPONSE, RESPONSES),
        (ResolvedComponent.SECURITY_SCHEMA, {**SECURITY, "siteSession": cookie}),
    ):
        for name, schema in found.items():
            registry.register_on_missing(
                component(name, kind, deepcopy(schema), f"rowkeeper.{name}")
            )


def _operation(operation: Operation, path: str, method: str) -> Json:
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(path), *_query_parameters(operation, path)],
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
        # The empty one: without a credential, for what the rules open to everybody.
        "security": [*({name: []} for name in SECURITY), *([] if operation.elevated else [{}])],
    }
    if operation.open:
        found["security"] = [{}]
    if operation.body:
        media = [JSON]
        if operation.form:
            media += ["application/x-www-form-urlencoded", "multipart/form-data"]
        schema = _one_of(operation.body)
        found["requestBody"] = {"content": {kind: {"schema": schema} for kind in media}}
    return found


def _one_of(names: str | tuple[str, ...]) -> Json:
    return ref(names) if isinstance(names, str) else {"anyOf": [ref(name) for name in names]}


def _statuses(operation: Operation, method: str) -> list[int]:
    found = {400, 401, 404, 405, 500, 503, *operation.errors}
    if operation.elevated or method != "GET":
        found.add(403)
    if operation.body:
        found |= {413, 415}
    return sorted(found)


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schema, "description": text}
        for name, (schema, text) in _PATH.items()
        if f"{{{name}}}" in path
    ]


def _query_parameters(operation: Operation, path: str) -> list[Json]:
    query = list(operation.query)
    if "{reference}" in path:
        query.append(("dsn", TEXT, "Digits are a name, not a number."))
    return [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, schema, text in query
    ]


# -- the document


class _Generator(SchemaGenerator):
    """The document of these addresses alone, whatever else a project says of its own."""

    def document(self) -> Json:
        """The whole of it."""
        found: Json = {
            "openapi": VERSION,
            "info": {
                "title": "Rowkeeper",
                "version": "1",
                "description": "Data sources with ordered access rules.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "paths": super().parse(None, True),  # type: ignore[no-untyped-call]
            "components": self.registry.build({}),
        }
        return dict(normalize_result_object(found))  # type: ignore[no-untyped-call]


@cache
def document(prefix: str) -> Json:
    """The document of the API at an address such as `/v1/`."""
    patterns = [path(prefix.lstrip("/"), include("rules.api.urls"))]
    generator: Any = _Generator
    found: Json = generator(patterns=patterns).document()
    return found


class Schema(Endpoint):
    """The API's own description."""

    def document(self, request: Request) -> HttpResponse:
        """`GET schema`, in JSON, or with `?format=yaml` in YAML."""
        wanted = request._request.GET.get("format", "json")
        if wanted not in ("json", "yaml"):
            raise Malformed(f'`format` is "json" or "yaml", not `{shown(wanted)}`')
        found = document(reverse("rowkeeper-api-root"))
        if wanted == "json":
            return json_answer(found)
        renderer: Any = OpenApiYamlRenderer()
        text = renderer.render(found, renderer_context={})
        return HttpResponse(text, content_type="application/yaml")


Endpoint.schema = RowkeeperSchema()
