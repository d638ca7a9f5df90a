"""What a read names in addition to its data source: data sources to join, and views."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from rowkeeper.accounts.errors import LoginRequired
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.joins import Join, Reference
from rowkeeper.datasources.query.select import Delete, Select
from rowkeeper.datasources.query.views import View
from rowkeeper.datasources.query.where import Budget, Node, all_of
from rowkeeper.datasources.store.extended import Joined
from rowkeeper.datasources.values.validation import printable

from ..engine.reasons import JOIN
from ..engine.requests import QueryRequest
from ..engine.rule import Operation
from .guard import Denied, Guard, find_guard


def columns_of(guard: Guard) -> Container[str]:
    """The declared columns of a data source.

    Empty if it does not exist or the caller may not know of it, so that column names do not leak.
    """
    return () if guard.source is None or not guard.is_known else guard.source.declared


@dataclass(frozen=True, slots=True)
class JoinResolver:
    """The data sources that joins name, each looked up once, for the caller of `main`."""

    main: Guard
    guards: dict[Reference, Guard] = field(default_factory=dict)

    def guard(self, reference: Reference) -> Guard:
        """The guard of a data source, which need not exist."""
        if reference not in self.guards:
            trail = self.main.trail
            joined = None if trail is None else trail.joined()
            self.guards[reference] = find_guard(reference, self.main.identity, joined)
        return self.guards[reference]

    def columns(self, reference: Reference) -> Container[str]:
        """The declared columns of a data source; empty if the caller may not know of it."""
        guard = self.guard(reference)
        return columns_of(guard) if guard.is_known else ()

    def decided(self, joins: Sequence[Join]) -> list[Joined]:
        """Each join, decided by the select rules of its own data source.

        If one denies the caller, the request gets the main data source's own denial, which does not
        disclose whether the other data source exists.
        """
        return [self._decided(join) for join in joins]

    def _decided(self, join: Join) -> Joined:
        guard = self.guard(join.reference)
        query = QueryRequest(join.where, tuple(join.names()), written=join.written)
        try:
            decision = guard.select(query)
        except (Denied, LoginRequired):
            # The joined data source logs the reasons. The main one does not.
            self.main.refuse("select", because=JOIN)
        assert guard.source is not None
        return Joined(join, guard.source, decision.where(join.where), decision.shown)


def apply_view(guard: Guard, operation: Operation, query: Select | Delete) -> tuple[Node, Any]:
    """The where combined with the filters of the named views, as nodes and as JSON.

    The filters count as if the client had written them.

    Raises the denial if the caller may not know of the data source, and `Malformed` for a view that
    it does not have.
    """
    if not query.views:
        return query.where, query.written
    source = guard.found(operation)
    user, budget = guard.identity.user, Budget()
    where, written = query.where, query.written or {}
    for place, name in query.views:
        view = _view(source, place, name)
        try:
            where = all_of([where, view.where(user, source.declared, budget)])
        except Malformed:
            # The view was stored without the checks of a save, or is too large together with the
            # others.
            raise Malformed(
                f"`{place}`: there is no view `{printable(name)}` that can be used in this request"
            ) from None
        written = _both(written, view.written(user))
    return where, written


def _view(source: Source, place: str, name: str) -> View:
    for view in source.views:
        if view.name == name:
            return view
    raise Malformed(f"`{place}`: there is no view `{printable(name)}`")


def _both(where: dict[str, Any], view: dict[str, Any]) -> dict[str, Any]:
    """The conditions of both, merged unless they share a key."""
    return {**where, **view} if where.keys().isdisjoint(view) else {"$and": [where, view]}
