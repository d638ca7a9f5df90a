"""Checks for API tokens and apps that rules name but that let nobody in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowkeeper.datasources.values.validation import join_some

from ..engine.problems import Problem
from ..engine.rule import Rule
from .context import LintContext

# The most ids that are looked up. If a list names more, the others are not checked.
MAX_NAMED = 1_000


def credential_problems(rules: Sequence[Rule], place: LintContext) -> Iterator[Problem]:
    """The problems of enabled, valid rules; none if the context does not know the credentials.

    A script rule has no `allow`, but its `appId` counts.
    """
    valid = [rule for rule in rules if rule.enabled and rule.broken is None]
    tokens = {n for rule in valid if rule.script is None for n in rule.allow.tokens}
    apps = {number for rule in valid for number in rule.app_ids or ()}
    dead = place.dead_tokens(_some(tokens)) if place.dead_tokens and tokens else {}
    unknown = place.unknown_apps(_some(apps)) if place.unknown_apps and apps else frozenset()
    for rule in valid:
        if rule.script is None and (found := sorted(dead.keys() & rule.allow.tokens)):
            texts = [f"API token {number} {dead[number]}" for number in found]
            yield Problem(
                rule.position,
                "allow.tokens",
                f"{join_some(texts)}: no request can use it; remove the ID, or replace it with "
                "the ID of a token in use",
                "token-not-in-use",
                "warning",
            )
        if gone := sorted(unknown & (rule.app_ids or frozenset())):
            yield Problem(
                rule.position,
                "appId",
                f"there is no app {join_some([str(n) for n in gone])}: no request belongs to it",
                "unknown-app",
                "warning",
            )


def _some(numbers: set[int]) -> frozenset[int]:
    return frozenset(sorted(numbers)[:MAX_NAMED])
