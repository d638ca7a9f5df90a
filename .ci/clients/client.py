"""Uses the API through the client that openapi-python-client generates.

The address, the token, and the id of an empty data source come from the environment.
"""

from __future__ import annotations

import os

from rowkeeper_client import AuthenticatedClient
from rowkeeper_client.api.entries import commit, delete_entry, query
from rowkeeper_client.models import (
    Commit,
    CommitEntriesItem,
    Committed,
    DeleteByQuery,
    QueryAnswer,
    Row,
    Select,
    SelectAggregateType0Item,
    Where,
)

client = AuthenticatedClient(
    os.environ["BASE_URL"], os.environ["TOKEN"], auth_header_name="Auth-token", prefix=""
)
reference = os.environ["DATA_SOURCE"]


def row(**values: object) -> Row:
    """A row of these columns."""
    found = Row()
    found.additional_properties = dict(values)
    return found


def where(**values: object) -> Where:
    """A where of these equalities."""
    found = Where()
    found.additional_properties = dict(values)
    return found


def ask(body: Select | DeleteByQuery) -> QueryAnswer:
    """The answer to a select or a delete by query."""
    found = query.sync(reference, client=client, body=body)
    assert isinstance(found, QueryAnswer), found
    return found


rows = [row(Name="Ann", Age=31), row(Name="Bob", Age=52)]
body = Commit(append=True, entries=[CommitEntriesItem(data=data) for data in rows])
assert isinstance(commit.sync(reference, client=client, body=body), Committed)

entries = ask(Select(where=where(Name="Ann"))).entries
assert entries and entries[0].data and entries[0].data["Age"] == 31, entries
ordered = ask(Select(order=[["data.Age", "DESC"]], limit=1, include_pagination=True))
assert ordered.pagination and ordered.pagination.total == 2, ordered
assert ask(Select(count_only=True)).count == 2
stage = SelectAggregateType0Item.from_dict(
    {"$group": {"_id": None, "total": {"$sum": "$data.Age"}}}
)
(total,) = ask(Select(aggregate=[stage])).entries or ()
assert total["total"] == 83, total
assert ask(DeleteByQuery(type_="delete", where=where(Name="Bob"))).deleted_count == 1
gone = delete_entry.sync_detailed(reference, entries[0].id, client=client)
assert gone.status_code == 200, gone
print("Python: select, count, aggregate, commit and delete work")
