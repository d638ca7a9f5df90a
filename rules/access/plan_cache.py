"""A cache of select plans, for requests whose body is identical to an earlier one.

A decision depends only on the credential's row, the data source, its rules and the body. A plan is
cached under the `CachedCredential`, which holds the first two, and is dropped together with it, so
that it keeps no credential and no state of a data source in memory. Plans of rules that have
changed since stay until then, or until their caller comes back. The cache is small: it has few
bodies for each credential, and none that is long.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowkeeper.accounts.providers.credential_query import CachedCredential
from rowkeeper.datasources import store
from rowkeeper.datasources.caching import OwnedCache
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.sql import Sql

from .select import SelectPlan

# The longest body in bytes, and the largest plan in bytes, approximately.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# The approximate bytes of one condition in a where, and of the outcome of one rule.
A_CONDITION, A_NOTE = 400, 60
# Bodies for each pair of a credential and a data source, and the number of such pairs.
MAX_BODIES, MAX_CALLERS = 8, 500


@dataclass(frozen=True, slots=True)
class EmbeddedSelect:
    """A plan, and the SQL that reads its rows as one more column of the session's statement."""

    plan: SelectPlan
    # The seconds that the decision took.
    took: float
    sql: Sql
    rows: store.Scan

    def size(self) -> int:
        """The approximate size in bytes."""
        length = len(self.sql.text) + sum(len(str(param)) for param in self.sql.params)
        conditions = sum(1 for _ in fields(self.plan.select.where))
        return length + A_CONDITION * conditions + A_NOTE * len(self.plan.decision.notes)


class SelectPlanCache:
    """Select plans by cached session and body."""

    def __init__(self, name: str = "") -> None:
        self._plans: OwnedCache[CachedCredential, bytes, EmbeddedSelect] = OwnedCache(
            name, MAX_CALLERS, MAX_BODIES
        )

    def get(self, known: CachedCredential, body: bytes) -> EmbeddedSelect | None:
        """The plan for this body, or None."""
        return self._plans.get(known, body)

    def keep(self, known: CachedCredential, body: bytes, decided: EmbeddedSelect) -> None:
        """Cache a plan unless it is too large."""
        if len(body) <= MAX_REPEATED_BODY and decided.size() <= MAX_REPEATED:
            self._plans.put(known, body, decided)

    def __len__(self) -> int:
        return len(self._plans)


plans = SelectPlanCache("plans of selects")
