"""Script rules: what a script gets, and what follows from its verdict.

A script decides on its own. What it leaves in `query` is what runs, once it has passed the checks
for a client's where or row. A script never sees passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.query.select import Projection
from rowkeeper.datasources.query.where import EVERYTHING, Node, matches, parse_where
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.values.codec import dumps, loads
from rowkeeper.datasources.values.validation import printable, problem_with_row, same

from ..sandbox.protocol import ScriptCall, ScriptRun, ScriptVerdict
from . import reasons
from .column_checks import (
    NOTHING_PINNED,
    first_hidden,
    first_undeclared,
    first_unwritable_on_insert,
    first_unwritable_on_update,
    written_row,
)
from .columns import Columns
from .decision import Granted
from .reasons import Ran, Reason
from .requests import Change, Data, EntryRequest, Insert, QueryRequest, Update
from .rule import Operation, Rule
from .ruleset import Ruleset

# The most stored rows that a script gets for a delete.
MAX_ROWS = 10_000


class Shown:
    """Whether a select shows the identity a column of one entry; decided on the first call."""

    __slots__ = ("_projection", "_shows", "_stored")

    def __init__(self, shows: Callable[[Data], Projection], stored: Data) -> None:
        self._shows, self._stored = shows, stored
        self._projection: Projection | None = None

    def __call__(self, column: str) -> bool:
        if self._projection is None:
            self._projection = self._shows(self._stored)
        return self._projection.shows(column)


@dataclass(frozen=True, slots=True)
class ScriptContext:
    """The rules, the identity that they are evaluated for, and what runs their scripts."""

    ruleset: Ruleset
    identity: Identity
    run: ScriptRun

    def decide_by_script(
        self,
        rule: Rule,
        operation: Operation,
        query: Any,
        outcome: Callable[[Columns, Any], Reason | Granted],
        entry: Data | None = None,
        entries: Sequence[Data] | None = None,
    ) -> Reason | Granted:
        """Run the rule's script on `query`.

        `outcome` gets the script's columns and the query as the script left it, and returns what
        follows from a grant. If it raises `Malformed`, the evaluation of the rules ends.
        """
        assert rule.script is not None
        call = ScriptCall(rule.script, operation, self.identity.user, query, entry, entries)
        verdict = self.run(call)
        ran = _ran(call, verdict)
        if verdict.error is not None:
            return reasons.failed(verdict.error, verdict.busy, verdict.broke_limit).of(ran)
        if verdict.granted is not True:
            return reasons.does_not_grant(verdict.note).of(ran)
        columns = Columns.of(verdict.include, verdict.exclude or (), self.ruleset.secret)
        try:
            found = outcome(columns, verdict.query)
        except Malformed as error:
            return reasons.failed(f"the script left an invalid `query`: {error.message}").of(ran)
        if isinstance(found, Reason):
            return found.of(ran)
        return replace(found, note=reasons.GRANTED.of(ran))

    # -- passwords, which no script sees or sets

    def open(self, row: Data) -> dict[str, Any]:
        """A row without its secret columns."""
        secret = self.ruleset.secret
        return {column: value for column, value in row.items() if column not in secret}

    def whole(self, left: Any, sent: Data, place: str) -> dict[str, Any]:
        """A row that a script left, with the secret columns that were sent. Raises `Malformed`."""
        problem = problem_with_row(left)
        if problem:
            raise Malformed(f"{place}{problem}")
        secret = self.ruleset.secret
        for column in left:
            if column in secret:
                raise Malformed(f"{place}`{printable(column)}` is a password column")
        return {**left, **{column: sent[column] for column in sent if column in secret}}

    def where(self, left: Any) -> Node:
        """Parse a where that a script left. Raises `Malformed`."""
        if not isinstance(left, dict):
            raise Malformed("a where must be an object of columns and conditions")
        try:
            text = dumps(left)
        except (TypeError, ValueError, RecursionError):
            raise Malformed("the where is not JSON") from None
        node = parse_where(loads(text, "the where"), self.ruleset.declared)
        secret = Columns.of(secret=self.ruleset.secret)
        for item in fields(node):
            if secret.hides_field(item):
                raise Malformed(f"`{printable(item.name)}` is a password column")
        return node


def _ran(call: ScriptCall, verdict: ScriptVerdict) -> Ran:
    counts = verdict.granted and call.operation != "delete"
    changed = _changed(call.query, verdict.query) if counts else ()
    return Ran(
        verdict.milliseconds,
        verdict.lookups,
        verdict.printed,
        changed,
        verdict.query if changed and call.operation == "select" else None,
        verdict.include,
        verdict.exclude,
    )


def _changed(before: Any, after: Any) -> tuple[str, ...]:
    """The keys that differ between two queries, or between any of their rows."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        return tuple(key for key in keys if not _alike(before, after, key))
    if isinstance(before, list) and isinstance(after, list):
        pairs = zip(before, after, strict=False)
        return tuple(dict.fromkeys(key for pair in pairs for key in _changed(*pair)))
    return ()


def _alike(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    return key in before and key in after and same(before[key], after[key])


# -- reads


def select(
    caller: ScriptContext, rule: Rule, request: QueryRequest | EntryRequest
) -> Reason | Granted:
    """The verdict of a script on a read, by query or by id."""
    if isinstance(request, EntryRequest):
        return caller.decide_by_script(
            rule, "select", {}, lambda c, left: _by_id(caller, request, c, left)
        )
    written = request.written
    if written is None:
        if request.where != EVERYTHING:
            return reasons.failed("the where of the request is not available as JSON")
        written = {}

    def outcome(columns: Columns, left: Any) -> Reason | Granted:
        name = first_hidden(columns, request, [])
        if name is not None:
            return reasons.hidden(name)
        return Granted(where=caller.where(left), shown=columns.projection)

    return caller.decide_by_script(rule, "select", written, outcome)


def _by_id(
    caller: ScriptContext, request: EntryRequest, columns: Columns, left: Any
) -> Reason | Granted:
    """The where that a script left is a condition on the entry; a missing entry meets none."""
    where = caller.where(left)
    for stored in request.stored:
        if where != EVERYTHING and (stored is None or not matches(where, stored)):
            return reasons.NOT_ON_ENTRY
    return Granted(shown=columns.projection)


def delete(
    caller: ScriptContext, rule: Rule, request: QueryRequest | EntryRequest
) -> Reason | Granted:
    """The verdict of a script on a delete. It sees the stored rows; its changes are ignored."""
    stored = _stored(request)
    if isinstance(stored, Reason):
        return stored
    rows = [caller.open(row) for row in stored]
    query: Any = rows[0] if isinstance(request, EntryRequest) and not request.batch else rows

    def outcome(columns: Columns, left: Any) -> Reason | Granted:
        name = first_hidden(columns, request, []) if isinstance(request, QueryRequest) else None
        return Granted() if name is None else reasons.hidden(name)

    return caller.decide_by_script(rule, "delete", query, outcome)


def _stored(request: QueryRequest | EntryRequest) -> Sequence[Data] | Reason:
    """The rows to be deleted, or the reason why the script cannot get them."""
    if len(request.stored if isinstance(request, EntryRequest) else ()) > MAX_ROWS:
        return _too_many()
    if isinstance(request, EntryRequest):
        rows: Sequence[Data] = [row for row in request.stored if row is not None]
        if len(rows) < len(request.stored):
            return reasons.SCRIPT
    elif request.rows is None:
        return reasons.failed("the stored rows are not available")
    else:
        rows = request.rows(MAX_ROWS + 1)
    return _too_many() if len(rows) > MAX_ROWS else rows


def _too_many() -> Reason:
    return reasons.failed(f"the delete affects more than {MAX_ROWS:,} entries")


# -- writes


def insert(caller: ScriptContext, rule: Rule, request: Insert) -> Reason | Granted:
    """The verdict of a script on new rows."""

    def outcome(columns: Columns, left: Any) -> Reason | Granted:
        rows = _rows(caller, left, request.rows, request.batch)
        for sent, row in zip(request.rows, rows, strict=True):
            reason = first_unwritable_on_insert(columns, sent, NOTHING_PINNED) or first_undeclared(
                caller.ruleset, caller.identity, row
            )
            if reason is not None:
                return reason
        return Granted(rows=tuple(rows))

    sent = [caller.open(row) for row in request.rows]
    return caller.decide_by_script(rule, "insert", sent if request.batch else sent[0], outcome)


def update(
    caller: ScriptContext,
    rule: Rule,
    request: Update,
    shown_columns: Sequence[Callable[[str], bool]],
) -> Reason | Granted:
    """The verdict of a script on updates of entries. It sees what they hold now."""
    changes = request.changes

    def outcome(columns: Columns, left: Any) -> Reason | Granted:
        rows = _rows(caller, left, [change.submitted for change in changes], request.batch)
        written = []
        for change, row, visible in zip(changes, rows, shown_columns, strict=True):
            reason = first_unwritable_on_update(
                columns, change, visible, NOTHING_PINNED
            ) or first_undeclared(caller.ruleset, caller.identity, row, change.stored)
            if reason is not None:
                return reason
            whole = Change(row, change.stored, change.own_row)
            written.append(written_row(columns, whole, visible, request.replaces))
        return Granted(rows=tuple(written))

    sent = [caller.open(change.submitted) for change in changes]
    records = [{"id": change.id, "data": caller.open(change.stored)} for change in changes]
    if request.batch:
        return caller.decide_by_script(rule, "update", sent, outcome, entries=records)
    return caller.decide_by_script(rule, "update", sent[0], outcome, entry=records[0])


def _rows(
    caller: ScriptContext, left: Any, sent: Sequence[Data], batch: bool
) -> list[dict[str, Any]]:
    """The rows that a script left, in the order of those that were sent. Raises `Malformed`."""
    if not batch:
        return [caller.whole(left, sent[0], "")]
    if not isinstance(left, list) or len(left) != len(sent):
        raise Malformed(f"the number of rows must stay {len(sent)}, as in the request")
    return [
        caller.whole(row, before, f"[{at}]: ")
        for at, (row, before) in enumerate(zip(left, sent, strict=True))
    ]
