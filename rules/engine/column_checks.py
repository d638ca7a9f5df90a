"""Checks that the columns a request names or sends are open under a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.query.where.nodes import fields
from rowkeeper.datasources.values.validation import same

from . import reasons
from .columns import Columns
from .reasons import Reason
from .requests import Change, Data, QueryRequest
from .require import Values, is_requirement
from .ruleset import Ruleset

NOTHING_PINNED: frozenset[str] = frozenset()
NOTHING_STORED: Mapping[str, Any] = {}


def first_hidden(columns: Columns, request: QueryRequest, values: Values) -> str | None:
    """The first hidden column that the request names, or None."""
    if columns.include is None and not columns.hidden:
        return None
    for name in request.columns:
        if columns.hides_column(name):
            return name
    for path in request.paths:
        if columns.hides_field(path):
            return path.name
    # Thousands of conditions can be on one path.
    open_: set[tuple[str, str]] = set()
    for item in fields(request.where):
        named = (item.name, item.column)
        if named in open_:
            continue
        if not columns.hides_field(item):
            open_.add(named)
        elif not is_requirement(item, values):
            return item.name
    return None


def first_undeclared(
    ruleset: Ruleset, identity: Identity, row: Data, stored: Data = NOTHING_STORED
) -> Reason | None:
    """Return why a row has a column that this identity may not create, or None.

    In a sign-in data source, only declared columns can be written. Elsewhere, a caller without a
    credential can only write columns that exist, or send back the value that an entry already has.
    """
    if ruleset.writable is not None:
        for column in row:
            if column not in ruleset.writable:
                return reasons.undeclared(column)
    elif ruleset.writable_by_anonymous is not None and identity.is_anonymous:
        for column, value in row.items():
            if column in ruleset.writable_by_anonymous:
                continue
            if not (column in stored and same(stored[column], value)):
                return reasons.new_column(column)
    return None


def first_unwritable_on_insert(
    columns: Columns, row: Data, pinned: frozenset[str]
) -> Reason | None:
    """The first column of a new row that cannot be sent, as a reason, or None."""
    for column in row:
        if not columns.opens(column) and not _is_pinned(columns, column, pinned):
            return reasons.closed(column)
    return None


def first_unwritable_on_update(
    columns: Columns, change: Change, shown: Callable[[str], bool], pinned: frozenset[str]
) -> Reason | None:
    """The first column that a change cannot set, as a reason, or None.

    A column may be sent back unchanged if the caller can see it, as forms do.
    """
    stored = change.stored
    for column, value in change.submitted.items():
        if columns.opens(column, change.own_row) or _is_pinned(columns, column, pinned):
            continue
        if not (column in stored and same(stored[column], value) and shown(column)):
            return reasons.closed(column)
    return None


def _is_pinned(columns: Columns, column: str, pinned: frozenset[str]) -> bool:
    return column in pinned and column not in columns.secret


def written_row(
    columns: Columns, change: Change, shown: Callable[[str], bool], replaces: bool
) -> dict[str, Any]:
    """The row that would be stored, as `{column: value}`.

    Replacing an entry keeps the columns that the caller cannot set or cannot see.
    """
    if not replaces:
        return {**change.stored, **change.submitted}
    kept = {
        column: value
        for column, value in change.stored.items()
        if not (columns.opens(column, change.own_row) and shown(column))
    }
    return {**kept, **change.submitted}
