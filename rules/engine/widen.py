"""What a new list of rules would grant that the old one does not: looked at before it is saved.

On the safe side: where nothing is found, no request is granted, and no column shown, that was not
before. What is found may turn out to be no more than before, and of scripts nothing can be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from datasources.jsontext import canonical

from .covers import Facts, Key, covers, covers_apps, covers_people, key, may_meet, reads_all
from .rule import OPERATIONS, Condition, Operation, Provided, Rule

# Other people, more columns, fewer conditions, an order in which more fits, a script.
Kind: TypeAlias = Literal["people", "columns", "conditions", "order", "script"]


@dataclass(frozen=True, slots=True)
class Widening:
    """What rule `rule` of the new list grants anew, for some operations."""

    rule: Rule
    operations: tuple[Operation, ...]
    kind: Kind
    # Of "columns": those that are opened. Of "conditions": the old rule whose are not asked for.
    columns: tuple[str, ...] = ()
    instead_of: Rule | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """The enabled rules of a list, with what was written."""

    raw: Sequence[Any]
    facts: tuple[Facts, ...]

    @classmethod
    def of(cls, raw: Sequence[Any], rules: Sequence[Rule]) -> Listed:
        """From a list and what `parse_rules` made of it."""
        return cls(raw, tuple(Facts.of(rule) for rule in rules if rule.enabled))

    def text(self, each: Facts) -> str:
        """A rule as text, equal for equal rules."""
        return canonical(self.raw[each.rule.position - 1])

    def before(self, each: Facts) -> list[Facts]:
        """The rules that come first."""
        return [other for other in self.facts if other.rule.position < each.rule.position]


def widenings(before: Listed, after: Listed, columns: Sequence[str]) -> list[Widening]:
    """What `after` grants anew, rule by rule; `columns` are those of the data source."""
    found: list[Widening] = []
    for each in after.facts:
        if each.rule.broken is not None or each.rule.app_ids == frozenset():
            continue
        found.extend(_joined(_of_rule(before, after, each, columns)))
    return found


def _of_rule(
    before: Listed, after: Listed, each: Facts, columns: Sequence[str]
) -> Iterator[Widening]:
    for operation in OPERATIONS:
        if operation not in each.rule.operations:
            continue
        earlier = (o for o in after.before(each) if operation in o.rule.operations)
        if any(covers(other, each, operation) for other in earlier):
            continue  # no request gets as far
        if _stays(before, after, each, operation):
            continue
        if each.rule.script is not None:
            yield Widening(each.rule, (operation,), "script")
        elif not _was_granted(before, after, each, operation):
            yield _told(before, each, operation, columns)


def _joined(found: Iterator[Widening]) -> list[Widening]:
    """The same of several operations once."""
    by_what: dict[Any, Widening] = {}
    for each in found:
        what = (each.kind, each.columns, each.instead_of and each.instead_of.position)
        known = by_what.get(what)
        operations = (*known.operations, *each.operations) if known else each.operations
        by_what[what] = Widening(each.rule, operations, each.kind, each.columns, each.instead_of)
    return list(by_what.values())


# -- was it granted before?


def _stays(before: Listed, after: Listed, each: Facts, operation: Operation) -> bool:
    """Whether the same rule was there, and is asked no more: all that came first still does."""
    text = after.text(each)
    first = {after.text(other) for other in after.before(each)}
    return any(
        before.text(old) == text
        and all(
            before.text(other) in first
            for other in before.before(old)
            if operation in other.rule.operations
        )
        for old in before.facts
    )


def _was_granted(before: Listed, after: Listed, each: Facts, operation: Operation) -> bool:
    """Whether the old rules grant what this one does: the first that is sure to be for the same
    requests does, and none that may come between says no, or shows less.
    """
    scripts = {after.text(other) for other in after.before(each) if other.rule.script is not None}
    for old in before.facts:
        if operation not in old.rule.operations:
            continue
        if old.rule.broken is not None:
            return False
        if old.rule.script is not None:
            if before.text(old) not in scripts:
                return False  # it came first, and may have ended the evaluation
            continue
        if _grants_as_much(old, each, operation):
            return True
        if may_meet(old, each) and not _is_in_no_way(old, each, operation):
            return False
    return False


def _grants_as_much(old: Facts, new: Facts, operation: Operation) -> bool:
    if not (covers_apps(old.rule, new.rule) and covers_people(old, new)):
        return False
    if operation in ("select", "delete"):
        return reads_all(old, new)
    about_as_many = operation == "insert" or old.stored <= new.stored
    return about_as_many and _lets_be_written(old, new, operation)


def _is_in_no_way(old: Facts, new: Facts, operation: Operation) -> bool:
    """Whether an old rule that may come first changes nothing for what the new one grants."""
    if operation == "delete":
        return True
    if operation == "select":
        return _shows_as_much(old.rule, new.rule)
    return _lets_be_written(old, new, operation)


def _shows_as_much(old: Rule, new: Rule) -> bool:
    wide, narrow = old.columns, new.columns
    if wide.include is not None:
        return narrow.include is not None and narrow.include <= wide.include
    if narrow.include is None:
        return wide.hidden <= narrow.hidden
    return wide.hidden.isdisjoint(narrow.include)


def _lets_be_written(old: Facts, new: Facts, operation: Operation) -> bool:
    """Whether a write that the new rule grants is none that the old one rejects."""
    if not _sent(old.rule, operation) <= _sent(new.rule, operation):
        return False
    pinned = _pinned(old.rule, operation)
    if not all(
        old.rule.columns.opens(name) or name in pinned for name in _pinned(new.rule, operation)
    ):
        return False
    wide, narrow = old.rule.columns, new.rule.columns
    if wide.include is not None:
        return narrow.include is not None and narrow.include <= wide.include
    if narrow.include is None:
        return wide.excluded <= narrow.excluded
    return narrow.include.isdisjoint(wide.excluded | wide.secret)


def _pinned(rule: Rule, operation: Operation) -> frozenset[str]:
    return rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update


def _sent(rule: Rule, operation: Operation) -> frozenset[Key]:
    """What a rule requires of what is sent."""
    return frozenset(
        key(item)
        for item in rule.require
        if isinstance(item, Provided) or item.on_submitted or operation == "insert"
    )


# -- what is new about it


def _told(before: Listed, each: Facts, operation: Operation, columns: Sequence[str]) -> Widening:
    known = [
        old
        for old in before.facts
        if old.rule.script is None
        and old.rule.broken is None
        and operation in old.rule.operations
        and covers_apps(old.rule, each.rule)
        and covers_people(old, each)
    ]
    if not known:
        return Widening(each.rule, (operation,), "people")
    opened = [
        name
        for name in columns
        if _opens(each.rule, name, operation)
        and not any(_opens(old.rule, name, operation) for old in known)
    ]
    if opened and operation != "delete":
        return Widening(each.rule, (operation,), "columns", tuple(opened))
    for old in known:
        if not any(other.required <= each.required for other in known):
            return Widening(each.rule, (operation,), "conditions", instead_of=old.rule)
    return Widening(each.rule, (operation,), "order")


def _opens(rule: Rule, name: str, operation: Operation) -> bool:
    if operation in ("select", "delete"):
        return rule.columns.shows(name)
    return rule.columns.opens(name) or name in _pinned(rule, operation)


def dropped(widening: Widening) -> list[Provided | Condition]:
    """What the old rule requires and the new one does not."""
    old = widening.instead_of
    if old is None:
        return []
    kept = set(map(key, widening.rule.require))
    return [item for item in old.require if key(item) not in kept]
