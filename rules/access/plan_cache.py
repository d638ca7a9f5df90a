"""What was decided of the last requests, for those that come again word for word.

A decision follows from the credential's row, the data source, its rules and the body alone. What
is kept goes with the first of these (`CachedSession`): it is dropped when that is, and nothing of a
credential, and no state of a data source, stays in memory for it. Rules that were changed since
stay until then, or until their caller comes back. It is small: of each credential few bodies, and
nothing that is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

from rowkeeper.accounts.providers.credential_query import CachedSession
from rowkeeper.datasources import store
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.sql import Sql

from .select import SelectPlan

# Bytes of a body; bytes, about, of what was decided of it.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# What a condition of a tree, and what a rule has said, take of these.
A_CONDITION, A_NOTE = 400, 60
# How many bodies are kept of one credential with one data source, and of how many such pairs.
MAX_BODIES, MAX_CALLERS = 8, 500
_NOTHING: dict[bytes, EmbeddedSelect] = {}


@dataclass(frozen=True, slots=True)
class EmbeddedSelect:
    """A plan, and the SQL that reads its rows as one more column of the session's statement."""

    plan: SelectPlan
    # The seconds that it took to decide.
    took: float
    sql: Sql
    rows: store.Scan

    def size(self) -> int:
        """The bytes that it holds, about."""
        asked = len(self.sql.text) + sum(len(str(param)) for param in self.sql.params)
        conditions = sum(1 for _ in fields(self.plan.select.where))
        return asked + A_CONDITION * conditions + A_NOTE * len(self.plan.decision.notes)


class SelectPlanCache:
    """What was decided of bodies, by who sent them to which data source."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[CachedSession, dict[bytes, EmbeddedSelect]] = (
            WeakKeyDictionary()
        )
        self._lock = Lock()

    def get(self, known: CachedSession, body: bytes) -> EmbeddedSelect | None:
        """What was decided of the same body."""
        with self._lock:
            return self._of.get(known, _NOTHING).get(body)

    def keep(self, known: CachedSession, body: bytes, decided: EmbeddedSelect) -> None:
        """Keep it for the next time, unless it is long; the oldest make room."""
        if len(body) > MAX_REPEATED_BODY or decided.size() > MAX_REPEATED:
            return
        with self._lock:
            of_this = self._of.setdefault(known, {})
            of_this[body] = decided
            if len(of_this) > MAX_BODIES:
                del of_this[next(iter(of_this))]
            if len(self._of) > MAX_CALLERS:
                self._of.pop(next(iter(self._of)), None)

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._of.values()))
