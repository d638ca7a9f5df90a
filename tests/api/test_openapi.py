"""The API's own description: valid, whole, and true of what is answered."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.test import Client
from django.urls import URLPattern, reverse
from drf_spectacular.validation import validate_schema

from rowkeeper.rules.api import schema as schema_module
from rowkeeper.rules.api.base import Unknown
from rowkeeper.rules.api.errors import STATUS
from rowkeeper.rules.api.operations import OPERATIONS
from rowkeeper.rules.api.project_schema import schema_3_0
from rowkeeper.rules.api.schema import document
from rowkeeper.rules.api.urls import urlpatterns
from tests.support.people import PASSWORD, headers_of, sign_in_source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def found(client: Client) -> dict[str, Any]:
    response = client.get("/v1/schema")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    body: dict[str, Any] = response.json()
    return body


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for address, methods in found["paths"].items():
        for method, operation in methods.items():
            yield address, method, operation


# -- the document


def test_it_is_openapi_3_1(found: dict[str, Any]) -> None:
    assert found["openapi"].startswith("3.1.")
    validate_schema(found)


def test_every_schema_is_json_schema(found: dict[str, Any]) -> None:
    for schema in found["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(found: dict[str, Any]) -> None:
    for target in re.findall(r'"\$ref": "([^"]+)"', json.dumps(found)):
        value: Any = found
        for key in target.removeprefix("#/").split("/"):
            value = value[key]


def test_nothing_is_described_that_is_not_used(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    for kind in ("schemas", "responses"):
        for name in found["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name


def routes() -> Iterator[tuple[str, str, str, str]]:
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        callback: Any = pattern.callback
        if callback.cls is Unknown:
            continue
        address = "/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        for method, action in callback.actions.items():
            if method != "head":
                yield address, method, callback.cls.__name__, action


def test_every_route_is_in_it(found: dict[str, Any]) -> None:
    here = {(address, method) for address, method, _ in operations(found)}
    assert here == {(address, method) for address, method, _, _ in routes()}


def test_the_table_names_every_action_and_no_other() -> None:
    assert set(OPERATIONS) == {(view, action) for _, _, view, action in routes()}


def test_identifiers_are_unique(found: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(found)]
    assert len(set(names)) == len(names)


def test_every_parameter_of_an_address_is_described(found: dict[str, Any]) -> None:
    for address, _, operation in operations(found):
        told = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
        assert told == set(re.findall(r"{(\w+)}", address))


def test_every_kind_of_failure_is_in_it(found: dict[str, Any]) -> None:
    schemas = found["components"]["schemas"]
    told: dict[str, int] = {}
    for name, response in found["components"]["responses"].items():
        status = int(name.removeprefix("Error"))
        reference = response["content"]["application/json"]["schema"]["$ref"]
        schema = schemas[reference.rpartition("/")[2]]
        parts = [schemas[one["$ref"].rpartition("/")[2]] for one in schema.get("oneOf", [])]
        for part in parts or [schema]:
            told |= dict.fromkeys(part["properties"]["type"]["enum"], status)
    assert told == STATUS


def test_every_operation_tells_its_failures(found: dict[str, Any]) -> None:
    for address, method, operation in operations(found):
        statuses = {int(status) for status in operation["responses"]}
        assert statuses >= {400, 401, 404, 405, 500, 503}, (address, method)
        assert ("requestBody" in operation) == (415 in statuses) == (413 in statuses)
        if method != "get":
            assert 403 in statuses, (address, method)
    assert "429" in found["paths"]["/v1/session/authorize"]["post"]["responses"]


def test_the_ways_to_be_somebody(found: dict[str, Any]) -> None:
    schemes = found["components"]["securitySchemes"]
    assert schemes["authToken"]["name"] == "Auth-token"
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["siteSession"]["name"] == "sessionid"
    for address, method, operation in operations(found):
        nobody = {} in operation["security"]
        elevated = address in ("/v1/data-sources", "/v1/data-sources/{reference}") and not (
            address.endswith("{reference}") and method == "get"
        )
        assert nobody is not elevated, (address, method)


def test_in_yaml(client: Client, found: dict[str, Any]) -> None:
    response = client.get("/v1/schema?format=yaml")
    assert response["Content-Type"] == "application/yaml"
    assert yaml.safe_load(response.content) == found


def test_another_format_is_refused(client: Client) -> None:
    response = client.get("/v1/schema?format=xml")
    assert (response.status_code, response.json()["type"]) == (400, "request.invalid")


def test_at_another_address() -> None:
    assert "/data/v7/user" in document("/data/v7/")["paths"]
    assert reverse("rowkeeper-api-root") == "/v1/"


PROJECT = """
from project.settings import *

ROOT_URLCONF = "host"
INSTALLED_APPS = [*INSTALLED_APPS, "drf_spectacular"]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = %r
"""
URLS = """
from django.urls import include, path
from rest_framework.generics import RetrieveAPIView
from rest_framework.serializers import CharField, Serializer


class UserSerializer(Serializer):
    name = CharField()


class Me(RetrieveAPIView):
    serializer_class = UserSerializer
    authentication_classes = ()


def without_v1(endpoints):
    return [endpoint for endpoint in endpoints if not endpoint[0].startswith("/v1/")]


urlpatterns = [path("me", Me.as_view()), path("v1/", include("rowkeeper.rules.api.urls"))]
"""
HOOK = "rowkeeper.rules.api.project_schema.add_to_schema"


def project_document(folder: Path, **settings: Any) -> dict[str, Any]:
    """What `spectacular --fail-on-warn --validate` says of a project that has the API at `/v1/`
    and a view of its own, whose serializer is called `UserSerializer`.
    """
    (folder / "host_settings.py").write_text(PROJECT % settings)
    (folder / "host.py").write_text(URLS)
    command = ["spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json"]
    done = subprocess.run(
        [sys.executable, "-m", "django", *command],
        cwd=ROOT,
        env={
            "DJANGO_SETTINGS_MODULE": "host_settings",
            "PYTHONPATH": f"{folder}:{ROOT}",
            "SECRET_KEY": "x" * 50,
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_projects_own_document_leaves_the_api_out(tmp_path: Path) -> None:
    """With the defaults of drf-spectacular, which are OpenAPI 3.0.3."""
    found = project_document(tmp_path)
    assert found["openapi"] == "3.0.3"
    assert list(found["paths"]) == ["/me"]
    assert list(found["components"]["schemas"]) == ["User"]


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1"])
def test_a_projects_own_document_has_the_api_where_a_hook_asks_for_it(
    version: str, tmp_path: Path, found: dict[str, Any]
) -> None:
    whole = project_document(tmp_path, OAS_VERSION=version, POSTPROCESSING_HOOKS=[HOOK])
    assert whole["openapi"] == version
    assert set(whole["paths"]) == {"/me", *found["paths"]}
    assert set(whole["components"]["schemas"]["User"]["properties"]) == {"name"}
    names = set(whole["components"]["schemas"]) - {"User"}
    assert names == {f"Rowkeeper{name}" for name in found["components"]["schemas"]}
    ids = [operation["operationId"] for _, _, operation in operations(whole)]
    assert len(set(ids)) == len(ids) and "rowkeeperCommit" in ids
    for target in re.findall(r'"\$ref": "([^"]+)"', json.dumps(whole)):
        value: Any = whole
        for key in target.removeprefix("#/").split("/"):
            value = value[key]


def test_a_hook_of_the_project_does_not_change_the_apis_document() -> None:
    """A preprocessing hook that leaves `/v1/` out leaves the API's own document whole."""
    from drf_spectacular.settings import patched_settings

    document.cache_clear()
    with patched_settings({"PREPROCESSING_HOOKS": ["tests.api.test_openapi.no_endpoints"]}):
        assert "/v1/user" in document("/v1/")["paths"]


def no_endpoints(endpoints: list[Any]) -> list[Any]:
    """A preprocessing hook that leaves everything out."""
    return []


def test_null_types_and_constants_in_openapi_3_0() -> None:
    schema = {
        "type": ["string", "number", "null"],
        "properties": {
            "type": {"const": "select"},
            "where": {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]},
            "order": {"type": ["array", "null"], "items": {"type": "string"}},
        },
    }
    assert schema_3_0(schema) == {
        "anyOf": [{"type": "string"}, {"type": "number"}],
        "nullable": True,
        "properties": {
            "type": {"enum": ["select"]},
            "where": {"anyOf": [{"$ref": "#/x"}], "nullable": True},
            "order": {"type": "array", "nullable": True, "items": {"type": "string"}},
        },
    }


def test_no_property_of_a_request_has_a_default(found: dict[str, Any]) -> None:
    """openapi-typescript takes a property with a default as one that is always present."""
    assert '"default":' not in json.dumps(found["components"]["schemas"])


def test_every_list_says_what_is_in_it(found: dict[str, Any]) -> None:
    """Generators of clients refuse a list without `items`."""

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            if "array" in schema.get("type", ()):
                assert schema.get("items"), schema
            for part in schema.values():
                walk(part)
        elif isinstance(schema, list):
            for part in schema:
                walk(part)

    walk(found["components"]["schemas"])


def test_yaml_is_refused_where_it_is_not_installed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_module._text.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    response = client.get("/v1/schema?format=yaml")
    assert (response.status_code, response.json()["type"]) == (400, "request.invalid")
    assert client.get("/v1/schema").status_code == 200


# -- is it true


class Asker:
    """Asks, and holds each answer and each body that is taken against the document."""

    def __init__(self, client: Client, found: dict[str, Any]) -> None:
        self.client, self.found = client, found

    def valid(self, value: Any, schema: dict[str, Any]) -> None:
        whole = {**schema, "components": self.found["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    def __call__(
        self, method: str, template: str, body: Any = None, headers: Any = None, **names: Any
    ) -> tuple[int, Any]:
        operation = self.found["paths"][f"/v1/{template}"][method]
        response: Any = self.client.generic(
            method.upper(),
            f"/v1/{template.format(**names)}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers=headers or {},
        )
        text = b"".join(response.streaming_content) if response.streaming else response.content
        told = operation["responses"][str(response.status_code)]
        if "$ref" in told:
            told = self.found["components"]["responses"][told["$ref"].rpartition("/")[2]]
        answer = json.loads(text)
        self.valid(answer, told["content"]["application/json"]["schema"])
        for name, header in told.get("headers", {}).items():
            assert name in response or header.get("required") is False
        if body is not None and response.status_code < 300:
            self.valid(body, operation["requestBody"]["content"]["application/json"]["schema"])
        return response.status_code, answer


@pytest.mark.django_db
def test_answers_are_as_described(client: Client, found: dict[str, Any]) -> None:
    from django.contrib.auth.models import User

    from rowkeeper.accounts.tokens import create_api_token

    _, token = create_api_token("all", user=User.objects.create_superuser("root"))
    root = {"Auth-token": token}
    people = sign_in_source("People", [{"Email": "bob@acme.com", "Name": "Bob"}])
    bob = headers_of(client, people, "bob@acme.com")
    ask = Asker(client, found)

    for headers in (root, bob):
        assert ask("get", "user", headers=headers)[0] == 200
        assert ask("get", "session", headers=headers)[0] == 200
    assert ask("get", "user")[0] == 401
    sign_in = {
        "passport": "dataSource",
        "dataSourceId": people.pk,
        "where": {"Email": "bob@acme.com", "Password": PASSWORD},
    }
    status, signed_in = ask("post", "session/authorize", sign_in)
    assert status == 200
    session = {"Auth-token": signed_in["session"]["auth_token"]}
    assert ask("post", "session/logout", headers=session) == (200, {})
    assert ask("get", "user", headers=session)[0] == 401

    rule = {
        "name": "all",
        "type": ["select", "insert", "update", "delete"],
        "allow": "all",
        "exclude": ["Salary"],
        "require": [],
    }
    new = {"name": "Notes", "columns": ["N"], "accessRules": [rule], "entries": [{"N": 1}]}
    status, made = ask("post", "data-sources", new, root)
    assert status == 201
    key = {"reference": made["dataSource"]["id"]}
    one, entries = "data-sources/{reference}", "data-sources/{reference}/data"
    assert ask("get", "data-sources", headers=root)[0] == 200
    assert ask("get", "data-sources")[0] == 401
    assert ask("get", "data-sources", headers=bob)[0] == 403
    assert ask("get", one, headers=root, **key)[0] == 200
    assert ask("get", one, **key)[0] == 200
    assert ask("put", one, {"accessRules": [rule]}, root, **key)[0] == 200
    assert ask("put", one, {"accessRules": [{}]}, root, **key)[0] == 400

    order = {"order": [["N", "desc"]], "limit": None, "includePagination": True, "where": {"N": 1}}
    query = f"{entries}/query"
    assert ask("post", query, {"type": "select", **order}, **key)[0] == 200
    assert ask("post", query, {"countOnly": True}, **key) == (200, {"count": 1})
    assert ask("post", query, {"attributes": ["order", "id"]}, **key)[0] == 200
    assert ask("post", query, {"where": {"Salary": 1}}, **key)[0] == 400
    assert ask("post", query, {"where": []}, **key)[0] == 400
    assert ask("get", entries, **key)[0] == 200
    status, entry = ask("put", entries, {"N": [1, {"a": None}]}, **key)
    assert status == 200
    named = {**key, "entry_id": entry["id"]}
    assert ask("get", f"{entries}/{{entry_id}}", **named)[0] == 200
    assert ask("put", f"{entries}/{{entry_id}}", {"N": 2}, **named)[0] == 200
    assert ask("get", "data-sources/{reference}/indexes/{names}", names="N", **key)[0] == 200
    assert ask("delete", f"{entries}/{{entry_id}}", **named) == (200, {})
    assert ask("delete", f"{entries}/{{entry_id}}", **named)[0] == 404
    commit = {
        "entries": [{"id": None, "data": {"N": 3}, "clientId": "a"}],
        "append": True,
        "delete": None,
    }
    assert ask("post", "data-sources/{reference}/commit", commit, **key)[0] == 200
    assert ask("post", entries, {"entries": [{"N": 4}], "append": True}, **key)[0] == 200
    assert ask("post", query, {"type": "delete", "where": {}}, **key)[0] == 200
    assert ask("delete", one, headers=root, **key) == (200, {})
    assert ask("get", entries, **key)[0] == 401
    assert ask("get", "schema")[0] == 200


def test_rules_of_the_examples_are_as_described(found: dict[str, Any]) -> None:
    asker = Asker(Client(), found)
    for name in ("employees", "staff"):
        for rule in json.loads((ROOT / "tests" / "cases" / f"{name}.json").read_text())["rules"]:
            asker.valid(rule, {"$ref": "#/components/schemas/AccessRule"})
    for wrong in ({}, {"type": [], "allow": "all"}, {"type": ["select"], "allow": "nobody"}):
        with pytest.raises(jsonschema.ValidationError):
            asker.valid(wrong, {"$ref": "#/components/schemas/AccessRule"})
