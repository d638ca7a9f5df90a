"""People for the tests: a data source to sign in against, and the headers of who did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.test import Client

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.models import DataSource

PASSWORD = "correct horse"
LOGIN = {"login": {"emailColumn": "Email", "passwordColumn": "Password"}}


def sign_in_source(name: str, people: Sequence[dict[str, Any]], **fields: Any) -> DataSource:
    """A data source in which each of these rows signs in with `PASSWORD`."""
    columns = list(dict.fromkeys(key for row in people for key in row))
    model = DataSource(name=name, columns=[*columns, "Password"], definition={**LOGIN}, **fields)
    saving.save(model)
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, [{**row, "Password": PASSWORD} for row in people])
    return model


def headers_of(client: Client, source: DataSource, email: str) -> dict[str, str]:
    """Sign in; the headers of the session."""
    response = client.post(
        "/v1/session/authorize",
        json.dumps(
            {
                "passport": "dataSource",
                "dataSourceId": source.pk,
                "where": {"Email": email, "Password": PASSWORD},
            }
        ),
        content_type="application/json",
    )
    assert response.status_code == 200, response.content
    return {"Auth-token": response.json()["session"]["auth_token"]}
