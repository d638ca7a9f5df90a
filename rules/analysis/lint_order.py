"""Checks of the order of rules.

They find unreachable rules, rules that stop later ones, and operations that no rule is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rowkeeper.datasources.values.validation import join_some

from ..engine.problems import Fix, Problem
from ..engine.rule import OPERATIONS, Operation, Provided, Rule
from .satisfiable import is_for_nobody
from .subsumption import RuleFacts, covers, may_meet


def order_problems(raw: Sequence[Any], rules: Sequence[Rule]) -> Iterator[Problem]:
    """The problems of a list's enabled rules. Rules that are not valid cover nothing."""
    facts = [RuleFacts.of(rule) for rule in rules if rule.enabled and rule.broken is None]
    # A rule that lets nobody in decides nothing, and is reported by another check.
    active = [each for each in facts if not is_for_nobody(each.rule)]
    for at, each in enumerate(active):
        yield from _unreachable(raw, active[:at], each)
        yield from _stops_later(each, active[at + 1 :])
    if len(facts) == sum(rule.enabled for rule in rules):
        yield from _left_to_nobody(facts)


def _unreachable(
    raw: Sequence[Any], earlier: Sequence[RuleFacts], late: RuleFacts
) -> Iterator[Problem]:
    decided: dict[Operation, int] = {}
    for operation in _operations(late.rule):
        for first in earlier:
            if operation in first.rule.operations and covers(first, late, operation):
                decided[operation] = first.rule.position
                break
    if not decided:
        return
    yield Problem(
        late.rule.position,
        "" if len(decided) == len(late.rule.operations) else "type",
        f"{_scope(late.rule, decided)}no request reaches this rule: {_deciders(decided)} all of "
        "them first",
        "unreachable",
        "warning",
        _without(raw, late.rule, decided),
    )


def _operations(rule: Rule) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation in rule.operations]


def _scope(rule: Rule, decided: dict[Operation, int]) -> str:
    if len(decided) == len(rule.operations):
        return ""
    return f"for {' and '.join(f'`{operation}`' for operation in decided)} "


def _deciders(decided: dict[Operation, int]) -> str:
    numbers = sorted(set(decided.values()))
    if len(numbers) == 1:
        return f"rule {numbers[0]} decides"
    return f"rules {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} decide"


def _without(raw: Sequence[Any], rule: Rule, decided: dict[Operation, int]) -> Fix | None:
    """Remove the rule, or only the operations for which it is never reached."""
    if len(decided) == len(rule.operations):
        return Fix(f"remove rule {rule.position}", rule.position, None)
    if rule.script is not None:
        return None
    written = raw[rule.position - 1]
    left = [operation for operation in written["type"] if operation not in decided]
    words = " and ".join(f"`{operation}`" for operation in decided)
    return Fix(f"remove {words} from `type`", rule.position, {**written, "type": left})


def _stops_later(first: RuleFacts, later: Sequence[RuleFacts]) -> Iterator[Problem]:
    """Report a rule that rejects a write which a later rule would have granted."""
    for operation in _operations(first.rule):
        path = _rejects(first.rule, operation)
        stopped = [
            each.rule.position
            for each in later
            if operation in each.rule.operations
            and may_meet(first, each)
            and not covers(first, each, operation)
            and (path is not None or _opens_password(each.rule, first.rule, operation))
        ]
        if stopped:
            yield Problem(
                first.rule.position,
                path or "",
                f"an {operation} that this rule applies to but that does not meet the "
                f"requirement is denied immediately: {_named(stopped)} not evaluated for it, "
                "unlike for reads",
                "stops-later",
                "warning",
            )
            return


def _opens_password(later: Rule, first: Rule, operation: Operation) -> bool:
    """Whether a later rule lets a password be written while the first rule rejects that."""
    if operation not in ("insert", "update") or first.script is not None:
        return False
    include = later.columns.include or frozenset()
    return not include.isdisjoint(first.columns.secret)


def _named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"rule {numbers[0]} is"
    return f"rules {join_some([str(number) for number in numbers])} are"


def _rejects(rule: Rule, operation: Operation) -> str | None:
    """The property because of which a rule rejects a write that it is about, or None."""
    if operation not in ("insert", "update") or rule.script is not None:
        return None
    inserts = operation == "insert"
    for item in rule.require:
        if isinstance(item, Provided) or item.on_submitted or inserts:
            return "require"
    if rule.columns.include is not None:
        return "include"
    return "exclude" if rule.columns.excluded else None


def _or(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _left_to_nobody(facts: Sequence[RuleFacts]) -> Iterator[Problem]:
    covered = {
        operation
        for each in facts
        if not is_for_nobody(each.rule)
        for operation in each.rule.operations
    }
    missing = [f"`{operation}`" for operation in OPERATIONS if operation not in covered]
    if not facts:
        text = "no rule is enabled: nobody gets in"
    elif missing:
        text = f"no rule allows {_or(missing)}: nobody can do that"
    else:
        return
    yield Problem(0, "", text, "nobody", "info")
