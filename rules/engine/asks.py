"""What a decision is asked about, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from datasources.where import Field, Node

Data: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ByQuery:
    """A select or delete by query. `columns` and `paths` are those named outside the where."""

    where: Node
    columns: tuple[str, ...] = ()
    paths: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class ById:
    """A read or delete of entries by id: their stored data, None for one that does not exist."""

    stored: Sequence[Data | None]


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows."""

    rows: Sequence[Data]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that is to be written: what is sent, what it holds now, and whose row it is."""

    submitted: Data
    stored: Data
    own_row: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Entries that are to be written; `replaces` the whole record, or only the columns sent."""

    changes: Sequence[Change]
    replaces: bool = False


Ask: TypeAlias = "ByQuery | ById | Insert | Update"
