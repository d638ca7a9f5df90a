"""What a new list of rules lets people do that they could not do before, in words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import canonical
from rowkeeper.datasources.values.validation import printable

from ..analysis.escalation import Escalation, ParsedList, escalations
from ..engine.parse import parse_rules
from ..engine.rule import written
from ..repository.revisions import plain
from ..repository.rules import rules_of
from .rule import allowed_in_words, as_subject, columns_in_words, requirements_in_words

# Column names in one line. Ten would be shorter, but names that are left out are not reviewed.
MAX_NAMES = 100
_DOES = {"select": "read", "insert": "add", "update": "change", "delete": "delete"}


def review(
    data_source: DataSource, rules: Sequence[Any], columns: Sequence[str] | None = None
) -> list[str]:
    """What these rules grant that the stored ones do not, as lines; empty if there is nothing."""
    stored = data_source.nameable_columns
    names = stored if columns is None else columns
    known = [*stored, *(name for name in names if name not in stored)]
    return opened(plain(rules_of(data_source)), rules, known, data_source.secret_columns)


def opened(
    before: Sequence[Any], after: Sequence[Any], columns: Sequence[str], secret: Sequence[str] = ()
) -> list[str]:
    """What the list `after` grants that `before` does not: one line for each thing."""
    old, new = _listed(before, columns, secret), _listed(after, columns, secret)
    return [_in_words(each, after) for each in escalations(old, new, columns)]


def closed(
    before: Sequence[Any], after: Sequence[Any], columns: Sequence[str], secret: Sequence[str] = ()
) -> list[str]:
    """The people and columns for which the old list grants something that the new one does not."""
    old, new = _listed(before, columns, secret), _listed(after, columns, secret)
    found = [each for each in escalations(new, old, columns) if each.kind in ("people", "columns")]
    return [_in_words(each, before, "can no longer") for each in found]


def digest(data_source: DataSource, rules: Sequence[Any]) -> str:
    """A digest of exactly this change: these rules in place of the ones that are stored now."""
    text = canonical([data_source.pk, data_source.rules_tag, list(rules)])
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(rules: Sequence[Any], columns: Sequence[str], secret: Sequence[str]) -> ParsedList:
    return ParsedList.of(rules, parse_rules(rules, frozenset(columns), frozenset(secret))[0])


def _in_words(each: Escalation, rules: Sequence[Any], can: str = "can") -> str:
    rule, raw = each.rule, rules[each.rule.position - 1]
    if each.kind == "script":
        return (
            f"rule {rule.position} is a script: this page cannot show whom it lets in, or what "
            "it allows"
        )
    who = as_subject(allowed_in_words(raw))
    what = f"{_does(each, raw)}{_condition(raw)} (rule {rule.position})"
    return f"{who} {can} {what}{_compared(each)}{_deletes(each, can)}"


def _does(each: Escalation, raw: Any) -> str:
    verbs = [_DOES[operation] for operation in each.operations]
    does = " and ".join(filter(None, [", ".join(verbs[:-1]), verbs[-1]]))
    if each.kind == "columns" and each.operations == ("delete",):
        return f"choose entries to delete by {_names(each)}"
    if each.kind == "named":
        return f"choose entries to {does} by {_names(each)}, which they cannot see"
    if each.kind == "columns":
        return f"{does} {_names(each)}"
    if each.kind == "conditions":
        sides = each.operations == ("update",)
        require = [written(item, sides) for item in each.dropped]
        words = requirements_in_words({"require": require})
        return f"{does} entries without the condition that {' and '.join(words)}"
    return f"{does} {'entries' if each.operations == ('delete',) else columns_in_words(raw)}"


def _names(each: Escalation) -> str:
    names = [f"`{printable(name)}`" for name in sorted(each.columns.names)]
    names = [*names[:MAX_NAMES], *(["…"] if len(names) > MAX_NAMES else [])]
    return ", ".join(
        [*names, *(["all columns that are added later"] if each.columns.others else [])]
    )


def _compared(each: Escalation) -> str:
    """The old rule that a finding is about, if it is not the one that grants as much."""
    if each.instead_of is None or not (each.first or each.kind == "unblocked"):
        return ""
    old = f"rule {each.instead_of.position} of the old rules"
    if each.kind == "unblocked":
        return f", without the script that was evaluated before ({old})"
    return f", where {old} decided first"


def _deletes(each: Escalation, can: str) -> str:
    if not each.deletes:
        return ""
    by = _names(each) if each.kind in ("columns", "named") else "these columns"
    also = "can then also" if can == "can" else "can then no longer"
    return f"; people who can delete entries {also} select by {by} which ones to delete"


def _condition(raw: Any) -> str:
    words = requirements_in_words(raw)
    return f", if {' and '.join(words)}" if words else ""
