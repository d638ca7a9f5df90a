"""The linter's advice on stored rules, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rowkeeper.datasources.models import DataSource

from ..analysis.site import check
from ..engine.problems import Problem
from ..repository.rules import rules_of

MANY = 8


def advice_for(data_source: DataSource, user: Any = None) -> list[str]:
    """The warnings and hints about stored rules for a user, without the errors."""
    found = check(rules_of(data_source), data_source, user=user)
    return in_lines(problem for problem in found if problem.severity != "error")


def in_lines(problems: Iterable[Problem]) -> list[str]:
    """One line for each problem. Rules with the same problem share a line."""
    rules_by_text: dict[tuple[str, str], list[int]] = {}
    for problem in problems:
        rules_by_text.setdefault((problem.path, problem.message), []).append(problem.rule)
    return [
        f"{_rules(positions)}{f', `{path}`' if path else ''}: {message}"
        if any(positions)
        else message
        for (path, message), positions in rules_by_text.items()
    ]


def _rules(positions: list[int]) -> str:
    if len(positions) == 1:
        return f"rule {positions[0]}"
    listed = ", ".join(str(position) for position in positions[:MANY])
    return f"rules {listed}{' and more' if len(positions) > MANY else ''}"
