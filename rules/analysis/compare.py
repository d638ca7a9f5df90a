"""Compare two rules for one operation: what does the new rule grant that the old one does not?

Script rules and invalid rules cannot be compared; callers leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..engine.rule import Operation, Provided, Requirement, Rule
from .subsumption import RuleFacts, key


@dataclass(frozen=True, slots=True)
class Opened:
    """The columns that a new rule opens and an old rule does not.

    `others` is true if these include every column that is neither declared nor named in one of the
    two rules.
    """

    names: frozenset[str] = frozenset()
    others: bool = False

    def __bool__(self) -> bool:
        return self.others or bool(self.names)


NOTHING = Opened()


def opened(new: RuleFacts, old: RuleFacts, operation: Operation, declared: Sequence[str]) -> Opened:
    """The columns that only `new` opens, for reading or for writing."""
    if operation in ("select", "delete"):
        return _opened_for_reading(new.rule, old.rule, declared)
    return _opened_for_writing(new.rule, old.rule, operation, declared)


def _opened_for_reading(new: Rule, old: Rule, declared: Sequence[str]) -> Opened:
    wide, narrow = new.columns, old.columns
    if wide.include is not None:
        if wide.include == narrow.include:
            return NOTHING
        # The old rule may show a column that requests cannot name, because a path below it is
        # hidden.
        shown = (name for name in wide.include if wide.shows(name))
        return Opened(frozenset(n for n in shown if not narrow.shows(n) or narrow.hides_column(n)))
    if narrow.include is None:
        return Opened(narrow.hidden - wide.hidden)
    names = (name for name in declared if wide.shows(name) and name not in narrow.include)
    return Opened(frozenset(names), others=True)


def _opened_for_writing(
    new: Rule, old: Rule, operation: Operation, declared: Sequence[str]
) -> Opened:
    wide, narrow = new.columns, old.columns
    names = _pinned(new, operation)
    others = False
    if wide.include is not None:
        names |= wide.include - (narrow.include or frozenset())
    elif narrow.include is None:
        names |= (narrow.excluded | narrow.secret) - wide.excluded
    else:
        names |= frozenset(declared) | wide.secret
        others = True
    return Opened(
        frozenset(name for name in names if _writes_more(new, old, name, operation)), others
    )


def _writes_more(new: Rule, old: Rule, name: str, operation: Operation) -> bool:
    rows = (False,) if operation == "insert" else (False, True)
    return any(
        _writes(new, name, operation, own) and not _writes(old, name, operation, own)
        for own in rows
    )


def _writes(rule: Rule, name: str, operation: Operation, own_row: bool) -> bool:
    """Whether a write can set the column; `own_row`: in the session's own entry."""
    if rule.columns.opens(name, own_row):
        return True
    return name in _pinned(rule, operation) and name not in rule.columns.secret


def _pinned(rule: Rule, operation: Operation) -> frozenset[str]:
    return rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update


def requires_less(
    new: RuleFacts, old: RuleFacts, operation: Operation, rejected: bool = False
) -> bool:
    """Whether `dropped` would find anything. This is faster."""
    if operation == "update":
        return not (old.sent <= new.sent and (rejected or old.stored <= new.stored))
    return not old.required <= new.required


def dropped(
    new: RuleFacts, old: RuleFacts, operation: Operation, rejected: bool = False
) -> tuple[Requirement, ...]:
    """The requirements of `old` that `new` does not have.

    For an update, `on_stored` and `on_submitted` of each returned condition say which sides were
    dropped. With `rejected`, only those conditions count that make the old rule reject a write, not
    those that make it skip an entry.
    """
    found: list[Requirement] = []
    for item in old.rule.require:
        known = key(item)
        if operation != "update" or isinstance(item, Provided):
            missing = known not in (new.sent if operation == "update" else new.required)
            found += [item] if missing else []
            continue
        stored = item.on_stored and known not in new.stored and not rejected
        sent = item.on_submitted and known not in new.sent
        if stored or sent:
            found.append(replace(item, on_stored=stored, on_submitted=sent))
    return tuple(found)


def named(new: RuleFacts, old: RuleFacts) -> Iterator[str]:
    """The columns that a query can name under the new rule only, though neither rule shows them.

    A query can repeat a requirement of a rule even if the rule hides the column.
    """
    for column, items in new.wants.items():
        hidden = old.rule.columns.hides_column(column) and not new.rule.columns.shows(column)
        if hidden and any(key(item) not in old.required for item in items):
            yield column
