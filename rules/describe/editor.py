"""The editor's live answer: the problems of the rules, the rules in words, and who gets in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.errors import Failure, Malformed, NotJson
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import loads
from rowkeeper.datasources.values.format import pretty

from ..analysis.context import LintContext
from ..analysis.lint import check_rules
from ..analysis.site import Site
from ..engine.parse import MAX_RULES, parse_rules
from ..engine.problems import Problem
from ..engine.rule import OPERATIONS, Rule
from ..repository.rules import rules_of
from ..scripts.permissions import require_right_to_scripts
from .access import access_in_short
from .rule import sentence, summaries

# A last problem gives the number of the others.
MAX_PROBLEMS = 200
# The total length, in characters, of the lists that fixes produce.
MAX_FIXES = 1_000_000


def answer(
    text: str, data_source: DataSource | None, columns: Sequence[str] | None, user: Any
) -> dict[str, Any]:
    """The answer as JSON: `problems`, each with its place; `rules`, each in words; `access`.

    Accepts any text. `user` is the person who types; nothing is disclosed about data sources that
    are hidden from them.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        rules = loads(text, "the text") if text.strip() else []
    except Malformed as error:
        return _unreadable(error)
    if data_source is not None and isinstance(rules, list) and len(rules) <= MAX_RULES:
        try:
            # First, because compiling scripts takes time.
            require_right_to_scripts(user, data_source, rules_of(data_source), rules)
        except PermissionMissing as error:
            return _unreadable(error)
    place = Site.now().around(data_source, columns, user)
    found = check_rules(rules, place)
    # A list beyond the limit is counted but not described, since the body has room for a million
    # rules.
    listed = rules if isinstance(rules, list) and len(rules) <= MAX_RULES else []
    return {
        "problems": _problems(found, listed, _places(text, listed)),
        **in_words(listed, place),
    }


def in_words(rules: list[Any], place: LintContext) -> dict[str, Any]:
    """The properties `rules` and `access` of the answer."""
    compiled, problems = parse_rules(rules, place.declared, place.secret)
    if any(problem.rule == 0 for problem in problems):
        compiled = []
    return {
        "rules": [
            {"words": sentence(summary), "operations": _operations(rule)}
            for summary, rule in zip(summaries(rules), compiled, strict=False)
        ],
        "access": access_in_short(compiled),
    }


def _operations(rule: Rule) -> list[str]:
    return [operation for operation in OPERATIONS if operation in rule.operations]


def _unreadable(error: Failure) -> dict[str, Any]:
    """The answer to text that cannot be read as rules."""
    line, column = (error.line, error.column) if isinstance(error, NotJson) else (None, None)
    problem = Problem(
        0, "", error.message, "no-json" if isinstance(error, Malformed) else "invalid"
    )
    return {
        "problems": [{**as_json(problem), "line": line, "column": column, "fix": None}],
        "rules": [],
        "access": {},
    }


def as_json(problem: Problem) -> dict[str, Any]:
    """A problem as JSON, for programs."""
    return {
        "rule": problem.rule,
        "path": problem.path,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
    }


def _problems(
    found: Sequence[Problem], rules: list[Any], places: list[tuple[int, int]]
) -> list[dict[str, Any]]:
    left = MAX_FIXES
    shown = []
    for problem in found[:MAX_PROBLEMS]:
        line, column = places[problem.rule - 1] if 0 < problem.rule <= len(places) else (None, None)
        fix = None
        if problem.fix is not None and left > 0:
            fixed = pretty(problem.fix.applied(rules), 2)
            left -= len(fixed)
            fix = {"label": problem.fix.label, "rules": fixed}
        shown.append({**as_json(problem), "line": line, "column": column, "fix": fix})
    if len(found) > MAX_PROBLEMS:
        more = Problem(
            0, "", f"… and {len(found) - MAX_PROBLEMS} more", "more", found[MAX_PROBLEMS].severity
        )
        shown.append({**as_json(more), "line": None, "column": None, "fix": None})
    return shown


def _places(text: str, rules: list[Any]) -> list[tuple[int, int]]:
    """The position of each rule in the text, as (line, column), counted from 1."""
    decoder = json.JSONDecoder()
    at = text.find("[") + 1
    found = []
    for _ in rules:
        while text[at] in " \t\n,":
            at += 1
        before = text.rfind("\n", 0, at)
        found.append((text.count("\n", 0, at) + 1, at - before))
        _, at = decoder.raw_decode(text, at)
    return found
