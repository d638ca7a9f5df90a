"""The changes that a file makes to the stored entries: one for each row, in three modes.

`append` adds every row. `update` finds the entry of each row by a key and changes the columns that
the file has; a row without an entry is added. `replace` deletes all entries that are not in the
file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from .. import store
from ..catalog.normalization import composed_row
from ..catalog.registry import Source
from ..store import StoredEntry
from ..values.validation import printable, same
from .cells import ID
from .changes import Change
from .keys import Addresses, Keys, Passwords
from .problems import Problem, Unreadable
from .table import FileRow, Table

MODES = ("append", "replace", "update")
_BATCH = 1_000


def check_mode(table: Table, mode: str, key: str | None) -> None:
    """Raise `Unreadable` if mode, key and file do not fit together."""
    if mode not in MODES:
        raise Unreadable(f"`{printable(mode)}` is not a mode, expected {', '.join(MODES)}")
    if table.header_problems:
        return
    if mode == "append":
        if key is not None:
            raise Unreadable("`append` does not use a key: remove it, or choose `update`")
        if table.has_id:
            raise Unreadable(
                f"the file has the column `{ID}`, which identifies entries, and `append` would "
                "add all of them again: choose `update` or `replace`, or export the file "
                "without it"
            )
    if key is not None and key in table.source.secret:
        raise Unreadable(f"`{printable(key)}` is secret and cannot be the key")
    if key is not None and key not in table.columns:
        raise Unreadable(f"the file has no column `{printable(key)}`, which is the key")
    if mode == "update" and key is None and not table.has_id:
        raise Unreadable(f"an update requires a key: a column of the file, or the column `{ID}`")


@dataclass(slots=True)
class Plan:
    """The changes of an import; after they are iterated, `gone` has the ids to delete."""

    table: Table
    mode: str
    key: str | None = None
    # Lock the entries that are read, for a write.
    lock: bool = False
    gone: list[int] = field(default_factory=list)
    _keys: Keys | None = None
    _matched: dict[int, int] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """The data source that is written to."""
        return self.table.source

    @property
    def finds_entries(self) -> bool:
        """Whether rows can belong to existing entries."""
        return self.key is not None or self.table.has_id

    def changes(self) -> Iterator[Change | Problem]:
        """Yield each row's change in the order of the file; problems in between or at the end."""
        stored = store.ids(self.source) if self.mode == "replace" else []
        if self.key is not None:
            self._keys = Keys(self.source, self.key)
        checks = [Passwords(self.source)] if self.source.secret else []
        addresses = Addresses(self.source) if self.source.login else None
        rows = map(self._composed, self.table.rows())
        while batch := list(islice(rows, _BATCH)):
            for change in self._batch(batch):
                yield change
                if isinstance(change, Change):
                    for check in checks:
                        yield from check.problems(change)
                    if addresses:
                        addresses.note(change)
        self.gone = [entry_id for entry_id in stored if entry_id not in self._matched]
        if addresses:
            yield from addresses.problems(self.gone)

    def _composed(self, row: FileRow | Problem) -> FileRow | Problem:
        """Normalize a row as it will be stored, so that it can be compared with stored ones."""
        if isinstance(row, Problem):
            return row
        return replace(row, values=composed_row(self.source, row.values))

    def _batch(self, batch: list[FileRow | Problem]) -> Iterator[Change | Problem]:
        found = [
            (item, item if isinstance(item, Problem) else self._entry_of(item)) for item in batch
        ]
        ids = [entry_id for _, entry_id in found if isinstance(entry_id, int)]
        entries = store.fetch(self.source, ids, self.lock)
        for item, entry_id in found:
            if isinstance(item, Problem):
                yield item
            elif isinstance(entry_id, Problem):
                yield entry_id
            else:
                yield self._change(item, entry_id, entries)

    def _entry_of(self, row: FileRow) -> int | Problem | None:
        """Return the id of the row's entry; None for a new row, or the row's problem."""
        if not self.finds_entries:
            return None
        entry_id = row.id if self._keys is None else self._keys.entry_of(row)
        if isinstance(entry_id, int):
            first = self._matched.setdefault(entry_id, row.line)
            if first != row.line:
                return Problem(row.line, f"is for entry {entry_id}, like line {first}")
        return entry_id

    def _change(
        self, row: FileRow, entry_id: int | None, entries: dict[int, StoredEntry]
    ) -> Change | Problem:
        if entry_id is None:
            return Change(row.line, row.values)
        before = entries.get(entry_id)
        if before is None:
            return Problem(row.line, f"there is no entry {entry_id} in this data source", ID)
        after = self._after(row, before.data)
        return Change(row.line, None if same(after, before.data) else after, before)

    def _after(self, row: FileRow, before: dict[str, Any]) -> dict[str, Any]:
        """Return the row to store. Empty cells remove values; secret columns keep them."""
        secret = self.source.secret
        if self.mode == "replace":
            return {**{key: before[key] for key in secret if key in before}, **row.values}
        written = set(self.table.columns) - secret
        kept = {name: value for name, value in before.items() if name not in written}
        return {**kept, **row.values}
