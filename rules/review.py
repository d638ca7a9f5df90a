"""What a new list of rules lets people do that they could not do before, in words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from datasources.jsontext import canonical
from datasources.models import DataSource
from datasources.values import few, shown

from .engine.parse import parse_rules
from .engine.widen import Listed, Widening, widenings
from .revisions import plain
from .saving import rules_of
from .summary import allowed_in_words, as_subject, columns_in_words, requirements_in_words

_DOES = {"select": "read", "insert": "add", "update": "change", "delete": "delete"}


def review(
    data_source: DataSource, rules: Sequence[Any], columns: Sequence[str] | None = None
) -> list[str]:
    """What these rules grant that the stored ones do not; nothing where that is nothing."""
    names = data_source.columns if columns is None else columns
    known = [*data_source.columns, *(name for name in names if name not in data_source.columns)]
    return opened(plain(rules_of(data_source)), rules, known, data_source.secret_columns)


def opened(
    before: Sequence[Any], after: Sequence[Any], columns: Sequence[str], secret: Sequence[str] = ()
) -> list[str]:
    """The same between two lists: one line for each thing that is new."""
    old, new = _listed(before, columns, secret), _listed(after, columns, secret)
    return [_in_words(each, after) for each in widenings(old, new, columns)]


def closed(
    before: Sequence[Any], after: Sequence[Any], columns: Sequence[str], secret: Sequence[str] = ()
) -> list[str]:
    """What the old list lets other people do, or with other columns, and the new one does not."""
    old, new = _listed(before, columns, secret), _listed(after, columns, secret)
    found = [each for each in widenings(new, old, columns) if each.kind in ("people", "columns")]
    return [_in_words(each, before, "can no longer") for each in found]


def digest(data_source: DataSource, rules: Sequence[Any]) -> str:
    """A text for exactly this change: these rules in place of those that are stored now."""
    text = canonical([data_source.pk, data_source.rules_tag, list(rules)])
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(rules: Sequence[Any], columns: Sequence[str], secret: Sequence[str]) -> Listed:
    return Listed.of(rules, parse_rules(rules, frozenset(columns), frozenset(secret))[0])


def _in_words(each: Widening, rules: Sequence[Any], can: str = "can") -> str:
    rule, raw = each.rule, rules[each.rule.position - 1]
    if each.kind == "script":
        return (
            f"rule {rule.position} is a script: whom it lets in, and to what, cannot be told here"
        )
    who = as_subject(allowed_in_words(raw))
    does = " and ".join(filter(None, [", ".join(_verbs(each)[:-1]), _verbs(each)[-1]]))
    place = f"(rule {rule.position})"
    if each.kind == "columns":
        names = few([f"`{shown(name)}`" for name in each.columns])
        return f"{who} {can} {does} {names} {place}"
    if each.kind == "people":
        what = "entries" if each.operations == ("delete",) else columns_in_words(raw)
        return f"{who} {can} {does} {what}{_condition(raw)} {place}"
    if each.kind == "conditions" and each.instead_of is not None:
        asked = f"under other conditions than before{_condition(raw)}"
        return f"{who} {can} {does} entries {asked} {place}"
    return (
        f"{who} may be able to {does} more than before: other rules come before rule "
        f"{rule.position} now, or ask for less"
    )


def _verbs(each: Widening) -> list[str]:
    return [_DOES[operation] for operation in each.operations]


def _condition(raw: Any) -> str:
    words = requirements_in_words(raw)
    return f", if {' and '.join(words)}" if words else ""
