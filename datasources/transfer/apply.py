"""Carries out an import: all of it in one transaction, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import store
from ..catalog import registry
from ..catalog.registry import Source
from ..database.connection import atomic
from ..database.hashing import outside_transactions
from ..errors import AddressTaken, Malformed, NotFound
from ..store import StoredEntry
from .changes import Change
from .job import Job, Progress, silent
from .plan import Plan
from .problems import MAX_PROBLEMS, Problem, Refused

_BATCH = 2_000


class Changed(Malformed):
    """The data source has changed since the preview was made."""


@dataclass(slots=True)
class Done:
    """How many entries were added, changed, left as they were, and deleted."""

    new: int = 0
    changed: int = 0
    same: int = 0
    gone: int = 0


def carry_out(
    job: Job, source_id: int, seen: str | None = None, progress: Progress = silent
) -> Done:
    """Carry out a job; with `seen`, only if the state is that of the preview.

    Passwords are hashed before anything is locked. Raises `Unreadable`, `Refused` with the problems
    by line, `Changed`, and `NotFound` if the data source is gone; then nothing was written.
    """
    return outside_transactions(lambda: _carried_out(job, source_id, seen, progress))


def _carried_out(job: Job, source_id: int, seen: str | None, progress: Progress) -> Done:
    with atomic():
        registry.lock(source_id)
        source = registry.find(source_id)
        if source is None:
            raise NotFound("the data source does not exist any more")
        if seen is not None and job.seen(source, lock=True) != seen:
            raise Changed("entries or columns changed after the preview, so nothing was imported")
        plan = job.plan(source, lock=True)
        with store.writing(source, plan.table.columns, whole=True, declares=True):
            try:
                return _Writer(source, plan, progress).run()
            except AddressTaken as error:
                raise Refused([Problem(1, error.message)]) from None


@dataclass(slots=True)
class _Writer:
    """Writes in batches; rows of a sign-in data source at once, since addresses may be swapped."""

    source: Source
    plan: Plan
    progress: Progress
    done: Done = field(default_factory=Done)
    problems: list[Problem] = field(default_factory=list)
    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[tuple[StoredEntry, dict[str, Any]]] = field(default_factory=list)

    def run(self) -> Done:
        """Write everything. Raises `Refused`, which rolls back the transaction."""
        in_batches = not self.source.login and not self.source.secret
        for number, change in enumerate(self.plan.changes(), 1):
            if isinstance(change, Problem):
                self.problems.append(change)
                if change.fatal or len(self.problems) >= MAX_PROBLEMS:
                    break
            elif not self.problems:
                self._take(change)
                if number % _BATCH == 0:
                    if in_batches:
                        self._write()
                    self.progress(self.plan.table.fraction, number)
        if self.problems:
            raise Refused(self.problems)
        self.done.gone = store.delete(self.source, self.plan.gone)
        self._write()
        return self.done

    def _take(self, change: Change) -> None:
        if change.row is None:
            self.done.same += 1
        elif change.before is None:
            self.done.new += 1
            self.new.append(change.row)
        else:
            self.done.changed += 1
            self.changed.append((change.before, change.row))

    def _write(self) -> None:
        """Write changes before new rows, because a new row may take an address that one gave up."""
        if self.changed:
            store.update(self.source, self.changed)
        if self.new:
            store.insert(self.source, self.new)
        self.changed, self.new = [], []
