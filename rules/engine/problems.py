"""Problems of a list of rules: errors, and what is most likely not meant.

The editor, the API and the commands show the same findings, with fixes where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# A save refuses an error, and shows a warning after it; an info is only worth knowing.
Severity: TypeAlias = Literal["error", "warning", "info"]
# The checks of valid rules. A test verifies each of them by brute force.
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
    """A change to one rule that removes a problem, and does not let anybody do more than before.

    `becomes` None: the rule is removed.
    """

    label: str
    rule: int
    becomes: dict[str, Any] | None

    def applied(self, rules: Sequence[Any]) -> list[Any]:
        """The list of rules after the change."""
        replacement = [] if self.becomes is None else [self.becomes]
        return [*rules[: self.rule - 1], *replacement, *rules[self.rule :]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a list of rules: of rule `rule`, or of the list if it is 0, at `path`.

    Rules are numbered from 1. `code` is for programs.
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
