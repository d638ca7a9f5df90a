"""What is wrong with a list of rules, or most likely not meant: one kind of finding, wherever it is
told (the editor, the API, commands), and what would mend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# An error is refused by a save, a warning is told after it, an info is worth knowing.
Severity: TypeAlias = Literal["error", "warning", "info"]
# The checks of valid rules. A test tries each one of them against brute force.
CheckCode: TypeAlias = Literal[
    "any-kind-of-user",
    "any-record",
    "app-without-login",
    "both-lists",
    "empty-list",
    "hidden-and-writable",
    "nobody",
    "required-and-hidden",
    "script-ignores-entry",
    "script-no-return",
    "self-promotion",
    "sensitive",
    "stops-later",
    "template-in-allow",
    "token-not-in-use",
    "unknown-app",
    "unknown-column",
    "unreachable",
]
Code: TypeAlias = (
    CheckCode
    | Literal["invalid", "no-json", "more", "unknown-name"]
    | Literal["script-over-limit", "script-writer-unknown"]
)


@dataclass(frozen=True, slots=True)
class Fix:
    """A change to one rule that removes a problem, and lets nobody do more than before.

    `becomes` None: the rule goes.
    """

    label: str
    rule: int
    becomes: dict[str, Any] | None

    def applied(self, rules: Sequence[Any]) -> list[Any]:
        """The list as it is after the change."""
        mended = [] if self.becomes is None else [self.becomes]
        return [*rules[: self.rule - 1], *mended, *rules[self.rule :]]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a list of rules: about rule `rule` (from 1; 0: the list), at `path`.

    `code` is for programs.
    """

    rule: int
    path: str
    message: str
    code: Code = "invalid"
    severity: Severity = "error"
    fix: Fix | None = None

    def __str__(self) -> str:
        if not self.rule:
            return self.message
        return f"rule {self.rule}{f', `{self.path}`' if self.path else ''}: {self.message}"
