"""Runs the scripts of one request: the link between the engine and the workers."""

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
    """Runs the scripts of one data source's rules for one identity, during one request.

    Verdicts are cached until something is written. The columns to show are decided for each of up
    to a thousand entries with the same `query`. And a write is decided before its data source is
    locked, so that under the lock scripts only run for entries that have changed.
    """

    def __init__(
        self,
        writers: Mapping[str, int | None],
        otherwise: int | None = None,
        lookups_of: Callable[[int | None], LookupsOf] = LookupsOf,
        source_id: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Prepare to run the scripts of one request.

        `writers`: {script text: the id of its writer}; `otherwise`: the writer of all others.
        `lookups_of`: makes the look-ups for a writer; `source_id`: the data source of the rules;
        `budget`: the script time that the request has used, including scripts of other data
        sources.
        """
        self._writers, self._otherwise, self._lookups_of = writers, otherwise, lookups_of
        self._lookups: dict[int | None, LookupsOf] = {}
        self._said: dict[tuple[str, str, bytes], ScriptVerdict] = {}
        self._looked_up: list[RecordedLookups] = []
        self._source_id, self._budget = source_id, budget or Budget()
        self._has_written = False

    def __call__(self, call: ScriptCall) -> ScriptVerdict:
        """Run a script, or return its cached verdict. Raises `Busy` if no worker is available."""
        request = dumps([call.query, call.entry, call.entries]).encode()
        # A digest, since the entries of a commit can be long.
        key = call.source, call.operation, sha256(request).digest()
        if key not in self._said:
            self._said[key] = self._run(call)
        return self._said[key]

    def confirm(self) -> None:
        """Check that the look-ups of the scripts still have the results that the decision used.

        Called once a write has been decided under the lock. Raises `Changed` if one differs.
        """
        until = monotonic() + current_limits().seconds
        if not all(each.are_unchanged(until) for each in self._looked_up):
            raise Changed

    def forget(self) -> None:
        """Drop all verdicts and look-ups after a write, which may have changed them."""
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
        # After a write, scripts only decide which columns the answer shows: with this verdict,
        # none.
        if verdict.busy and not self._has_written:
            # Without a worker there is no decision, and the client can try again later.
            raise Busy("the server is busy; try again later")
        return verdict
