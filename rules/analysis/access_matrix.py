"""The access matrix of a list of rules: by caller, operation and column.

A caller is a kind of people: anonymous ones, signed-in users of whom nothing else is known, the
users that some rule tests for, and each API token. A caller has access only if a rule gives it
to all of these people; a rule for others does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ..engine.columns import Columns
from ..engine.rule import Allow, Condition, Operation, Provided, Rule
from ..engine.templates import Template, own_value
from .satisfiable import Asker, can_be_written, can_fit, is_for_nobody
from .subsumption import Key, RuleFacts, covers, covers_people, key, may_meet, overlap

# Always; under the conditions of a rule or in some apps only; as a script decides; never.
Access: TypeAlias = Literal["yes", "if", "script", "no"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A kind of people. `allow.kind` is `nobody`, `loggedIn`, `user` or `tokens`."""

    facts: RuleFacts
    # The number of a rule that names them, from 1; 0 for the callers that every list has.
    named_by: int = 0

    @property
    def allow(self) -> Allow:
        """The `allow` that describes these people."""
        return self.facts.allow


def callers(rules: Sequence[Rule]) -> list[Caller]:
    """The callers that a list of rules distinguishes."""
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
    return rule.enabled and rule.broken is None and not is_for_nobody(rule)


def _facts(allow: Allow) -> RuleFacts:
    nothing: frozenset[Operation] = frozenset()
    return RuleFacts.of(Rule(0, "", True, nothing, allow, (), Columns.of()))


@dataclass(frozen=True, slots=True)
class Grant:
    """What one rule lets a caller do.

    `earlier`: the rules that are tried first for this caller and can decide a request.
    """

    rule: Rule
    operation: Operation
    earlier: tuple[Rule, ...] = ()
    # Whether the caller is a user, who can have an entry of their own.
    has_user: bool = True

    @property
    def kind(self) -> Access:
        """The access that the rule itself gives, without regard to the columns."""
        if self.rule.script is not None:
            return "script"
        return "if" if self.conditions or self.rule.app_ids is not None else "yes"

    @property
    def conditions(self) -> tuple[Provided | Condition, ...]:
        """The requirements of the rule."""
        return self.rule.require

    def opens(self, column: str) -> bool:
        """Whether the rule shows a column, or lets it be written."""
        return _opens(self.rule, self.operation, column, self.has_user)

    def in_own_row(self, column: str) -> bool:
        """Whether the rule lets a password be written only in the session's own entry."""
        return self.operation == "update" and self.opens(column) and not _writes(self.rule, column)

    def unless(self, column: str) -> list[int]:
        """The positions of the earlier rules that decide some requests differently."""
        return [rule.position for rule in self.earlier if _decides(rule, self.operation, column)]

    def access(self, column: str) -> Access:
        """The access that the rule gives to a column."""
        if self.kind == "yes" and (self.unless(column) or self.in_own_row(column)):
            return "if"
        return self.kind


def _opens(rule: Rule, operation: Operation, column: str, has_user: bool = True) -> bool:
    if rule.script is not None or operation == "delete":
        return True
    if operation == "select":
        return rule.columns.shows(column)
    return can_be_written(rule, column, operation, has_user)


def _writes(rule: Rule, column: str) -> bool:
    """Whether an update can write the column in any row."""
    pinned = column in rule.pinned_on_update and column not in rule.columns.secret
    return rule.script is not None or rule.columns.opens(column) or pinned


def _decides(rule: Rule, operation: Operation, column: str) -> bool:
    """Whether a rule can deny a request, or hide the column, where a later rule would not."""
    if rule.script is not None or not _opens(rule, operation, column):
        return True
    if operation in ("select", "delete"):
        return False
    if operation == "insert":
        return bool(rule.require)
    sent = (isinstance(item, Provided) or item.on_submitted for item in rule.require)
    return any(sent) or not _writes(rule, column)


def grants(
    rules: Sequence[RuleFacts],
    caller: Caller,
    operation: Operation,
    declared: frozenset[str] | None = None,
) -> list[Grant]:
    """What the rules let a caller do, in the order in which they are tried.

    Rules that grant none of the caller's requests are left out. `declared`: the columns of a
    sign-in data source.
    """
    reads = [] if operation == "select" else grants(rules, caller, "select", declared)
    asker = Asker(
        has_user=caller.allow.kind in ("loggedIn", "user"),
        reads=lambda column: any(grant.opens(column) for grant in reads),
        declared=declared,
    )
    found: list[Grant] = []
    reached: list[RuleFacts] = []
    for facts in _for(rules, caller, operation):
        if facts.rule.broken is not None:
            break
        theirs = RuleFacts.of(replace(facts.rule, allow=caller.allow))
        if facts.rule.script is None and any(covers(e, theirs, operation) for e in reached):
            continue
        earlier = tuple(each.rule for each in reached)
        fits = can_fit(facts.rule, operation, asker)
        able = [_able(facts.rule, caller.allow)]
        if _only_by_query(facts.rule, operation):
            able = _who_can_read(able[0], [grant.rule for grant in reads])
        if fits and not all(_is_taken(each, rules, operation) for each in able):
            found.append(Grant(facts.rule, operation, earlier, asker.has_user))
        if fits or operation in ("insert", "update"):
            reached.append(facts)
    return found


def _for(rules: Sequence[RuleFacts], caller: Caller, operation: Operation) -> Iterator[RuleFacts]:
    """The enabled rules of an operation that let the caller in, and those that are not valid."""
    for facts in rules:
        rule = facts.rule
        if operation not in rule.operations or not rule.enabled:
            continue
        if rule.broken is not None:
            yield facts
            continue
        if caller.allow.kind == "nobody" and rule.app_ids is not None:
            continue  # a request without a credential has no app
        if _counts(rule) and (rule.script is not None or covers_people(facts, caller.facts)):
            yield facts


def _is_taken(rule: RuleFacts, others: Sequence[RuleFacts], operation: Operation) -> bool:
    """Whether every request that a rule could decide is decided by one of the rules before it."""
    return any(
        operation in other.rule.operations
        and _counts(other.rule)
        and covers(other, rule, operation)
        for other in others
        if other.rule.position < rule.rule.position
    )


def _able(rule: Rule, allow: Allow) -> RuleFacts:
    """The rule, limited to those of its people who can meet its requirements.

    Templates are rendered for signed-in users only, and only for those who have the column in it.
    """
    templates = [
        (item, item.operand)
        for item in rule.require
        if isinstance(item, Condition) and isinstance(item.operand, Template)
    ]
    if rule.script is None and templates and allow.kind in ("all", "loggedIn", "user"):
        has = tuple(
            replace(item, column=path[0], op="equals", operand=own_value(path[0]))
            for item, template in templates
            for path in template.paths
            if len(path) == 1
        )
        conditions = (*allow.conditions, *has)
        allow = Allow("user", conditions) if conditions else Allow("loggedIn")
    return RuleFacts.of(replace(rule, allow=allow))


def _who_can_read(rule: RuleFacts, readers: Sequence[Rule]) -> list[RuleFacts]:
    """The rule, limited to the people of each select rule in turn."""
    if rule.allow.kind == "nobody":
        return [rule] if readers else []
    found = (overlap(rule, RuleFacts.of(reader)) for reader in readers)
    return [both for both in found if both is not None]


def _only_by_query(rule: Rule, operation: Operation) -> bool:
    """Whether entries can be deleted by query only, which needs a select rule as well."""
    return operation == "delete" and any(isinstance(item, Provided) for item in rule.require)


def reachable(rules: Sequence[Rule], operation: Operation) -> set[int]:
    """The positions of the rules that can grant some caller's request for the operation."""
    facts = [RuleFacts.of(rule) for rule in rules if rule.enabled]
    found: set[int] = set()
    earlier: list[RuleFacts] = []
    for each in facts:
        rule = each.rule
        if operation not in rule.operations or is_for_nobody(rule):
            continue
        if rule.broken is not None:
            break
        if any(covers(other, each, operation) for other in earlier):
            continue
        readers = [] if operation == "select" else _readers(facts, each, earlier, operation)
        asker = Asker(
            has_user=rule.allow.kind != "tokens",
            reads=lambda column, readers=readers: any(_opens(r, "select", column) for r in readers),  # type: ignore[misc]
        )
        possible = can_fit(rule, operation, asker)
        possible = possible and (bool(readers) or not _only_by_query(rule, operation))
        if possible and not _is_taken(_able(rule, rule.allow), earlier, operation):
            found.add(rule.position)
        earlier.append(each)
    return found


def _readers(
    facts: Sequence[RuleFacts], each: RuleFacts, earlier: Sequence[RuleFacts], operation: Operation
) -> list[Rule]:
    """The select rules for people whose requests can reach the rule `each`."""
    found: list[Rule] = []
    for other in facts:
        if _counts(other.rule) and "select" in other.rule.operations and may_meet(other, each):
            both = overlap(each, other)
            if both is not None and not any(covers(e, both, operation) for e in earlier):
                found.append(other.rule)
    return found


def access_to(found: Sequence[Grant], column: str) -> tuple[Access, list[Grant]]:
    """The access of a caller to a column, and the grants that give it."""
    by = [(grant.access(column), grant) for grant in found if grant.opens(column)]
    for kind in _KINDS:
        if any(each == kind for each, _ in by):
            return kind, [grant for each, grant in by if each == kind]
    return "no", []


_KINDS: tuple[Access, ...] = ("yes", "if", "script")
