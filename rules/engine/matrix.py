"""Who can do what by a list of rules: caller by caller, operation by operation, column by column.

A caller is a kind of people: nobody signed in, somebody signed in of whom no more is known, those
whom some rule tests for a role, each API token. What holds of a caller is what a rule says of all
of them; a rule for others does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .columns import Columns
from .covers import Facts, Key, covers_people, key
from .rule import Allow, Condition, Operation, Provided, Rule

# Yes; under the conditions of a rule, or in some apps alone; as a script says; no.
Access: TypeAlias = Literal["yes", "if", "script", "no"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A kind of people; `allow.kind` is `nobody`, `loggedIn`, `user` or `tokens`."""

    facts: Facts
    # A rule that names them, from 1; 0 for those of whom every list speaks.
    named_by: int = 0

    @property
    def allow(self) -> Allow:
        """Who they are."""
        return self.facts.allow


def callers(rules: Sequence[Rule]) -> list[Caller]:
    """Everyone of whom a list of rules tells something."""
    found = [Caller(_facts(Allow("nobody"))), Caller(_facts(Allow("loggedIn")))]
    seen: set[frozenset[Key]] = set()
    for rule in rules:
        tests = frozenset(map(key, rule.allow.conditions))
        if _counts(rule) and tests and rule.script is None and tests not in seen:
            seen.add(tests)
            found.append(Caller(_facts(rule.allow), rule.position))
    return [*found, *_tokens(rules)]


def _tokens(rules: Sequence[Rule]) -> Iterator[Caller]:
    named = {
        token: rule.position
        for rule in reversed(rules)
        if _counts(rule) and rule.script is None
        for token in rule.allow.tokens
    }
    for token, position in sorted(named.items()):
        yield Caller(_facts(Allow("tokens", tokens=frozenset([token]))), position)


def _counts(rule: Rule) -> bool:
    return rule.enabled and rule.broken is None and rule.app_ids != frozenset()


def _facts(allow: Allow) -> Facts:
    nothing: frozenset[Operation] = frozenset()
    return Facts.of(Rule(0, "", True, nothing, allow, (), Columns.of()))


@dataclass(frozen=True, slots=True)
class Grant:
    """What one rule lets a caller do."""

    rule: Rule
    operation: Operation

    @property
    def kind(self) -> Access:
        """Whether it does so always."""
        if self.rule.script is not None:
            return "script"
        return "if" if self.conditions or self.rule.app_ids is not None else "yes"

    @property
    def conditions(self) -> tuple[Provided | Condition, ...]:
        """What it requires of the request."""
        return self.rule.require

    def opens(self, column: str) -> bool:
        """Whether it shows a column, or lets it be written."""
        if self.rule.script is not None or self.operation == "delete":
            return True
        if self.operation == "select":
            return self.rule.columns.shows(column)
        inserts = self.operation == "insert"
        pinned = self.rule.pinned_on_insert if inserts else self.rule.pinned_on_update
        return self.rule.columns.opens(column) or column in pinned


def grants(rules: Sequence[Facts], caller: Caller, operation: Operation) -> list[Grant]:
    """What the rules let a caller do, in the order in which they are tried; those that no request
    of theirs gets as far as are left out.
    """
    found: list[Grant] = []
    for facts in rules:
        rule = facts.rule
        if operation not in rule.operations or not rule.enabled:
            continue
        if rule.broken is not None:
            break
        scripted = rule.script is not None
        if not _counts(rule) or not (scripted or covers_people(facts, caller.facts)):
            continue
        found.append(Grant(rule, operation))
        if _is_last(rule, operation):
            break
    return found


def _is_last(rule: Rule, operation: Operation) -> bool:
    """Whether no request of those whom the rule is for gets past it."""
    if rule.script is not None or rule.app_ids is not None:
        return False
    if operation == "insert":
        return True
    if operation == "update":
        return not any(isinstance(item, Condition) and item.on_stored for item in rule.require)
    columns = rule.columns
    everything = columns.include is None and not columns.hidden - columns.secret
    return not rule.require and everything


def access_to(found: Sequence[Grant], column: str) -> tuple[Access, list[Grant]]:
    """Whether a caller can get at a column, and by which of their grants."""
    by = [grant for grant in found if grant.opens(column)]
    kinds = {grant.kind for grant in by}
    for kind in ("yes", "if", "script"):
        if kind in kinds:
            return kind, [grant for grant in by if grant.kind == kind]
    return "no", []
