"""A scan of a data source: which rows a request wants, and the SQL that finds them."""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog.registry import Source
from ..query.cursors import Place
from ..query.select import OrderTerm
from ..query.where import Node
from ..sql import Sql, concat
from .statistics import Key


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Which rows of a data source are wanted."""

    source: Source
    where: Node
    order: tuple[OrderTerm, ...] = ()
    # Only this many of the first rows.
    first: int | None = None
    # Conditions in addition to the where.
    more: tuple[Sql, ...] = ()
    # The cursor: only rows behind it in the order.
    place: Place | None = None
    # The caller reads again if the attempt fails, and records the index advice itself.
    can_retry: bool = False
    # The client's request reads this where more than once; another read records the advice.
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows, as a table with its WHERE, to which conditions can be added."""

    sql: Sql
    # If this is one attempt of several: the request, and the number of the attempt.
    request: ScanRequest | None = None
    attempt: int = 0
    # Of a lookup: the rows that the index finds, at most one more than the bound of the attempt.
    # The caller defines the table `hits` by them (see `opening`), which `sql` reads, and counts it.
    hits: Sql | None = None
    # Of a lookup: its index reads everything that it finds, regardless of the bound.
    is_unbounded: bool = False
    # Of a lookup: each row of `hits` matches.
    all_fit: bool = False
    # Of a walk with several parts: `sql` has the column `part`, which is 1 for rows of the first.
    has_parts: bool = False
    # Of a walk: the condition that there are rows behind its bound.
    goes_on: Sql | None = None
    # The first rows by id can only be found by reading all rows that the index does not cover.
    whole: bool = False
    # (column, purpose) for each column whose index would have helped.
    wants: tuple[tuple[str, str], ...] = ()
    # If one of several indexes was chosen: the key under which the choice is remembered, its name.
    chosen: tuple[Key, str] | None = None

    @property
    def opening(self) -> Sql:
        """The WITH clause that a statement on these rows begins with, if it needs one."""
        if self.hits is None:
            return Sql("")
        return concat("WITH hits AS MATERIALIZED (", self.hits, ") ")
