"""What a read names beside its data source: other data sources to join, a view of its own."""

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
    """The declared columns of a data source; none where it does not exist, or is none of the
    caller's business: not even the names of columns show there.
    """
    return () if guard.source is None or not guard.is_known else guard.source.declared


@dataclass(frozen=True, slots=True)
class JoinResolver:
    """The data sources that joins name, each looked up once, for whoever stands before `main`."""

    main: Guard
    guards: dict[Reference, Guard] = field(default_factory=dict)

    def guard(self, reference: Reference) -> Guard:
        """The guard of a data source, which may not exist."""
        if reference not in self.guards:
            trail = self.main.trail
            joined = None if trail is None else trail.joined()
            self.guards[reference] = find_guard(reference, self.main.identity, joined)
        return self.guards[reference]

    def columns(self, reference: Reference) -> Container[str]:
        """Its declared columns; none for those who may not know of it."""
        guard = self.guard(reference)
        return columns_of(guard) if guard.is_known else ()

    def decided(self, joins: Sequence[Join]) -> list[Joined]:
        """Each join under the select rules of its own data source.

        One that denies the caller denies the request, in the words of the main data source's own
        denial: whether the other exists is not told.
        """
        return [self._decided(join) for join in joins]

    def _decided(self, join: Join) -> Joined:
        guard = self.guard(join.reference)
        ask = QueryRequest(join.where, tuple(join.names()), written=join.written)
        try:
            decision = guard.select(ask)
        except (Denied, LoginRequired):
            # Its own log has the reasons, the main one is not told them.
            self.main.refuse("select", because=JOIN)
        assert guard.source is not None
        return Joined(join, guard.source, decision.where(join.where), decision.shown)


def apply_view(guard: Guard, operation: Operation, ask: Select | Delete) -> tuple[Node, Any]:
    """The where with the filters of the named views, which count as if the client had written
    them: as nodes and as JSON.

    Raises the denial where the caller may not know of the data source, and `Malformed` for a view
    that it does not have.
    """
    if not ask.views:
        return ask.where, ask.written
    source = guard.found(operation)
    user, budget = guard.identity.user, Budget()
    where, written = ask.where, ask.written or {}
    for place, name in ask.views:
        view = _view(source, place, name)
        try:
            where = all_of([where, view.where(user, source.declared, budget)])
        except Malformed:
            # Stored without the checks of a save, or too large with the others.
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
    """The conditions of both, side by side unless a key is in both."""
    return {**where, **view} if where.keys().isdisjoint(view) else {"$and": [where, view]}
