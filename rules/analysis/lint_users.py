"""Checks of whom rules let in.

They find tests that compare a user with themselves, permissions that users can give themselves, and
sensitive columns that are open to all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources.values.validation import join_some, printable

from ..engine.problems import Fix, Problem
from ..engine.rule import Allow, Condition, Operation, Rule
from ..engine.templates import UNMET, Template
from .context import LintContext
from .sensitive_names import looks_sensitive
from .subsumption import Key, RuleFacts, excludes, follows, key, may_meet

_WRITES: tuple[Operation, ...] = ("insert", "update")
_READS = frozenset(("select", "delete"))
SOURCE = "Source"


def people_problems(
    raw: Sequence[Any], rules: Sequence[Rule], place: LintContext
) -> Iterator[Problem]:
    """The problems of a list's enabled, valid rules that are not scripts."""
    facts = [RuleFacts.of(rule) for rule in rules if rule.enabled and rule.broken is None]
    tests = _tests_of_users(facts, place)
    sensitive = [name for name in place.columns if looks_sensitive(name)]
    for each in facts:
        if each.rule.script is None:
            yield from _tests_themselves(each.rule)
            yield from _promotes(raw, each, facts, tests)
            yield from _open_to_all(raw, each, facts, sensitive)


# -- a user compared with themselves


def _tests_themselves(rule: Rule) -> Iterator[Problem]:
    for test in rule.allow.conditions:
        operand = test.operand
        if not isinstance(operand, Template) or operand.sole_path != (test.column,):
            continue
        column = printable(test.column)
        if test.op == "notequals":
            text = f"compares `{column}` of the user with itself, so it is true for nobody"
        else:
            text = (
                f"compares `{column}` of the user with itself, so it lets in everyone who has a "
                "value; compare it with a value, or use `require` to restrict the entries"
            )
        path = f"allow.user.{column}.{test.op}"
        yield Problem(rule.position, path, text, "template-in-allow", "warning")


# -- rights that people can give themselves


@dataclass(frozen=True, slots=True)
class _UserTest:
    """A test of the user in a rule, and which rule that is."""

    by: str
    test: Condition


def _promotes(
    raw: Sequence[Any],
    writer: RuleFacts,
    facts: Sequence[RuleFacts],
    tests: dict[str, list[_UserTest]],
) -> Iterator[Problem]:
    """Report a column that users can write themselves although rules decide by it who they are.

    A rule only for users who already pass the test gives it to nobody else. Tokens are programs,
    and are left out.
    """
    if writer.allow.kind == "tokens":
        return
    for column, found in tests.items():
        for tested in found:
            if _can_write(writer, tested.test) and not follows(tested.test, writer):
                yield Problem(
                    writer.rule.position,
                    "exclude" if writer.rule.columns.include is None else "include",
                    f"`{printable(column)}` can be written by the people whom {tested.by} tests "
                    "for it, so they can give themselves that access",
                    "self-promotion",
                    "warning",
                    closing(raw, writer, [column], facts),
                )
                break


def _tests_of_users(facts: Sequence[RuleFacts], place: LintContext) -> dict[str, list[_UserTest]]:
    """The tests that entries of this sign-in data source can meet, by column; empty for another."""
    if place.signs_in_as is None:
        return {}
    allows = [(f"rule {each.rule.position}", each.allow) for each in facts]
    allows += [("a rule of another data source", allow) for allow in place.elsewhere]
    found: dict[str, dict[Key, _UserTest]] = {}
    for by, allow in allows:
        for test in _tests_of(allow, place.signs_in_as):
            if test.column in place.columns and test.column not in place.secret:
                found.setdefault(test.column, {}).setdefault(key(test), _UserTest(by, test))
    return {column: list(tests.values()) for column, tests in found.items()}


def _tests_of(allow: Allow, name: str) -> list[Condition]:
    """The tests that entries of the data source `name` can meet. No entry has `Source` or `ID`."""
    sources = [test for test in allow.conditions if test.column == SOURCE]
    if any(test.value({}) is not UNMET and not test.met_by({SOURCE: name}, {}) for test in sources):
        return []
    return [test for test in allow.conditions if test.column not in (SOURCE, "ID")]


def _can_write(writer: RuleFacts, test: Condition) -> bool:
    """Whether a write under the rule can give an entry a value that meets the test."""
    rule = writer.rule
    for operation in _WRITES:
        pinned = rule.pinned_on_insert if operation == "insert" else rule.pinned_on_update
        writable = rule.columns.opens(test.column) or test.column in pinned
        if operation in rule.operations and writable and not _kept(writer, test, operation):
            return True
    return False


def _kept(writer: RuleFacts, test: Condition, operation: Operation) -> bool:
    """Whether the rule requires a value that fails the test, or the one that users have already."""
    for item in writer.wants.get(test.column, ()):
        if not (item.on_submitted or operation == "insert"):
            continue
        if isinstance(item.operand, Template):
            if item.op == "equals" and item.operand.sole_path == (test.column,):
                return True
        elif excludes(item, test):
            return True
    return False


# -- columns that are open to all


def _open_to_all(
    raw: Sequence[Any], reader: RuleFacts, facts: Sequence[RuleFacts], sensitive: Sequence[str]
) -> Iterator[Problem]:
    """Report sensitive columns that everyone, or every signed-in user, can read in all entries."""
    rule = reader.rule
    if "select" not in rule.operations or rule.app_ids == frozenset():
        return
    if reader.allow.kind not in ("all", "loggedIn") or _is_about_own(rule):
        return
    names = [name for name in sensitive if rule.columns.shows(name)]
    if not names:
        return
    open_to_all = reader.allow.kind == "all" and rule.app_ids is None
    who = "everyone" if open_to_all else "everyone who is signed in"
    if rule.app_ids is not None:
        who += f" in app {' or '.join(map(str, sorted(rule.app_ids)))}"
    yield Problem(
        rule.position,
        "exclude" if rule.columns.include is None else "include",
        f"{who} can read {join_some([f'`{printable(name)}`' for name in names])}",
        "sensitive",
        "warning" if open_to_all else "info",
        closing(raw, reader, names, facts),
    )


def _is_about_own(rule: Rule) -> bool:
    return any(
        isinstance(item, Condition) and isinstance(item.operand, Template) for item in rule.require
    )


# -- closing columns


def closing(
    raw: Sequence[Any], closed: RuleFacts, names: Sequence[str], facts: Sequence[RuleFacts]
) -> Fix | None:
    """A fix that closes these columns in a rule; None if that could open something else.

    A read that does not fit any more goes on to the later rules, which may show other columns. A
    column that is required would still be named, or written.
    """
    rule, written = closed.rule, raw[closed.rule.position - 1]
    reads = rule.operations & _READS
    later = [each for each in facts if each.rule.position > rule.position]
    if any(reads & each.rule.operations and may_meet(closed, each) for each in later):
        return None
    if any(item.column in names for item in rule.require):
        return None
    if "include" in written:
        left = [name for name in written["include"] if name not in names]
        becomes = {**written, "include": left}
    else:
        becomes = {**written, "exclude": [*written.get("exclude", ()), *names]}
    words = join_some([f"`{printable(name)}`" for name in names])
    return Fix(f"close {words} in rule {rule.position}", rule.position, becomes)
