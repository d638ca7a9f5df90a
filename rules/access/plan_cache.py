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

from .guard import Guard
from .select import SelectPlan

# The longest body in bytes, and the largest plan in bytes, approximately.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# The approximate bytes of one condition in a where, and of the outcome of one rule.
A_CONDITION, A_NOTE = 400, 60
# Bodies for each pair of a credential and a data source, and the number of such pairs.
MAX_BODIES, MAX_CALLERS = 8, 500


@dataclass(frozen=True, slots=True)
class EmbeddedSelect:
    """SQL that reads the rows of a plan as one more column of the credential's statement."""

    sql: Sql
    rows: store.Scan


@dataclass(frozen=True, slots=True)
class CachedPlan:
    """A plan, and its SQL for the credential's statement."""

    plan: SelectPlan
    # None if it has not been written yet, or cannot be.
    embedded: EmbeddedSelect | None = None
    # False if the plan needs a statement of its own.
    can_embed: bool = True

    def size(self) -> int:
        """The approximate size in bytes."""
        operands = [item.operand for item in fields(self.plan.where)]
        # Those of the rules can be long texts of the user.
        length = sum(len(operand) for operand in operands if isinstance(operand, str))
        if self.embedded is not None:
            sql = self.embedded.sql
            length += len(sql.text) + sum(len(str(param)) for param in sql.params)
        return length + A_CONDITION * len(operands) + A_NOTE * len(self.plan.decision.notes)


class SelectPlanCache:
    """Select plans by cached credential and body."""

    def __init__(self, name: str = "") -> None:
        self._plans: OwnedCache[CachedCredential, bytes, CachedPlan] = OwnedCache(
            name, MAX_CALLERS, MAX_BODIES
        )

    def get(self, known: CachedCredential, body: bytes, guard: Guard) -> CachedPlan | None:
        """The plan for this body, or None if none was decided by the rules of `guard`."""
        found = self._plans.get(known, body)
        if found is None or found.plan.decision.ruleset is not guard.ruleset:
            return None
        return found

    def keep(self, known: CachedCredential, body: bytes, found: CachedPlan) -> None:
        """Cache a plan, unless it is too large or depends on more than its key.

        If only its SQL is too large, it is cached without.
        """
        if len(body) > MAX_REPEATED_BODY or not found.plan.is_repeatable:
            return
        if found.size() <= MAX_REPEATED:
            self._plans.put(known, body, found)
        elif found.embedded is not None:
            self.keep(known, body, CachedPlan(found.plan))

    def __len__(self) -> int:
        return len(self._plans)


plans = SelectPlanCache("plans of selects")
