"""The optimistic select: decided by the cached session of its credential.

It is answered by one statement, which reads the credential, the data source and the rows again.
The rows count only if the credential, the data source and its rules are unchanged. The decision is
cached for requests with an identical body (`access.plan_cache`). All other requests, and denials,
take the normal path from its start. PostgreSQL only.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from django.http import HttpRequest

from rowkeeper.accounts.authentication import expected_of
from rowkeeper.accounts.providers.credential_query import CachedCredential
from rowkeeper.datasources import store
from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.query.select import Select, is_given, parse_query
from rowkeeper.datasources.sql import Sql

from ..access import plan_cache
from ..access.guard import Guard, guard_of
from ..access.plan_cache import EmbeddedSelect
from ..access.select import SelectQuery, plan_select
from ..decision_log.records import RequestLog
from .bodies import json_bytes, json_in
from .switches import QUERY_SWITCHES, names_switch

# psycopg parses longer statements, and those with more parameters, each time they run.
MAX_TEXT, MAX_PARAMS = 3_000, 40
# What is longer, in bytes, is hardly such a statement, and takes its time to be read twice.
MAX_BODY = 8_192


@dataclass(frozen=True, slots=True)
class OptimisticSelect:
    """A decided select and its statement, before it runs."""

    known: CachedCredential
    guard: Guard
    decided: EmbeddedSelect

    def entries(self, trail: RequestLog) -> str | None:
        """The entries, as the members of a JSON list; None if something has changed."""
        it = self.decided
        found = self.known.confirmed(it.sql)
        if found is None:
            return None
        plan = it.plan
        entries = store.parse_embedded(found[0], self.known.source, plan.select, it.rows)
        if entries is not None:
            self.guard.note_grant(plan.decision, plan.query, it.took, trail)
        return entries


def optimistic_select(request: HttpRequest, reference: str) -> OptimisticSelect | None:
    """The select, if it will be granted as long as nothing has changed; otherwise None."""
    # The kept decisions go by the body only.
    if not store.supports_embedding() or names_switch(request, QUERY_SWITCHES):
        return None
    known = expected_of(request, reference)
    if known is None:
        return None
    try:
        return _optimistic_select(known, request)
    except Failure:
        return None


def _optimistic_select(known: CachedCredential, request: HttpRequest) -> OptimisticSelect | None:
    guard = guard_of(known.reference, known.source, known.identity)
    # Before the body is parsed: a data source that the caller may not know of takes no longer than
    # one that does not exist.
    if guard.ruleset.has_scripts or not guard.is_known:
        return None
    text = json_bytes(request)
    if len(text) > MAX_BODY:
        return None
    decided = plan_cache.plans.get(known, text)
    if decided is None or not _holds(decided, guard):
        decided = _decide(known, guard, json_in(text))
        if decided is None:
            return None
        plan_cache.plans.keep(known, text, decided)
    return OptimisticSelect(known, guard, decided)


def _holds(decided: EmbeddedSelect, guard: Guard) -> bool:
    """Whether the rules and the plan have not changed since the decision."""
    same = decided.plan.decision.ruleset is guard.ruleset
    return same and store.is_still_expected(decided.rows)


def _decide(known: CachedCredential, guard: Guard, body: dict[str, Any]) -> EmbeddedSelect | None:
    """Decide, and build the statement. Returns None if the ordinary path is better suited.

    Raises `Malformed` and the denial, which is not logged: the guard has no log.
    """
    began = perf_counter()
    query = parse_query(body, known.source.declared)
    if not isinstance(query, Select) or query.views or is_given(body, "join"):
        return None
    plan = plan_select(guard, SelectQuery(query))
    took = perf_counter() - began
    few = store.embedded_sql(known.source, query, plan.where, plan.shown)
    if few is None or len(few[0].text) > MAX_TEXT or len(few[0].params) > MAX_PARAMS:
        return None
    sql = Sql(f",{few[0].text}", few[0].params)
    return EmbeddedSelect(plan, took, sql, few[1])
