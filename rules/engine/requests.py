"""What a decision is asked about, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rowkeeper.datasources.query.where import Field, Node

Data: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A select or delete by query. `columns` and `paths` are those named outside the where.

    For scripts: `written` is the where as JSON, None where it is not at hand; of a delete, `rows`
    gives that many of the stored rows that fit, which stay as they are until it is carried out.
    """

    where: Node
    columns: tuple[str, ...] = ()
    paths: tuple[Field, ...] = ()
    written: Any = None
    rows: Callable[[int], Sequence[Data]] | None = None


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """A read or delete of entries by id: their stored data, None for one that does not exist.

    Here and below, `batch`: they come from a commit, so that a script sees a list.
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
    """One entry that is to be written: what is sent, what it holds now, and whose row it is."""

    submitted: Data
    stored: Data
    own_row: bool = False
    # The entry's id, which scripts see.
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Entries that are to be written; `replaces` the whole record, or only the columns sent."""

    changes: Sequence[Change]
    replaces: bool = False
    batch: bool = False


DecisionRequest: TypeAlias = "QueryRequest | EntryRequest | Insert | Update"
