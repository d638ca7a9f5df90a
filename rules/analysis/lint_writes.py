"""A check for columns that people can write although no select rule shows them to these people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rowkeeper.datasources.values.validation import join_some, printable

from ..engine.problems import Problem
from ..engine.rule import Operation, Rule
from .context import LintContext
from .lint_users import closing
from .satisfiable import is_for_nobody
from .subsumption import RuleFacts, covers, covers_apps, covers_people, may_meet, overlap

_WRITES: tuple[Operation, ...] = ("update", "insert")
# The most pairs of a write rule and a kind of readers that are compared.
MAX_PAIRS = 2_000


def hidden_and_writable(
    raw: Sequence[Any], rules: Sequence[Rule], place: LintContext
) -> Iterator[Problem]:
    """Report columns that a rule lets people write and that no select rule shows these people.

    People who can read nothing are left out: a public form needs no answer. If a select rule is a
    script, nothing is reported, since a script can show any column.
    """
    valid = (rule for rule in rules if rule.enabled and rule.broken is None)
    facts = [RuleFacts.of(rule) for rule in valid if not is_for_nobody(rule)]
    readers = _kinds([each for each in facts if "select" in each.rule.operations])
    if any(each.rule.script is not None for each in readers):
        return
    names = [name for name in place.columns if name not in place.secret]
    pairs = 0
    for writer in facts:
        if writer.rule.script is not None or writer.rule.operations.isdisjoint(_WRITES):
            continue
        pairs += len(readers)
        if pairs > MAX_PAIRS:
            return
        yield from _of_writer(raw, writer, readers, facts, names)


def _kinds(readers: Sequence[RuleFacts]) -> list[RuleFacts]:
    """One rule for each kind of people and each set of columns."""
    found: dict[Any, RuleFacts] = {}
    for each in readers:
        rule, allow = each.rule, each.allow
        people = (allow.kind, each.tested, allow.tokens, rule.app_ids, rule.script)
        found.setdefault((people, rule.columns.projection), each)
    return list(found.values())


def _of_writer(
    raw: Sequence[Any],
    writer: RuleFacts,
    readers: Sequence[RuleFacts],
    facts: Sequence[RuleFacts],
    names: Sequence[str],
) -> Iterator[Problem]:
    hidden: dict[str, int] = {}
    severe = False
    for operation in _WRITES:
        if operation not in writer.rule.operations:
            continue
        open_names = [name for name in names if _is_free(writer.rule, name, operation)]
        earlier = [each for each in facts if _is_before(each, writer, operation)]
        for reader in readers if open_names else ():
            for name in _hidden_from(writer, reader, readers, earlier, operation, open_names):
                hidden.setdefault(name, reader.rule.position)
                severe = severe or operation == "update"
    if not hidden:
        return
    rule = writer.rule
    them = "it" if len(hidden) == 1 else "them"
    yield Problem(
        rule.position,
        "exclude" if rule.columns.include is None else "include",
        f"{join_some([f'`{printable(name)}`' for name in hidden])} can be written by people who "
        f"cannot read {them}, because {_readers(hidden.values())} {them}",
        "hidden-and-writable",
        "warning" if severe else "info",
        closing(raw, writer, list(hidden), facts),
    )


def _readers(positions: Any) -> str:
    numbers = [str(number) for number in sorted(set(positions))]
    return f"rule {numbers[0]} hides" if len(numbers) == 1 else f"rules {join_some(numbers)} hide"


def _is_before(each: RuleFacts, writer: RuleFacts, operation: Operation) -> bool:
    return each.rule.position < writer.rule.position and operation in each.rule.operations


def _is_free(rule: Rule, name: str, operation: Operation) -> bool:
    """Whether a write can set the column to a value that no requirement fixes."""
    pinned = rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update
    return rule.columns.opens(name) and name not in pinned


def _hidden_from(
    writer: RuleFacts,
    reader: RuleFacts,
    readers: Sequence[RuleFacts],
    earlier: Sequence[RuleFacts],
    operation: Operation,
    names: Sequence[str],
) -> list[str]:
    """The names that are hidden from the people whom both rules let in."""
    names = [name for name in names if not reader.rule.columns.shows(name)]
    if not names or not may_meet(writer, reader):
        return []
    both = overlap(writer, reader)
    if both is None or any(covers(each, both, operation) for each in earlier):
        return []  # these people's writes do not reach this rule
    for other in readers:
        if covers_apps(other.rule, both.rule) and covers_people(other, both):
            names = [name for name in names if not other.rule.columns.shows(name)]
    return names
