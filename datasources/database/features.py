"""What the databases differ in, apart from the query language, which `compiler` has.

A record for each database, as Django's `DatabaseFeatures` and `DatabaseOperations`. Code asks what
a database can do, or takes the SQL from here; only this module asks which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from ..sql import Sql
from ..values.codec import dumps


@dataclass(frozen=True, slots=True)
class Features:
    """A database. The flags are those of one that is not supported."""

    name: str
    # Connections can break, and statements have time limits of their own.
    is_server: bool = False
    # Transactions write one at a time, and the first statement of each has to be a write.
    has_one_writer: bool = False
    # Rows can be locked, and locks can be waited for in turn.
    has_row_locks: bool = False
    # Functions are stored in the database by the migrations.
    stores_functions: bool = False
    # An index over whole rows answers equality for every column.
    has_whole_row_index: bool = False
    # Indexes are built without a lock on the table. An interrupted build leaves an index behind.
    builds_concurrently: bool = False
    # Foreign keys are checked at the end of the transaction, unless that is asked for earlier.
    defers_constraints: bool = False
    # What follows a JSON column to read it as text. Django parses it otherwise.
    json_text: str = ""
    # What ends a statement that locks the rows it reads.
    for_update: str = ""
    # What stands after LIMIT for no limit.
    no_limit: str = ""
    # The query for the IDs in a JSON list, which is its parameter.
    ids_in_json: str = ""
    # The condition that an ID is one of these.
    ids_in: Callable[[Collection[int]], Sql] = lambda ids: Sql("1=0")


def _ids_in_sqlite(ids: Collection[int]) -> Sql:
    return Sql(f"id IN ({SQLITE.ids_in_json})", (dumps(list(ids)),))


def _ids_in_postgresql(ids: Collection[int]) -> Sql:
    return Sql("id=ANY(%s)", (list(ids),))


SQLITE = Features(
    "sqlite",
    has_one_writer=True,
    no_limit="-1",
    ids_in_json="SELECT value FROM json_each(%s)",
    ids_in=_ids_in_sqlite,
)
POSTGRESQL = Features(
    "postgresql",
    is_server=True,
    has_row_locks=True,
    stores_functions=True,
    has_whole_row_index=True,
    builds_concurrently=True,
    defers_constraints=True,
    json_text="::text",
    for_update=" FOR UPDATE",
    no_limit="ALL",
    ids_in_json="SELECT value::bigint FROM jsonb_array_elements_text(%s::jsonb) AS kept(value)",
    ids_in=_ids_in_postgresql,
)
_FEATURES = {features.name: features for features in (SQLITE, POSTGRESQL)}


def features_of(connection: BaseDatabaseWrapper) -> Features:
    """Return the features of a connection's database."""
    return _FEATURES.get(connection.vendor) or Features(connection.vendor)
