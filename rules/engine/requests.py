"""The requests that are decided on, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rowkeeper.datasources.query.where import Field, Node

Data: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A select or delete by query. `columns` and `paths` are those named outside the where.

    For scripts: `written` is the where as JSON, or None if it is not available. For a delete,
    `rows` returns up to that many of the matching stored rows, which do not change until it is
    carried out.
    """

    where: Node
    columns: tuple[str, ...] = ()
    paths: tuple[Field, ...] = ()
    written: Any = None
    rows: Callable[[int], Sequence[Data]] | None = None


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """A read or delete of entries by id: their stored data, None for one that does not exist.

    `batch`, here and below: the entries come from a commit, so that a script gets a list.
    """

    stored: Sequence[Data | None]
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows."""

    rows: Sequence[Data]
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One entry to be written. `own_row`: it is the entry of the session's own user."""

    submitted: Data
    stored: Data
    own_row: bool = False
    # The entry's id, which scripts see.
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Entries to be written: whole if `replaces`, otherwise only the columns that are sent."""

    changes: Sequence[Change]
    replaces: bool = False
    batch: bool = False


DecisionRequest: TypeAlias = "QueryRequest | EntryRequest | Insert | Update"
