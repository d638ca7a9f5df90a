"""The operations of the API by URL, one line for each method, for the OpenAPI document.

The viewsets have no serializers from which a generator could read this.
"""

from __future__ import annotations

from dataclasses import dataclass

from .openapi import ID, TEXT, Json
from .switches import BULK_SWITCHES, COMMIT_SWITCHES, QUERY_SWITCHES


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a URL. `elevated`: authorized by Django's permissions, not by access rules."""

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
    # Names in `HEADERS`.
    headers: tuple[str, ...] = ()
    # The answer can have an `ETag`.
    tagged: bool = False
    # No credential is asked for.
    open: bool = False


ONCE = "Idempotency-Key"
HEADERS: dict[str, str] = {
    "Idempotency-Key": "A unique key for one request. If the request is sent again within a "
    "day, it is not executed a second time.",
    "If-Match": (
        "The `ETag` of the expected state, or a list of them. If none of them matches, the "
        "response is 412."
    ),
}
_LIST_QUERY = (
    ("appId", ID, "Only data sources of this app."),
    ("type", TEXT, "Only data sources of this type."),
    ("excludeTypes", TEXT, "Types to exclude, separated by commas."),
    ("attributes", TEXT, "The properties to include, separated by commas."),
    (
        "limit",
        {"type": "integer", "minimum": 0},
        "The maximum number of data sources, in the order of `id`.",
    ),
    ("after", TEXT, "The `next` of the previous page, or empty for the first page."),
)


def _switches(names: tuple[str, ...]) -> tuple[tuple[str, Json, str], ...]:
    """The switches of a body as parameters of the query string."""
    text = "The same as in the body. If both are present, they must be equal."
    return tuple((name, {"type": "boolean"}, text) for name in names)


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("SessionViewSet", "user"): Operation("getUser", "session", "Who am I", "OneUser"),
    ("SessionViewSet", "session"): Operation("getSession", "session", "The session", "Session"),
    ("SessionViewSet", "authorize"): Operation(
        "signIn",
        "session",
        "Sign in against a data source",
        "SignedIn",
        "SignIn",
        errors=(429,),
        open=True,
    ),
    ("SessionViewSet", "logout"): Operation("signOut", "session", "Sign out", "Nothing"),
    ("DataSources", "list"): Operation(
        "listDataSources",
        "data sources",
        "The data sources that the caller can see",
        "DataSources",
        query=_LIST_QUERY,
        elevated=True,
    ),
    ("DataSources", "create"): Operation(
        "createDataSource",
        "data sources",
        "Create a data source",
        "OneDataSource",
        "NewDataSource",
        status=201,
        query=(("appId", ID, "The same as in the body. If both are present, they must be equal."),),
        tagged=True,
        elevated=True,
        errors=(409,),
        headers=(ONCE,),
    ),
    ("DataSources", "retrieve"): Operation(
        "getDataSource",
        "data sources",
        "A data source",
        "OneDataSource",
        errors=(403,),
        tagged=True,
    ),
    ("DataSources", "update"): Operation(
        "updateDataSource",
        "data sources",
        "Change a data source, or its rules",
        "OneDataSource",
        "DataSourceChange",
        elevated=True,
        errors=(409, 412),
        headers=("If-Match", ONCE),
        tagged=True,
    ),
    ("DataSources", "destroy"): Operation(
        "deleteDataSource",
        "data sources",
        "Delete a data source and everything in it",
        "Nothing",
        elevated=True,
        errors=(409, 412),
        headers=("If-Match", ONCE),
    ),
    ("Entries", "query"): Operation(
        "query",
        "entries",
        "Select, or delete by query",
        "QueryAnswer",
        ("Select", "DeleteByQuery"),
        query=_switches(QUERY_SWITCHES),
        errors=(409,),
        headers=(ONCE,),
    ),
    ("EntriesAndCommits", "list"): Operation(
        "listEntries", "entries", "All entries that the caller can see", "Entries"
    ),
    ("EntriesAndCommits", "insert"): Operation(
        "insertEntry",
        "entries",
        "Insert a row",
        "Entry",
        "Row",
        form=True,
        tagged=True,
        errors=(409,),
        headers=(ONCE,),
    ),
    ("EntriesAndCommits", "bulk"): Operation(
        "insertEntries",
        "entries",
        "Insert rows, or replace all entries",
        "Committed",
        "Bulk",
        query=_switches(BULK_SWITCHES),
        errors=(409,),
        headers=(ONCE,),
    ),
    ("Entries", "retrieve"): Operation("getEntry", "entries", "An entry", "Entry", tagged=True),
    ("Entries", "update"): Operation(
        "updateEntry",
        "entries",
        "Update an entry: the columns that are sent",
        "Entry",
        "Row",
        form=True,
        errors=(409, 412),
        headers=("If-Match", ONCE),
        tagged=True,
    ),
    ("Entries", "destroy"): Operation(
        "deleteEntry",
        "entries",
        "Delete an entry",
        "Nothing",
        errors=(409, 412),
        headers=("If-Match", ONCE),
    ),
    ("EntriesAndCommits", "commit"): Operation(
        "commit",
        "entries",
        "Insert, update and delete entries in one transaction",
        "Committed",
        "Commit",
        query=_switches(COMMIT_SWITCHES),
        errors=(409,),
        headers=(ONCE,),
    ),
    ("Entries", "indexes"): Operation(
        "getIndexes", "entries", "The distinct values of columns", "Indexes"
    ),
    ("Schema", "document"): Operation(
        "getSchema",
        "schema",
        "This document",
        "Document",
        query=(("format", {**TEXT, "enum": ["json", "yaml"]}, "The default is JSON."),),
        open=True,
    ),
}
PATH_PARAMETERS: dict[str, tuple[Json, str]] = {
    "reference": (TEXT, "The ID of the data source, or its URL-encoded name."),
    "entry_id": (ID, "The ID of the entry."),
    "names": (TEXT, "Columns, separated by commas. A comma in a name is encoded twice."),
}
