"""What was decided of the last requests, for those that come again word for word.

A decision follows from the credential's row, the data source, its rules and the body alone. What
is kept goes with the first of these (`CachedSession`): it is dropped when that is, and nothing of a
credential, and no state of a data source, stays in memory for it. Rules that were changed since
stay until then, or until their caller comes back. It is small: of each credential few bodies, and
nothing that is long.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowkeeper.accounts.providers.credential_query import CachedSession
from rowkeeper.datasources import store
from rowkeeper.datasources.caching import OwnedCache
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.sql import Sql

from .select import SelectPlan

# Bytes of a body; bytes, about, of what was decided of it.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# What a condition of a tree, and what a rule has said, take of these.
A_CONDITION, A_NOTE = 400, 60
# How many bodies are kept of one credential with one data source, and of how many such pairs.
MAX_BODIES, MAX_CALLERS = 8, 500


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
    """Plans by session and body."""

    def __init__(self, name: str = "") -> None:
        self._plans: OwnedCache[CachedSession, bytes, EmbeddedSelect] = OwnedCache(
            name, MAX_CALLERS, MAX_BODIES
        )

    def get(self, known: CachedSession, body: bytes) -> EmbeddedSelect | None:
        """The plan of the same body."""
        return self._plans.get(known, body)

    def keep(self, known: CachedSession, body: bytes, decided: EmbeddedSelect) -> None:
        """Keep it for the next time, unless it is long."""
        if len(body) <= MAX_REPEATED_BODY and decided.size() <= MAX_REPEATED:
            self._plans.put(known, body, decided)

    def __len__(self) -> int:
        return len(self._plans)


plans = SelectPlanCache("plans of selects")
