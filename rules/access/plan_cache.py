"""A cache of select plans, for requests whose body is identical to an earlier one.

A decision depends only on the credential's row, the data source, its rules and the body. A plan is
cached under the `CachedSession`, which holds the first two, and is dropped together with it, so
that it keeps no credential and no state of a data source in memory. Plans of rules that have
changed since stay until then, or until their caller comes back. The cache is small: it has few
bodies for each credential, and none that is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

from rowkeeper.accounts.providers.credential_query import CachedSession
from rowkeeper.datasources import store
from rowkeeper.datasources.query.select import Select
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.sql import Sql

from ..engine.decide import Decision
from ..engine.requests import QueryRequest

# The longest body in bytes, and the largest plan in bytes, approximately.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# The approximate bytes of one condition in a where, and of the outcome of one rule.
A_CONDITION, A_NOTE = 400, 60
# Bodies for each pair of a credential and a data source, and the number of such pairs.
MAX_BODIES, MAX_CALLERS = 8, 500
_NOTHING: dict[bytes, SelectPlan] = {}


@dataclass(frozen=True, slots=True)
class SelectPlan:
    """A request, the decision on it, and the SQL that runs inside the credential's statement."""

    ask: Select
    query: QueryRequest
    decision: Decision
    # The seconds that the decision took.
    took: float
    sql: Sql
    rows: store.Scan

    def size(self) -> int:
        """The approximate size in bytes."""
        asked = len(self.sql.text) + sum(len(str(param)) for param in self.sql.params)
        conditions = sum(1 for _ in fields(self.ask.where))
        return asked + A_CONDITION * conditions + A_NOTE * len(self.decision.notes)


class SelectPlanCache:
    """Select plans by cached session and body."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[CachedSession, dict[bytes, SelectPlan]] = WeakKeyDictionary()
        self._lock = Lock()

    def get(self, known: CachedSession, body: bytes) -> SelectPlan | None:
        """The plan for this body, or None."""
        with self._lock:
            return self._of.get(known, _NOTHING).get(body)

    def keep(self, known: CachedSession, body: bytes, decided: SelectPlan) -> None:
        """Cache a plan unless it is too large, and evict the oldest."""
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
