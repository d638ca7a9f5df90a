"""The compiled rules of one data source, from which decisions are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .parse import Problem, parse_rules
from .rule import OPERATIONS, Operation, Rule


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The compiled rules of one data source, at one revision."""

    rules: tuple[Rule, ...]
    # The enabled rules of each operation, in order.
    by_operation: dict[Operation, tuple[Rule, ...]]
    problems: tuple[Problem, ...] = ()
    # Columns that nobody sees, whatever the rules say.
    secret: frozenset[str] = frozenset()
    # In a sign-in data source, the columns that can be written; otherwise None.
    writable: frozenset[str] | None = None
    # The existing columns, if callers without a credential cannot create others; otherwise None.
    writable_by_anonymous: frozenset[str] | None = None
    # The declared columns. They alone decide what a dotted name means.
    declared: frozenset[str] = frozenset()
    has_scripts: bool = False

    def scripted(self, operation: Operation) -> bool:
        """Whether some enabled rule for the operation is a script."""
        return self.has_scripts and any(rule.script for rule in self.by_operation[operation])


def compile_rules(
    raw: Any,
    declared: Iterable[str],
    secret: Iterable[str] = (),
    sign_in: bool = False,
    existing: Iterable[str] | None = None,
    address: str | None = None,
) -> Ruleset:
    """Compile stored rules, so that decisions can be made from them.

    A rule that is not valid ends the evaluation of the operations that it names. A list that cannot
    be read, or is too long, ends the evaluation of all operations.

    `declared` are the columns that an administrator declared. `existing` are all columns, if
    callers without a credential cannot create others. `address` is the column of the email that
    people sign in with, if they do.
    """
    secret, declared = frozenset(secret), frozenset(declared)
    rules, problems = parse_rules(raw, declared, secret, address)
    if any(problem.rule == 0 for problem in problems):
        rules = []
    return Ruleset(
        tuple(rules),
        {
            operation: tuple(r for r in rules if r.enabled and operation in r.operations)
            for operation in OPERATIONS
        },
        tuple(problems),
        secret,
        declared if sign_in else None,
        None if existing is None else frozenset(existing),
        declared,
        any(rule.enabled and rule.script is not None for rule in rules),
    )
