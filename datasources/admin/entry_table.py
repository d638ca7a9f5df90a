"""The admin's table of entries, as values: what the query string requests, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator

from .. import store
from ..catalog.registry import Source
from ..errors import Malformed
from ..query.select import OrderTerm
from ..query.where import EVERYTHING, Node, any_of
from ..query.where.nodes import column_is
from ..store import StoredEntry
from ..transfer.display import Cell, cell
from ..values.codec import loads
from ..values.validation import problem_with_text

PER_PAGE = 50
FEW_COLUMNS = 10
MAX_SEARCH = 200
_FIELDS = {"id": "ID", "updatedAt": "updated"}


@dataclass(frozen=True, slots=True)
class Heading:
    """A column of the table, with the URL that orders by it, or reverses its order."""

    text: str
    address: str
    # The value of `aria-sort`.
    sorted: str


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is shown."""

    entry: StoredEntry
    cells: list[Cell]


class EntryList:
    """A page of the table, as a query string requests it."""

    def __init__(self, source: Source, parameters: Mapping[str, str]) -> None:
        self.source = source
        self.search = parameters.get("q", "").strip()[:MAX_SEARCH]
        self.columns = [name for name in source.columns if name not in source.secret]
        self.every_column = parameters.get("columns") == "all"
        self.order = _order(parameters.get("o", ""), self.columns)
        where = self._where()
        pages = Paginator(range(store.count(source, where)), PER_PAGE)
        self.page: Page[int] = pages.get_page(parameters.get("p"))
        self.total = pages.count
        self.numbers = list(pages.get_elided_page_range(self.page.number))
        entries = store.admin_page(
            source, where, self._terms(), PER_PAGE, max(0, self.page.start_index() - 1)
        )
        self.lines = [Line(entry, self._cells(entry)) for entry in entries]

    @property
    def shown(self) -> list[str]:
        """The columns that the table shows."""
        return self.columns if self.every_column else self.columns[:FEW_COLUMNS]

    @property
    def headings(self) -> list[Heading]:
        """The headings of the table."""
        first, last = [self._heading(name, False) for name in _FIELDS]
        return [first, *(self._heading(name, True) for name in self.shown), last]

    def address(self, **changes: Any) -> str:
        """Return the query string of this page with changes; None removes a parameter."""
        parameters: dict[str, Any] = {
            "q": self.search or None,
            "o": self.written_order or None,
            "columns": "all" if self.every_column else None,
            **changes,
        }
        kept = {key: value for key, value in parameters.items() if value is not None}
        return f"?{urlencode(kept)}"

    @property
    def pages(self) -> list[tuple[Any, str]]:
        """The page numbers with their URLs; the URL is "" for a gap and for this page."""
        here = self.page.number
        return [
            (n, self.address(p=n) if isinstance(n, int) and n != here else "") for n in self.numbers
        ]

    @property
    def written_order(self) -> str:
        """The order as the query string has it."""
        return _written(self.order) if self.order else ""

    @property
    def unsearched_address(self) -> str:
        """The URL of this table without a search."""
        return self.address(q=None)

    @property
    def few_address(self) -> str:
        """The URL of this page with all columns, or back to only the first ones."""
        return self.address(columns=None if self.every_column else "all")

    def _where(self) -> Node:
        if not self.search:
            return EVERYTHING
        if problem_with_text(self.search) or not self.columns:
            return any_of(())
        found = [store.holds_text(self.columns, self.search)]
        number = _number(self.search)
        if number is not None:
            found.extend(column_is(name, "$eq", number) for name in self.columns)
        return any_of(found)

    def _terms(self) -> tuple[OrderTerm, ...]:
        return (self.order,) if self.order else ()

    def _heading(self, name: str, is_column: bool) -> Heading:
        now = self.order
        here = now is not None and (now.name, now.is_column) == (name, is_column)
        descending = here and now is not None and now.descending
        turned = OrderTerm(name, is_column, here and not descending)
        return Heading(
            name if is_column else _FIELDS[name],
            self.address(o=_written(turned)),
            ("descending" if descending else "ascending") if here else "none",
        )

    def _cells(self, entry: StoredEntry) -> list[Cell]:
        return [cell(entry.data.get(name)) for name in self.shown]


def _order(text: str, columns: list[str]) -> OrderTerm | None:
    """Parse `c:Name` (column) or `f:id` (field), with `-` for descending; or return None."""
    descending = text.startswith("-")
    kind, _, name = text.removeprefix("-").partition(":")
    if kind == "c" and name in columns:
        return OrderTerm(name, True, descending)
    if kind == "f" and name in _FIELDS:
        return OrderTerm(name, False, descending)
    return None


def _written(term: OrderTerm) -> str:
    return f"{'-' if term.descending else ''}{'c' if term.is_column else 'f'}:{term.name}"


def _number(text: str) -> int | float | None:
    try:
        value = loads(text)
    except Malformed:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
