"""What was decided of the last requests, for those that come again word for word.

A decision follows from the credential's row, the data source, its rules and the body alone. What
is kept here goes with the first of these (`Expected`): nothing of a credential, and no state of a
data source, stays in memory that is not kept anyway. It is small: of each credential few bodies,
and nothing that is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

from accounts.providers.lookup import Expected
from datasources import store
from datasources.queries import Select
from datasources.where.nodes import fields
from datasources.where.sqltext import Sql

from ..engine.asks import ByQuery
from ..engine.decide import Decision
from ..guard import Guard

# Bytes of a body; bytes, about, of what was made of it.
MAX_REPEATED_BODY, MAX_REPEATED = 1_024, 8_000
# What a condition of a tree, and what a rule has said, take of these.
A_CONDITION, A_NOTE = 400, 60
# Bodies of one credential with one data source, and how many such are kept of.
MAX_BODIES, MAX_CALLERS = 8, 500
_NOTHING: dict[bytes, Made] = {}


@dataclass(frozen=True, slots=True)
class Made:
    """What was decided of a request, and what is asked for it beside the credential."""

    door: Guard
    ask: Select
    query: ByQuery
    decision: Decision
    took: float
    sql: Sql
    rows: store.Rows

    def size(self) -> int:
        """The bytes that it holds, about."""
        asked = len(self.sql.text) + sum(len(str(param)) for param in self.sql.params)
        conditions = sum(1 for _ in fields(self.ask.where))
        return asked + A_CONDITION * conditions + A_NOTE * len(self.decision.notes)

    def holds(self, known: Expected, door: Guard) -> bool:
        """Whether the rules and the way to the rows are still those that it was made of."""
        return self.door.ruleset is door.ruleset and store.is_still_the_way(
            self.rows, known.source.id
        )


class Repeated:
    """What was made of bodies, by who sent them to which data source."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Expected, dict[bytes, Made]] = WeakKeyDictionary()
        self._lock = Lock()

    def get(self, known: Expected, body: bytes) -> Made | None:
        """What was made of the same body."""
        with self._lock:
            return self._of.get(known, _NOTHING).get(body)

    def keep(self, known: Expected, body: bytes, made: Made) -> None:
        """For the next time."""
        if len(body) > MAX_REPEATED_BODY or made.size() > MAX_REPEATED:
            return
        with self._lock:
            of_this = self._of.setdefault(known, {})
            of_this[body] = made
            if len(of_this) > MAX_BODIES:
                del of_this[next(iter(of_this))]
            if len(self._of) > MAX_CALLERS:
                self._of.pop(next(iter(self._of)), None)

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._of.values()))
