"""The optimistic select: one statement reads the credential, the data source and the rows.

It is decided by what is cached of the credential and the data source. The rows count only if the
credential, the data source and its rules are unchanged. All other requests, and denials, are
answered by what the database says now, from the start. PostgreSQL only.
"""

from __future__ import annotations

from django.http import HttpRequest

from rowkeeper.accounts.authentication import cached_credential
from rowkeeper.accounts.providers.credential_query import CachedCredential
from rowkeeper.datasources import store
from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.query.select import Select, is_given, parse_query
from rowkeeper.datasources.sql import concat

from ..access import plan_cache
from ..access.guard import Guard, guard_of
from ..access.plan_cache import CachedPlan, EmbeddedSelect
from ..access.select import SelectPlan, SelectQuery, plan_select
from ..decision_log.records import RequestLog
from .bodies import json_in, repeatable_body

# psycopg parses longer statements, and those with more parameters, each time they run.
MAX_TEXT, MAX_PARAMS = 3_000, 40


def optimistic_select(request: HttpRequest, reference: str, trail: RequestLog) -> str | None:
    """The entries that a select finds, as the inside of a JSON list; None to start again.

    `reference`: the data source of the URL.
    """
    if not store.supports_embedding():
        return None
    known = cached_credential(request, reference)
    if known is None:
        return None
    guard = guard_of(known.named[1], known.source, known.identity)
    if guard.ruleset.has_scripts:
        return None
    try:
        found = _planned(known, guard, request)
    except Failure:
        return None
    if found is None or found.embedded is None:
        return None
    plan, embedded = found.plan, found.embedded
    row = known.confirmed(embedded.sql)
    if row is None:
        return None
    entries = store.parse_embedded(row[0], known.source, plan.select, embedded.rows)
    if entries is not None:
        guard.note_grant(plan.decision, plan.query, plan.took, trail)
    return entries


def _planned(known: CachedCredential, guard: Guard, request: HttpRequest) -> CachedPlan | None:
    """The plan of a select, with its SQL if one statement can read its rows.

    Raises `Malformed` and the denial, which is not logged: the guard has no log.
    """
    text = repeatable_body(request)
    if text is None:
        return None
    found = plan_cache.plans.get(known, text, guard)
    if found is not None and (not found.can_embed or _is_current(found)):
        return found
    # Before the body is parsed: a data source that the caller may not know of takes no longer than
    # one that does not exist.
    if not guard.is_known:
        return None
    if found is None:
        body = json_in(text)
        query = parse_query(body, known.source.declared)
        if not isinstance(query, Select) or is_given(body, "join"):
            return None
        plan = plan_select(guard, SelectQuery(query))
    else:
        plan = found.plan
    embedded = _embedded(plan)
    found = CachedPlan(plan, embedded, embedded is not None)
    plan_cache.plans.keep(known, text, found)
    return found


def _is_current(found: CachedPlan) -> bool:
    """Whether the SQL would be the same if it were written now."""
    return found.embedded is not None and store.is_still_expected(found.embedded.rows)


def _embedded(plan: SelectPlan) -> EmbeddedSelect | None:
    """The SQL for the credential's statement; None if the plan needs one of its own."""
    few = store.embedded_sql(plan.source, plan.select, plan.where, plan.shown)
    if few is None or len(few[0].text) > MAX_TEXT or len(few[0].params) > MAX_PARAMS:
        return None
    sql, rows = few
    return EmbeddedSelect(concat(",", sql), rows)
