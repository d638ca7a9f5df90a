"""What is allowed in a list of rules, and most likely not meant: said after a save, refused never.

Disabled rules and scripts are left out: the one does nothing, the other cannot be read this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from datasources.values import shown

from .parse import parse_rules
from .rule import Condition, Provided, Requirement, Rule
from .templates import Template

SOURCE = "Source"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that rule `rule` (from 1) does at `path`; `code` is for programs."""

    rule: int
    path: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"rule {self.rule}{f', `{self.path}`' if self.path else ''}: {self.message}"


def warnings_with(
    rules: list[dict[str, Any]], columns: Sequence[str], several_kinds: bool
) -> list[Advice]:
    """The warnings about a list of rules that is valid; rules that are not are passed over.

    `several_kinds`: whether users of more than one kind can sign in (see `Source` in the rules).
    """
    found = [
        rule
        for rule in parse_rules(rules, frozenset(columns))[0]
        if rule.enabled and rule.broken is None and rule.script is None
    ]
    return [
        warning
        for rule in found
        for warning in (
            *_any_record(rule),
            *_required_and_hidden(rule),
            *(_any_kind(rule) if several_kinds else ()),
        )
    ]


def _any_record(rule: Rule) -> Iterator[Advice]:
    """An update rule that looks at nothing that is stored lets every record be changed."""
    if "update" not in rule.operations:
        return
    if any(condition.on_stored for condition in _conditions(rule)):
        return
    yield Advice(
        rule.position,
        "require" if rule.require else "",
        "any-record",
        "lets every record be updated: no condition is on what is stored; a template, a "
        '`notequals` or `"on": "both"` is',
    )


def _required_and_hidden(rule: Rule) -> Iterator[Advice]:
    """On a read nobody can name a hidden column freely, on a write nobody may send a closed one."""
    hidden = [item for item in rule.require if not rule.columns.shows(item.column)]
    reads = not rule.operations.isdisjoint(("select", "delete"))
    for column in sorted({item.column for item in hidden if reads or _must_be_sent(item, rule)}):
        yield Advice(
            rule.position,
            "exclude" if rule.columns.include is None else "include",
            "required-and-hidden",
            f"`{shown(column)}` is required and hidden: it stays hidden, and a request may name it "
            "only to say just what the requirement says"
            if reads
            else f"`{shown(column)}` is required and may not be written, so that no request fits",
        )


def _must_be_sent(item: Requirement, rule: Rule) -> bool:
    """Whether a write has to send the column of a requirement, and may not."""
    if isinstance(item, Provided):
        return True
    if item.op == "equals":
        return False  # pinned, and so open for the one value
    return item.op == "contains" and (item.on_submitted or "insert" in rule.operations)


def _any_kind(rule: Rule) -> Iterator[Advice]:
    """A test of the user that does not say whose users are meant."""
    if any(condition.column == SOURCE for condition in rule.allow.conditions):
        return
    templates = [item for item in _conditions(rule) if isinstance(item.operand, Template)]
    if not rule.allow.conditions and not templates:
        return
    yield Advice(
        rule.position,
        "allow",
        "any-kind-of-user",
        "tests the user without `Source`, while users of more than one kind can sign in: "
        'add {"Source": {"equals": "…"}} to `allow.user`, or the users of another data source '
        "may pass for these",
    )


def _conditions(rule: Rule) -> list[Condition]:
    return [item for item in rule.require if isinstance(item, Condition)]
