"""The usual form of a list of rules, so that it is shown, compared and exported alike."""

from __future__ import annotations

from typing import Any

from ..engine.parse import PROPERTIES


def in_order(rules: Any) -> Any:
    """The rules with their properties in the usual order. Other values are returned unchanged."""
    if not isinstance(rules, list):
        return rules
    return [_rule_in_order(rule) if isinstance(rule, dict) else rule for rule in rules]


def _rule_in_order(rule: dict[str, Any]) -> dict[str, Any]:
    names = [*(name for name in PROPERTIES if name in rule), *rule]
    return {name: rule[name] for name in names}
