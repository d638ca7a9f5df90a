"""Between the engine, which hands over calls, and the workers: one request's scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from time import monotonic

from rowkeeper.datasources.errors import Busy, Changed
from rowkeeper.datasources.values.codec import dumps

from .. import sandbox
from ..sandbox.limits import current_limits
from ..sandbox.protocol import Budget, ScriptCall, ScriptVerdict
from .lookups import LookupsOf, RecordedLookups


class Scripts:
    """Runs the scripts of one data source's rules for one identity, while one request is answered.

    What a script said is kept until something is written. Which columns are shown is asked for
    each of a thousand entries, and `query` is the same for all; and a write is decided before its
    data source is locked, so that under the lock scripts run only for entries that have changed.
    """

    def __init__(
        self,
        writers: Mapping[str, int | None],
        otherwise: int | None = None,
        lookups_of: Callable[[int | None], LookupsOf] = LookupsOf,
        source_id: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        """`writers`: the Django user who wrote each script, by its text; `otherwise`: who wrote
        the scripts that are not among them; `lookups_of`: what those of a writer may read;
        `source_id`: the data source of the rules; `budget`: what the scripts of the request have
        used, those of other data sources included.
        """
        self._writers, self._otherwise, self._lookups_of = writers, otherwise, lookups_of
        self._lookups: dict[int | None, LookupsOf] = {}
        self._said: dict[tuple[str, str, bytes], ScriptVerdict] = {}
        self._looked_up: list[RecordedLookups] = []
        self._source_id, self._budget = source_id, budget or Budget()
        self._has_written = False

    def __call__(self, call: ScriptCall) -> ScriptVerdict:
        """Run a script, or repeat what it said. Raises `Busy` where no worker can be had."""
        told = dumps([call.query, call.entry, call.entries]).encode()
        # A digest, as the entries of a commit can be long.
        key = call.source, call.operation, sha256(told).digest()
        if key not in self._said:
            self._said[key] = self._run(call)
        return self._said[key]

    def confirm(self) -> None:
        """Check, once a write has been decided under the lock, that the look-ups of the scripts
        find what they found when it was decided before. Raises `Changed` if one does not.
        """
        until = monotonic() + current_limits().seconds
        if not all(each.are_unchanged(until) for each in self._looked_up):
            raise Changed

    def forget(self) -> None:
        """Something was written, and may have changed what look-ups find."""
        self._said.clear()
        self._looked_up.clear()
        self._has_written = True

    def _run(self, call: ScriptCall) -> ScriptVerdict:
        writer = self._writers.get(call.source, self._otherwise)
        if writer not in self._lookups:
            self._lookups[writer] = self._lookups_of(writer)
        lookups = RecordedLookups(self._lookups[writer], partial(self._lookups_of, writer))
        self._looked_up.append(lookups)
        verdict = sandbox.run(call, lookups, self._source_id, self._budget)
        # Once something is written, only what is shown of it is left to ask: then nothing is.
        if verdict.busy and not self._has_written:
            # No decision: what the rules say is not known, and trying again later will help.
            raise Busy("the server is busy; try again in a moment")
        return verdict
