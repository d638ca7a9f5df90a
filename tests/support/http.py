"""Asking the API in tests: a data source with rows and rules, and a client that speaks JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from django.test import Client

from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import save_rules

EVERYTHING = {"type": ["select", "insert", "update", "delete"], "allow": "all"}


def data_source(
    name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], rules: Any
) -> DataSource:
    """A data source with these rows, saved with these rules."""
    model = DataSource.objects.create(name=name, columns=list(columns))
    source = registry.source_of(model)
    with store.writing(source, []):
        store.insert(source, list(rows))
    save_rules(model, rules)
    return model


class Asking:
    """A client before one data source, with the headers of whoever asks."""

    def __init__(self, model: DataSource, headers: dict[str, str] | None = None) -> None:
        self.model, self.headers, self.client = model, headers or {}, Client()
        self.url = f"/v1/data-sources/{model.pk}"

    def send(self, method: str, url: str, sent: Any = None) -> Any:
        """Any request; the body as JSON text with escapes, so that it can hold anything."""
        data = "" if sent is None else json.dumps(sent)
        return self.client.generic(
            method, self.url + url, data, content_type="application/json", headers=self.headers
        )

    def query(self, **asked: Any) -> Any:
        """`POST data/query`."""
        return self.send("POST", "/data/query", asked)

    def index(self, *columns: str) -> Any:
        """`GET indexes/A,B`; a comma in a name is encoded twice."""
        names = ",".join(quote(quote(c, safe="") if "," in c else c, safe="") for c in columns)
        return self.send("GET", f"/indexes/{names}")

    def rows(self, **asked: Any) -> list[dict[str, Any]]:
        """The rows of a select that has to be answered."""
        response = self.query(**asked)
        assert response.status_code == 200, (asked, response.content)
        return [entry["data"] for entry in response.json()["entries"]]

    def ids(self) -> list[int]:
        """The ids of all entries that there are."""
        return list(self.model.entries.order_by("id").values_list("id", flat=True))


def body(response: Any) -> Any:
    """The JSON of an answer, streamed or not."""
    return json.loads(response.getvalue())


def kind(response: Any) -> tuple[int, str | None]:
    """The status, and the type of a failure, which has a message too."""
    if response.status_code == 200:
        return 200, None
    told = body(response)
    assert told["message"]
    return response.status_code, told["type"]


DENIED = (400, "datasource.access")
INVALID = (400, "request.invalid")
LOGIN = (401, "auth.required")
