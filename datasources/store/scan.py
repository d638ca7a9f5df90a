"""A scan of a data source: which rows are asked for, and the SQL by which they are found."""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog.registry import Source
from ..query.cursors import Place
from ..query.select import OrderTerm
from ..query.where import Node
from ..sql import Sql
from .statistics import Key


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Which rows of a data source are asked for."""

    source: Source
    where: Node
    order: tuple[OrderTerm, ...] = ()
    # Only so many of the first ones.
    first: int | None = None
    # Conditions beside the where.
    more: tuple[Sql, ...] = ()
    # Only what is behind it in the order.
    place: Place | None = None
    # Who asks can ask again where the attempt fails, and counts what was wanted then.
    asks_anew: bool = False
    # The same where is asked twice in one request, and counted with the other.
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows, as a table with its WHERE, to which conditions can be added."""

    sql: Sql
    # Where this is one attempt of several: the ask, and the attempt's number.
    ask: ScanRequest | None = None
    attempt: int = 0
    # A lookup: the rows that the index finds, one more at most than the attempt's cap. The caller
    # makes of them the table `hits`, which `sql` names, and counts them.
    hits: Sql | None = None
    # Of a lookup: its index reads all that it finds, whatever the cap.
    is_unbounded: bool = False
    # Of a lookup: each of its rows fits.
    all_fit: bool = False
    # A walk of several parts: `sql` has the column `part`, which is 1 for the rows of the walk.
    has_parts: bool = False
    # A walk: the condition that there are rows behind its bound.
    goes_on: Sql | None = None
    # To give the first ones by id, all those beside an index are read.
    whole: bool = False
    # The columns whose index would have been of use, and for what.
    wants: tuple[tuple[str, str], ...] = ()
    # Where one of several indexes was chosen: what the choice is remembered by, and its name.
    chosen: tuple[Key, str] | None = None

    @property
    def opening(self) -> Sql:
        """What a statement on these rows begins with."""
        if self.hits is None:
            return Sql("")
        return Sql(f"WITH hits AS MATERIALIZED ({self.hits.text}) ", self.hits.params)
