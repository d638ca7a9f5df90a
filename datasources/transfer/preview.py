"""Previews an import: how many entries it would change, with the first few as examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import store
from ..catalog.registry import Source
from ..query.select import OrderTerm
from ..query.where import EVERYTHING
from ..store import StoredEntry
from ..values.validation import KIND_NULL, KIND_TEXT, kind, printable, same
from .cells import ID
from .changes import Change
from .display import Cell, cell
from .job import Job, Progress, silent
from .plan import Plan
from .problems import MAX_PROBLEMS, Problem

EXAMPLES = 10
FEW_COLUMNS = 8
_EVERY = 500
# The number of oldest and of newest entries that determine which kinds of values a column has.
_SAMPLE = 500


@dataclass(slots=True)
class Difference:
    """A column of an entry that would change."""

    column: str
    before: Cell
    after: Cell


@dataclass(slots=True)
class Example:
    """One of the first entries that would be added, changed or deleted."""

    line: int | None
    id: int | None
    cells: list[Cell] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(slots=True)
class Preview:
    """What an import would do; if there are problems, it does nothing."""

    mode: str
    columns: list[str] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    same: int = 0
    gone: int = 0
    new_columns: list[str] = field(default_factory=list)
    added: list[Example] = field(default_factory=list)
    updated: list[Example] = field(default_factory=list)
    deleted: list[Example] = field(default_factory=list)
    deleted_columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # There may be more problems, because the search stopped early.
    stopped: bool = False
    seen: str = ""

    @property
    def changes_nothing(self) -> bool:
        """Whether all entries are already as in the file."""
        return not (self.new or self.changed or self.gone or self.new_columns)

    def as_json(self) -> dict[str, Any]:
        """Return the preview as JSON values, for storage and templates."""
        return {**asdict(self), "changes_nothing": self.changes_nothing}


def in_words(counts: Any) -> str:
    """Describe the counts: `5 added, 2 changed, 1 deleted, 7 unchanged`."""
    said = {
        "added": counts.new,
        "changed": counts.changed,
        "deleted": counts.gone,
        "unchanged": counts.same,
    }
    return ", ".join(f"{number} {word}" for word, number in said.items() if number) or "no entries"


def preview(job: Job, source: Source, progress: Progress = silent) -> Preview:
    """Return what a job would change now. Raises `Unreadable`."""
    seen = job.seen(source)
    plan = job.plan(source)
    found = Preview(job.mode, seen=seen)
    secret = source.secret
    found.columns = [name for name in plan.table.columns if name not in secret][:FEW_COLUMNS]
    found.new_columns = [name for name in plan.table.columns if name not in source.columns]
    kinds = _Kinds(source)
    for number, change in enumerate(plan.changes(), 1):
        if isinstance(change, Problem):
            found.problems.append(str(change))
            if change.fatal or len(found.problems) >= MAX_PROBLEMS:
                found.stopped = True
                break
        else:
            _note(found, change, secret)
            kinds.note(change)
        if number % _EVERY == 0:
            progress(plan.table.fraction, number)
    _note_gone(found, source, plan)
    found.notes = [*plan.table.notes, *_notes(plan), *kinds.notes()]
    return found


def _note(found: Preview, change: Change, secret: Iterable[str]) -> None:
    if change.row is None:
        found.same += 1
    elif change.before is None:
        found.new += 1
        if len(found.added) < EXAMPLES:
            found.added.append(Example(change.line, None, _cells(found.columns, change.row)))
    else:
        found.changed += 1
        if len(found.updated) < EXAMPLES:
            differences = _differences(change.before.data, change.row, frozenset(secret))
            found.updated.append(
                Example(change.line, change.before.id, differences=differences[:FEW_COLUMNS])
            )


def _note_gone(found: Preview, source: Source, plan: Plan) -> None:
    found.gone = len(plan.gone)
    first: Iterable[StoredEntry] = store.fetch(source, plan.gone[:EXAMPLES]).values()
    columns = [name for name in source.columns if name not in source.secret][:FEW_COLUMNS]
    found.deleted_columns = columns
    found.deleted = [Example(None, entry.id, _cells(columns, entry.data)) for entry in first]


def _cells(columns: list[str], row: dict[str, Any]) -> list[Cell]:
    return [cell(row.get(name)) for name in columns]


def _differences(
    before: dict[str, Any], after: dict[str, Any], secret: frozenset[str]
) -> list[Difference]:
    found = []
    for name in dict.fromkeys([*after, *before]):
        left, right = before.get(name), after.get(name)
        if name in secret:
            if left != right:
                found.append(Difference(name, Cell("missing", "hidden"), Cell("missing", "hidden")))
        elif not same(left, right) or (name in before) != (name in after):
            found.append(Difference(name, _shown(before, name), _shown(after, name)))
    return found


def _shown(row: dict[str, Any], name: str) -> Cell:
    """Return a cell that distinguishes null from a missing value, unlike in a table."""
    if name in row and row[name] is None:
        return Cell("json", "null")
    return cell(row.get(name))


def _notes(plan: Plan) -> list[str]:
    if plan.key is not None and plan.table.has_id:
        return [f"`{ID}` is ignored: entries are found by `{printable(plan.key)}`."]
    return []


class _Kinds:
    """Finds text columns that would get other values, as postcodes that look like numbers do."""

    def __init__(self, source: Source) -> None:
        kinds: dict[str, set[str]] = {}
        for newest_first in (False, True):
            order = (OrderTerm("id", False, newest_first),)
            for entry in store.admin_page(source, EVERYTHING, order, _SAMPLE, 0):
                for name, value in entry.data.items():
                    kinds.setdefault(name, set()).add(kind(value))
        self._text = {name for name, held in kinds.items() if held - {KIND_NULL} == {KIND_TEXT}}
        self._found: Counter[str] = Counter()

    def note(self, change: Change) -> None:
        """Count values that would be written to a text column and are not text."""
        for name in self._text & (change.row or {}).keys():
            value = (change.row or {})[name]
            if value is not None and not isinstance(value, str):
                self._found[name] += 1

    def notes(self) -> list[str]:
        """Return a note for each of these columns."""
        return [
            f"`{printable(name)}` has only had text so far; in {count} "
            f"row{'' if count == 1 else 's'} of this file, it is not. If it should be, add it "
            "to the text columns."
            for name, count in self._found.items()
        ]
