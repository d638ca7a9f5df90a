"""Selects under the rules: parse the body, decide, and say which rows may be read.

A plan reads no rows of the data source that it is about. The API runs it, if possible in the
statement that reads the credential. The simulator and `explain` show what was decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.query.joins import Join, left_names, parse_joins
from rowkeeper.datasources.query.select import Delete, Projection, Select, parse_query
from rowkeeper.datasources.query.where import Budget, Node
from rowkeeper.datasources.store.extended import Joined

from ..engine.decide import Decision
from ..engine.requests import QueryRequest
from .guard import Guard
from .joins import JoinResolver, apply_view, columns_of


@dataclass(frozen=True, slots=True)
class SelectQuery:
    """A parsed select with its joins."""

    select: Select
    joins: tuple[Join, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectPlan:
    """A select that was granted."""

    source: Source
    select: Select
    # What the rules decided on, and what they decided.
    query: QueryRequest
    decision: Decision
    # The client's conditions together with the rule's.
    where: Node
    joined: tuple[Joined, ...] = ()
    # The seconds that the decision took.
    took: float = 0.0

    @property
    def is_repeatable(self) -> bool:
        """Whether the decision depends only on the credential, the data source, its rules and the
        body: on no script, and on no other data source.
        """
        return not self.joined and not self.decision.ruleset.has_scripts

    @property
    def shown(self) -> Projection:
        """The columns that may be answered."""
        return self.decision.shown


def parse_body(guard: Guard, body: dict[str, Any], others: JoinResolver) -> SelectQuery | Delete:
    """The body of a query. Raises `Malformed`, naming the place."""
    budget = Budget()
    query = parse_query(body, columns_of(guard), budget)
    if isinstance(query, Delete):
        return query
    return SelectQuery(
        query, parse_joins(body.get("join"), columns_of(guard), others.columns, budget)
    )


def plan_select(guard: Guard, query: SelectQuery, others: JoinResolver | None = None) -> SelectPlan:
    """Decide a select, and then each of its joins. Raises the denial.

    `others`: the data sources that the joins name; needed if there are joins.
    """
    began = perf_counter()
    select, joins = query.select, query.joins
    where, written = apply_view(guard, "select", select)
    names = (*select.names(), *left_names(joins))
    request = QueryRequest(where, names, tuple(select.paths()), written)
    decision = guard.select(request)
    joined = () if others is None else tuple(others.decided(joins))
    took = perf_counter() - began
    return SelectPlan(
        guard.found("select"), select, request, decision, decision.where(where), joined, took
    )
