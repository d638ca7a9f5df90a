"""Checks of a rule's lists: lists that exclude each other, empty lists, unknown columns."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any

from rowkeeper.datasources.values.validation import printable

from ..engine.problems import CheckCode, Fix, Problem, Severity
from ..engine.rule import Rule
from .context import LintContext

# The most names that are reported for one rule, and the most for which a similar one is suggested.
MAX_NAMES = 10
MAX_GUESSES = 30


def list_problems(raw: dict[str, Any], rule: Rule) -> Iterator[Problem]:
    """The probable mistakes in the lists of one rule."""
    if rule.script is not None:
        yield from _no_app(raw, rule)
        return
    if "include" in raw and "exclude" in raw:
        yield _problem(
            rule,
            "exclude",
            "both-lists",
            "the rule also has `include`, which takes precedence: this list hides nothing",
            fix=_dropped(raw, rule, "exclude"),
        )
    elif raw.get("exclude") == []:
        yield _problem(
            rule,
            "exclude",
            "empty-list",
            "is empty and hides nothing",
            "info",
            _dropped(raw, rule, "exclude"),
        )
    if raw.get("include") == []:
        yield _problem(rule, "include", "empty-list", "is empty, so the rule shows no column")
    if raw.get("require") == []:
        yield _problem(
            rule,
            "require",
            "empty-list",
            "is empty and requires nothing",
            "info",
            _dropped(raw, rule, "require"),
        )
    yield from _no_app(raw, rule)


def _no_app(raw: dict[str, Any], rule: Rule) -> Iterator[Problem]:
    if raw.get("appId") == []:
        fix = Fix(f"remove rule {rule.position}", rule.position, None)
        yield _problem(
            rule,
            "appId",
            "empty-list",
            "is empty and matches no app, so the rule never grants a request",
            fix=fix,
        )
    elif rule.script is None and rule.app_ids is not None and rule.allow.kind == "all":
        yield _problem(
            rule,
            "appId",
            "app-without-login",
            "a request without a login or an API token does not belong to an app, so this rule "
            "never applies to it; name other callers in `allow`, or remove `appId`",
        )


def _problem(
    rule: Rule,
    path: str,
    code: CheckCode,
    message: str,
    severity: Severity = "warning",
    fix: Fix | None = None,
) -> Problem:
    return Problem(rule.position, path, message, code, severity, fix)


def _dropped(raw: dict[str, Any], rule: Rule, name: str) -> Fix:
    left = {key: value for key, value in raw.items() if key != name}
    return Fix(f"remove `{name}`", rule.position, left)


class UnknownColumns:
    """Finds columns that rules name but that do not exist, and suggests similar ones."""

    def __init__(self, place: LintContext) -> None:
        self._columns = frozenset(place.columns) | place.secret
        self._users = place.user_columns
        self._guesses = MAX_GUESSES

    def problems(self, raw: dict[str, Any], rule: Rule) -> Iterator[Problem]:
        """The unknown columns of one rule."""
        if rule.script is not None:
            return
        found = self._in_lists(raw) if self._columns else iter(())
        for path, name in islice(found, MAX_NAMES):
            text = f"there is no column `{printable(name)}`{self._meant(name)}"
            yield _problem(rule, path, "unknown-column", text)
        for path, name in islice(self._on_user(rule), MAX_NAMES):
            text = f"no user has a column `{printable(name)}`"
            yield _problem(rule, path, "unknown-column", text)

    def _in_lists(self, raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for key in ("include", "exclude", "require"):
            for at, item in enumerate(raw.get(key, ())):
                for name in item if isinstance(item, dict) else (item,):
                    if name not in self._columns:
                        below = f".{printable(name)}" if isinstance(item, dict) else ""
                        yield f"{key}[{at}]{below}", name

    def _on_user(self, rule: Rule) -> Iterator[tuple[str, str]]:
        if self._users is None:
            return
        for name in dict.fromkeys(test.column for test in rule.allow.conditions):
            if name not in self._users:
                yield f"allow.user.{printable(name)}", name

    def _meant(self, name: str) -> str:
        """A suggestion of a similar column. Finding one takes time, so their number is limited."""
        if self._guesses <= 0:
            return ""
        self._guesses -= 1
        by_folded_name = {column.casefold(): column for column in sorted(self._columns)}
        like = get_close_matches(name.casefold(), by_folded_name, 1, 0.75)
        return f"; did you mean `{printable(by_folded_name[like[0]])}`?" if like else ""
