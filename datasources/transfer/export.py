"""Exports entries to a file: a line for each entry, a column for each column but secret ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .. import store
from ..catalog.registry import Source
from ..query.select import Projection
from ..query.where import EVERYTHING
from . import csv as csvfile
from .cells import ID, MISSING, NOTHING, csv_cell, header_cell, xlsx_cell
from .xlsx import file

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True)
class Export:
    """Every entry of a data source, by id, in the state while the file is being written."""

    source: Source
    with_ids: bool = False

    def as_csv(self) -> Iterator[str]:
        """Yield the text of a CSV file; a thousand entries at a time are in memory."""
        columns = self._columns()
        return csvfile.written(_header(columns), self._rows(columns, csv_cell))

    def as_xlsx(self, place: Path | IO[bytes]) -> None:
        """Write a workbook. Raises `Unreadable` for values that a sheet cannot hold."""
        columns = self._columns()
        file.write(place, _header(columns), self._rows(columns, xlsx_cell))

    def _columns(self) -> list[str]:
        """Return the columns, with the id if it is requested or if there is no other column."""
        names = store.column_names(self.source)
        return [ID, *names] if self.with_ids or not names else names

    def _rows(self, columns: list[str], cell: Any) -> Iterator[list[Any]]:
        shown = Projection(drop=self.source.secret)
        for text in store.stream(self.source, EVERYTHING, shown):
            entry = json.loads(text)
            row = entry["data"]
            if columns[0] == ID:
                row = {ID: entry["id"], **row}
            cells = [cell(row.get(name, MISSING)) for name in columns]
            if not row:
                cells[0] = NOTHING
            yield cells


def _header(columns: list[str]) -> list[str]:
    return [header_cell(name) for name in columns]
