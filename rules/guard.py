"""Load, decide, refuse: between a request and the engine. The viewsets ask nowhere else."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any, NoReturn

from accounts.failures import SIGN_IN, LoginRequired
from accounts.identity import Identity
from datasources import sources
from datasources.errors import Failure, NotFound
from datasources.queries import Projection
from datasources.sources import Source

from .engine.asks import ById, ByQuery, Data, Insert, Update
from .engine.decide import (
    Decision,
    Ruleset,
    asks_for_login,
    compile_rules,
    could_apply,
    decide_delete,
    decide_insert,
    decide_select,
    decide_update,
    shown_of,
)
from .engine.rule import Operation
from .engine.scripts import NO_SCRIPTS, ScriptRun
from .saving import rules_of

VERBS: dict[Operation, str] = {
    "select": "read",
    "insert": "insert",
    "update": "update",
    "delete": "delete",
}
_KEPT = 1_000


class Denied(Failure):
    """The rules do not allow it. Tells neither which rule nor which value was at fault."""

    code = "datasource.access"

    def __init__(self, name: object, operation: Operation, reference: object) -> None:
        super().__init__(
            f'The security rules for the Data Source "{name}" do not allow this app to '
            f"{VERBS[operation]} data."
        )
        self.payload = {"dataSourceId": reference}


# The last state of each data source's rules, by its id: what they were compiled from, and they.
_compiled: OrderedDict[int, tuple[tuple[Any, ...], Ruleset]] = OrderedDict()
_lock = Lock()


def ruleset_of(source: Source) -> Ruleset:
    """The compiled rules, kept until the rules, columns or definition are others."""
    kept = _compiled.get(source.id)
    if kept is not None and kept[0] == source.key:
        return kept[1]
    found = compile_rules(
        rules_of(source.id), source.columns, source.secret, source.login is not None
    )
    with _lock:
        _compiled[source.id] = source.key, found
        while len(_compiled) > _KEPT:
            _compiled.popitem(last=False)
    return found


@dataclass(frozen=True, slots=True)
class Guard:
    """One identity before one data source, which may not exist."""

    # As the client sent it: a number or a name.
    reference: int | str
    source: Source | None
    ruleset: Ruleset
    identity: Identity
    # How the scripts among the rules are run.
    scripts: ScriptRun = NO_SCRIPTS

    @property
    def is_known(self) -> bool:
        """Whether the caller may know that the data source exists: some rule could let them in."""
        return self.source is not None and could_apply(self.ruleset, self.identity)

    def found(self, operation: Operation) -> Source:
        """The data source. Raises the denial of `operation` where there is none to be known."""
        if self.source is None or not self.is_known:
            self.refuse(operation)
        return self.source

    def refuse(self, operation: Operation) -> NoReturn:
        """Raise `LoginRequired` where a login could help, `Denied` otherwise."""
        anonymous = self.identity.is_anonymous
        if self.source is None or not self.is_known:
            if anonymous:
                raise LoginRequired(SIGN_IN)
            raise Denied(self.reference, operation, self.reference)
        if anonymous and asks_for_login(self.ruleset, self.identity, operation):
            raise LoginRequired(SIGN_IN)
        raise Denied(self.source.name, operation, self.source.id)

    def _granted(self, decision: Decision) -> Decision:
        if not decision.granted:
            self.refuse(decision.operation)
        return decision

    def select(self, ask: ByQuery | ById) -> Decision:
        """The decision, granted. Raises the denial."""
        return self._granted(decide_select(self.ruleset, self.identity, ask, self.scripts))

    def delete(self, ask: ByQuery | ById) -> Decision:
        """The decision, granted. Raises the denial."""
        return self._granted(decide_delete(self.ruleset, self.identity, ask, self.scripts))

    def insert(self, ask: Insert) -> Decision:
        """The decision, granted. Raises the denial."""
        return self._granted(decide_insert(self.ruleset, self.identity, ask, self.scripts))

    def update(self, ask: Update) -> Decision:
        """The decision, granted. Raises the denial."""
        return self._granted(decide_update(self.ruleset, self.identity, ask, self.scripts))

    def missing(self, operation: Operation) -> NoReturn:
        """For an entry that is not there: 404 where anyone let in may see every entry, else the
        denial that an existing one would get.
        """
        ask = ById([None])
        if decide_select(self.ruleset, self.identity, ask, self.scripts).granted:
            raise NotFound("there is no such entry")
        self.refuse(operation)

    def shown(self, stored: Data) -> Projection:
        """What a select of one entry by its id shows the caller; nothing where it is denied."""
        return shown_of(self.ruleset, self.identity, stored, self.scripts)

    def written(self) -> None:
        """Something has been written: what scripts said of reads is asked anew."""

    def some_rule(self, operation: Operation) -> None:
        """Raises the denial unless some rule of the operation is for this identity."""
        if not could_apply(self.ruleset, self.identity, operation):
            self.refuse(operation)


def guard(reference: int | str, identity: Identity) -> Guard:
    """The guard of the data source that a client refers to; one query, two where rules are new."""
    return guard_of(reference, sources.find(reference), identity)


def guard_of(reference: int | str, source: Source | None, identity: Identity) -> Guard:
    """The same for a data source that has been read already."""
    ruleset = _NO_RULES if source is None else ruleset_of(source)
    return Guard(reference, source, ruleset, identity)


_NO_RULES = compile_rules([], [])
