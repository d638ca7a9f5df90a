"""The API within a project's own OpenAPI document, for projects that use drf-spectacular.

By default a project's document leaves the API out. A project that wants it there adds a hook:

    SPECTACULAR_SETTINGS = {
        "POSTPROCESSING_HOOKS": [
            "drf_spectacular.hooks.postprocess_schema_enums",
            "rowkeeper.rules.api.project_schema.add_to_schema",
        ],
    }
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from .openapi import Json
from .schema import document

PREFIX = "Rowkeeper"
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf")
# Keywords of JSON Schema that OpenAPI 3.0 does not know, and that only narrow what is valid.
_UNKNOWN_IN_3_0 = ("prefixItems", "propertyNames")


def add_to_schema(result: Json, generator: Any, request: Any, public: bool) -> Json:
    """A post-processing hook of drf-spectacular: add the API to the document of a project.

    Names of components begin with `Rowkeeper` and ids of operations with `rowkeeper`, so that
    they do not clash with those of the project. Returns the document that was passed in.
    """
    own = document(reverse("rowkeeper-api-root"))
    is_3_0 = str(result.get("openapi", "3.0.3")).startswith("3.0")
    for path, methods in own["paths"].items():
        result.setdefault("paths", {})[path] = {
            method: _renamed_operation(_converted(operation) if is_3_0 else operation)
            for method, operation in methods.items()
        }
    components = result.setdefault("components", {})
    for kind, found in own["components"].items():
        target = components.setdefault(kind, {})
        for name, value in found.items():
            if is_3_0:
                value = schema_3_0(value) if kind == "schemas" else _converted(value)
            target[_prefixed(name)] = _renamed(value)
    return result


def _prefixed(name: str) -> str:
    return PREFIX + name[0].upper() + name[1:]


def _renamed_operation(operation: Json) -> Json:
    found: Json = _renamed(operation)
    found["operationId"] = (
        PREFIX.lower() + found["operationId"][0].upper() + found["operationId"][1:]
    )
    found["tags"] = [f"{PREFIX.lower()}: {tag}" for tag in found["tags"]]
    found["security"] = [
        {_prefixed(name): scopes for name, scopes in requirement.items()}
        for requirement in found["security"]
    ]
    return found


def _renamed(value: Any) -> Any:
    """A copy in which every reference points to the prefixed component."""
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(item) for key, item in value.items()}
    if isinstance(found.get("$ref"), str):
        path, _, name = found["$ref"].rpartition("/")
        found["$ref"] = f"{path}/{_prefixed(name)}"
    return found


# -- OpenAPI 3.0, whose schemas are an older dialect of JSON Schema


def _converted(value: Any) -> Any:
    """A copy of an operation, response or parameter whose schemas are those of OpenAPI 3.0."""
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: schema_3_0(item) if key == "schema" else _converted(item)
        for key, item in value.items()
    }


def schema_3_0(schema: Json) -> Json:
    """A schema of OpenAPI 3.1 (JSON Schema 2020-12) in the dialect of OpenAPI 3.0.

    Lists of types become `anyOf`, `null` becomes `nullable`, `const` an `enum` of one value.
    `propertyNames` and `prefixItems` are left out.
    """
    found = {key: value for key, value in schema.items() if key not in _UNKNOWN_IN_3_0}
    if "prefixItems" in schema:
        found.setdefault("items", {})
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "examples" in found:
        found["example"] = found.pop("examples")[0]
    if "properties" in found:
        found["properties"] = {key: schema_3_0(item) for key, item in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = schema_3_0(found[key])
    for key in _SCHEMA_LISTS:
        if key in found:
            found[key] = _without_null([schema_3_0(item) for item in found[key]], found)
    if isinstance(found.get("type"), list):
        kinds = _without_null([{"type": kind} for kind in found.pop("type")], found)
        found.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
    return found


def _without_null(options: list[Json], schema: Json) -> list[Json]:
    """The alternatives but `null`, for which the schema is marked as nullable instead."""
    rest = [option for option in options if option.get("type") != "null"]
    if len(rest) < len(options):
        schema["nullable"] = True
    return rest
