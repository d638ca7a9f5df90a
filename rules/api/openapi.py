"""The JSON schemas of the API, as data: requests, answers and failures.

Plain JSON Schema (2020-12), which OpenAPI 3.1 uses. `schema` makes the document of them.
"""

from __future__ import annotations

from typing import Any

from rowkeeper.datasources.query.select import MAX_NAMED_VIEWS
from rowkeeper.datasources.values.validation import MAX_COLUMNS, MAX_INTEGER, MAX_NAME

from ..engine.parse import MAX_NAME as MAX_RULE_NAME
from ..engine.parse import MAX_RULES, MAX_SCRIPT
from ..engine.rule import OPERATIONS
from .errors import ACCESS, STATUS

Json = dict[str, Any]


def ref(name: str) -> Json:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Json, *required: str, **more: Any) -> Json:
    found: Json = {"type": "object", "properties": properties, **more}
    return {**found, "required": list(required)} if required else found


def _list(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


TEXT: Json = {"type": "string"}
MAYBE_TEXT: Json = {"type": ["string", "null"]}
ID: Json = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}
MAYBE_ID: Json = {**ID, "type": ["integer", "null"]}
# No `default`: generators of clients take a property with one as always present.
SWITCH: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
COLUMN: Json = {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": "^[^$]"}
WHOLE: Json = {"type": ["integer", "null"], "minimum": 0}
SCALAR: Json = {"type": ["string", "number", "boolean"]}

# Not `prefixItems`, which few generators of clients understand.
_ORDER_TERM: Json = {
    "type": "array",
    "items": TEXT,
    "minItems": 1,
    "maxItems": 2,
    "description": "The column or field to sort by, and `ASC` (the default) or `DESC`.",
}
_OBJECT: Json = {"type": "object", "additionalProperties": True}
_VIEW: Json = {"type": ["string", "null"], "description": "The name of a view."}
_VIEWS: Json = {
    "type": ["array", "null"],
    "items": TEXT,
    "maxItems": MAX_NAMED_VIEWS,
    "description": "Names of views. Entries must match the filters of all of them.",
}

_ENTRY: Json = {
    "id": ID,
    "data": ref("Row"),
    "dataSourceId": ID,
    "createdAt": TIME,
    "updatedAt": TIME,
}
_DATA_SOURCE: Json = {
    "id": ID,
    "name": TEXT,
    "columns": _list(COLUMN),
    "type": TEXT,
    "appId": MAYBE_ID,
    "definition": ref("Definition"),
    "createdAt": TIME,
    "updatedAt": TIME,
    "accessRules": _list(ref("AccessRule")),
    "revision": {
        "type": "integer",
        "description": "Increases with each change of the rules. Only present with `accessRules`.",
    },
}
_CONDITION: Json = {
    "equals": SCALAR,
    "notequals": SCALAR,
    "contains": {**SCALAR, "minLength": 1},
}


def _conditions(**more: Json) -> Json:
    test = _object({**_CONDITION, **more}, additionalProperties=False, minProperties=1)
    return {"type": "object", "minProperties": 1, "additionalProperties": test}


_SETTABLE: Json = {
    "name": {"type": "string", "minLength": 1, "maxLength": 255},
    "type": {"type": "string", "maxLength": 64},
    "columns": _list(COLUMN, uniqueItems=True),
    "definition": {"anyOf": [ref("Definition"), {"type": "null"}]},
    "accessRules": {
        "type": ["array", "null"],
        "items": ref("AccessRule"),
        "maxItems": MAX_RULES,
        "description": "Replaces the whole list. With null or [], nobody has access.",
    },
}
_SESSION: Json = {
    "user": ref("User"),
    "entries": _object(
        {"dataSource": _object({"id": ID, "dataSourceId": ID, "data": ref("Row")})},
        description=(
            "The row of the user who signed in, without the columns that the client must not see."
        ),
    ),
}

SCHEMAS: dict[str, Json] = {
    "Row": {
        "type": "object",
        "description": (
            "Columns and values. Values can be any JSON. New columns are added to the data source."
        ),
        "maxProperties": MAX_COLUMNS,
        "propertyNames": COLUMN,
        "additionalProperties": True,
    },
    "Entry": _object(_ENTRY, *_ENTRY),
    "EntryPart": _object(
        {**_ENTRY, "order": {"type": "integer"}, "joins": _OBJECT},
        additionalProperties=True,
        description="An entry, with the properties that `attributes` and `join` select. With "
        "`aggregate`, a result of its last stage.",
    ),
    "Where": {
        "type": "object",
        "description": "Conditions on columns, in the MongoDB-like query language.",
        "additionalProperties": True,
        "examples": [{"Department": "Engineering", "Age": {"$gte": 18}}],
    },
    "Select": _object(
        {
            "type": {"const": "select"},
            "where": {"anyOf": [ref("Where"), {"type": "null"}]},
            "attributes": {"type": ["array", "null"], "items": TEXT, "maxItems": 1_000},
            "order": {
                "type": ["array", "null"],
                "maxItems": 100,
                "items": _ORDER_TERM,
                "examples": [[["data.Name", "ASC"], ["createdAt", "DESC"]]],
            },
            "limit": WHOLE,
            "offset": WHOLE,
            "includePagination": SWITCH,
            "countOnly": SWITCH,
            "distinct": SWITCH,
            "aggregate": {"type": ["array", "null"], "items": _OBJECT, "maxItems": 20},
            "join": {
                "type": ["object", "null"],
                "additionalProperties": ref("Join"),
                "maxProperties": 10,
            },
            "view": _VIEW,
            "views": _VIEWS,
            "after": {
                "type": ["string", "null"],
                "description": (
                    "Empty for the first page, and then the `next` of the previous page."
                ),
            },
        }
    ),
    "Join": _object(
        {
            "dataSourceId": ID,
            "dataSourceName": TEXT,
            "on": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": (
                    "Columns of the entry, each with the column of the joined data source to "
                    "compare it with."
                ),
            },
            "required": SWITCH,
            "has": SWITCH,
            "count": SWITCH,
            "sum": TEXT,
            "where": ref("Where"),
            "attributes": _list(TEXT),
            "order": _list(_ORDER_TERM),
            "limit": WHOLE,
        }
    ),
    "DeleteByQuery": _object(
        {
            "type": {"const": "delete"},
            "where": ref("Where"),
            "view": _VIEW,
            "views": _VIEWS,
        },
        "type",
        "where",
    ),
    "QueryAnswer": _object(
        {
            "entries": _list(ref("EntryPart")),
            "pagination": _object(
                {
                    "total": {"type": "integer"},
                    "limit": WHOLE,
                    "offset": {"type": "integer"},
                    "next": MAYBE_TEXT,
                },
                "limit",
            ),
            "count": {"type": "integer"},
            "deletedCount": {"type": "integer"},
        },
        description="`entries` for a select, with `pagination` if it was requested; `count` "
        "for a select with `countOnly`; `deletedCount` for a delete.",
    ),
    "Entries": _object({"entries": _list(ref("Entry"))}, "entries"),
    "Bulk": _object(
        {
            "entries": _list(ref("Row")),
            "append": {
                **SWITCH,
                "description": ("If absent or false, the rows replace all entries."),
            },
        },
        "entries",
    ),
    "Commit": _object(
        {
            "entries": _list(
                _object(
                    {
                        "id": {
                            **MAYBE_ID,
                            "description": ("If null or absent, a new entry is created."),
                        },
                        "data": ref("Row"),
                        "clientId": {"type": ["string", "number", "boolean", "null"]},
                    },
                    "data",
                )
            ),
            "delete": {"type": ["array", "null"], "items": ID},
            "append": {
                **SWITCH,
                "description": ("If absent or false, entries that are not sent are deleted."),
            },
            "extend": {
                **SWITCH,
                "description": ("Merges the columns, instead of replacing the row."),
            },
            "returnEntries": {**SWITCH, "description": "The default is true."},
        },
        "entries",
    ),
    "Committed": _object(
        {
            "entries": _list(ref("Entry")),
            "clientIds": _list(_object({"clientId": {}, "id": ID}, "clientId", "id")),
            "entriesOmitted": {
                "type": "boolean",
                "description": "True if everything was stored, but the entries could not be read.",
            },
        },
        "entries",
        "clientIds",
    ),
    "Indexes": _object(
        {"indexes": {"type": "object", "additionalProperties": _list(SCALAR)}}, "indexes"
    ),
    "Definition": _object(
        {
            "login": {
                "description": "Makes this a data source that people sign in against.",
                "anyOf": [
                    _object(
                        {
                            "emailColumn": COLUMN,
                            "passwordColumn": COLUMN,
                            "sessionColumns": _list(COLUMN, uniqueItems=True),
                        },
                        "emailColumn",
                        "passwordColumn",
                        additionalProperties=False,
                    ),
                    {"type": "null"},
                ],
            }
        },
        additionalProperties=True,
    ),
    "AccessRule": _object(
        {
            "name": {"type": "string", "maxLength": MAX_RULE_NAME},
            "enabled": {**SWITCH, "description": "The default is true."},
            "type": _list({**TEXT, "enum": list(OPERATIONS)}, minItems=1),
            "allow": {
                "oneOf": [
                    {**TEXT, "enum": ["all", "loggedIn"]},
                    _object({"user": _conditions()}, "user", additionalProperties=False),
                    _object(
                        {"tokens": _list(ID, minItems=1)}, "tokens", additionalProperties=False
                    ),
                ]
            },
            "appId": _list(ID),
            "include": _list(COLUMN),
            "exclude": _list(COLUMN),
            "require": _list(
                {
                    "oneOf": [
                        COLUMN,
                        _conditions(on={**TEXT, "enum": ["stored", "submitted", "both"]}),
                    ]
                }
            ),
            "script": {"type": "string", "minLength": 1, "maxLength": MAX_SCRIPT},
        },
        additionalProperties=False,
        anyOf=[{"required": ["type", "allow"]}, {"required": ["script"]}],
    ),
    "DataSource": _object(
        _DATA_SOURCE,
        description="`accessRules` is only present for callers who may change them. With "
        "`attributes`, or for callers who get a short response, only some of the "
        "properties are present.",
    ),
    "OneDataSource": _object(
        {
            "dataSource": ref("DataSource"),
            "warnings": {
                **_list(ref("RuleProblem")),
                "description": "Warnings about the rules that the request set.",
            },
            "warningsOmitted": {
                "type": "boolean",
                "description": "True if everything was stored, but the rules could not be checked.",
            },
        },
        "dataSource",
    ),
    "RuleProblem": _object(
        {
            "rule": {
                "type": "integer",
                "minimum": 0,
                "description": (
                    "The position of the rule in the list, or 0 for the list as a whole."
                ),
            },
            "path": TEXT,
            "severity": {**TEXT, "enum": ["warning", "info"]},
            "code": TEXT,
            "message": TEXT,
        },
        "rule",
        "path",
        "severity",
        "code",
        "message",
    ),
    "DataSources": _object(
        {
            "dataSources": _list(ref("DataSource")),
            "pagination": _object(
                {"limit": WHOLE, "next": MAYBE_TEXT},
                "limit",
                "next",
                description="Only with `limit` or `after`; `next` is null on the last page.",
            ),
        },
        "dataSources",
    ),
    "NewDataSource": _object(
        {
            **_SETTABLE,
            "appId": MAYBE_ID,
            "entries": {"type": ["array", "null"], "items": ref("Row")},
        },
        "name",
    ),
    "DataSourceChange": _object(
        {
            **_SETTABLE,
            "renameInRules": {
                "type": "boolean",
                "description": "Also change the name in the rules that test it as `Source`.",
            },
            "revision": {
                **WHOLE,
                "description": (
                    "The revision that the change is based on. If it is not the current one, "
                    "the response is 409."
                ),
            },
        },
        description="Properties that are absent keep their values.",
    ),
    "User": _object(
        {
            "id": {"type": ["integer", "string"]},
            "email": MAYBE_TEXT,
            "fullName": MAYBE_TEXT,
            "firstName": TEXT,
            "lastName": TEXT,
            "type": TEXT,
        },
        "id",
        "email",
        "fullName",
        "firstName",
        "lastName",
        "type",
    ),
    "OneUser": _object({"user": ref("User")}, "user"),
    "SignIn": _object(
        {
            "passport": {"const": "dataSource"},
            "dataSourceId": ID,
            "dataSourceName": TEXT,
            "where": {
                "type": "object",
                "description": (
                    "The email address and the password, with the names of their columns as keys."
                ),
                "additionalProperties": TEXT,
                "minProperties": 2,
                "maxProperties": 2,
                "examples": [{"Email": "bob@acme.com", "Password": "..."}],
            },
        },
        "passport",
        "where",
    ),
    "SignedIn": _object(
        {"session": _object({"auth_token": TEXT, **_SESSION}, "auth_token", "user")}, "session"
    ),
    "Session": _object({"session": _object(_SESSION, "user")}, "session"),
    "Nothing": {"type": "object", "maxProperties": 0},
    "Document": {**_OBJECT, "description": "An OpenAPI document."},
}


# -- failures


def _codes(status: int) -> list[str]:
    return [code for code, own in STATUS.items() if own == status]


def _error(*codes: str) -> Json:
    found: Json = {"message": TEXT, "type": {**TEXT, "enum": list(codes)}}
    if ACCESS & {*codes}:
        # What finds the request in the decision log.
        found["requestId"] = TEXT
    return _object(found, "message", "type")


_PAYLOAD = _object({"dataSourceId": {"type": ["integer", "string"]}}, "dataSourceId")
_DENIED = _error("datasource.access")
_DENIED = {**_DENIED, "properties": {**_DENIED["properties"], "payload": _PAYLOAD}}
_DENIED["required"] = ["message", "type", "payload"]
SCHEMAS["Denied"] = _DENIED
SCHEMAS["Malformed"] = _error("request.invalid")

SAYS = {
    400: "The request is malformed, or the access rules deny it.",
    401: "A credential is not valid, or the request has no credential but needs one.",
    403: "A permission is missing, or a request with the site's session cookie has no CSRF token.",
    404: "There is no resource at this URL.",
    405: "The URL does not support this method.",
    409: "The rules have changed since the `revision` that was sent (`payload` lists the "
    "changes), or the `Idempotency-Key` was already used for another request.",
    412: "The state does not match `If-Match`.",
    413: "The body is too large.",
    415: "The URL does not support this media type.",
    429: "Too many attempts.",
    500: "An error on the server.",
    503: "The server does not have enough capacity at the moment.",
}
_HEADERS = {
    401: ("WWW-Authenticate", TEXT, "The scheme, `Bearer`."),
    405: ("Allow", TEXT, "The methods that the URL supports."),
    429: ("Retry-After", {"type": "integer"}, "Seconds."),
    503: ("Retry-After", {"type": "integer"}, "Seconds."),
}


def _response(status: int) -> Json:
    schema = ref(f"Error{status}")
    found: Json = {
        "description": SAYS[status],
        "content": {"application/json": {"schema": schema}},
    }
    if status in _HEADERS:
        name, kind, text = _HEADERS[status]
        found["headers"] = {name: {"schema": kind, "description": text}}
    return found


for _status in SAYS:
    SCHEMAS[f"Error{_status}"] = (
        {"oneOf": [ref("Malformed"), ref("Denied")]} if _status == 400 else _error(*_codes(_status))
    )
SCHEMAS["Error409"]["properties"]["payload"] = _object(
    {"revision": {"type": "integer"}, "changes": _list(TEXT)}, "revision", "changes"
)
RESPONSES: dict[str, Json] = {f"Error{status}": _response(status) for status in SAYS}

SECURITY: dict[str, Json] = {
    "authToken": {
        "type": "apiKey",
        "in": "header",
        "name": "Auth-token",
        "description": "An API token, or the token of a session.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same token, raw or encoded as base64.",
    },
    "siteSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": (
            "The session cookie of the site. Methods other than GET also need `X-CSRFToken`."
        ),
    },
}
