"""Why a rule granted or did not, in words for the administrators of the data source.

Reasons are made when the rules are compiled, so that the trace adds no cost to a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Ran:
    """What a script did, for the administrators of the data source."""

    milliseconds: float = 0.0
    lookups: tuple[str, ...] = ()
    printed: str = ""
    # The columns and keys that it changed in `query`; for a select, the where that it left if any
    # did.
    changed: tuple[str, ...] = ()
    where: Any = None
    # The columns that it included or excluded, if it did.
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """`code` for programs, `text` for people; `final` ends the evaluation."""

    code: str
    text: str
    final: bool = False
    script: Ran | None = None

    def of(self, ran: Ran) -> Reason:
        """This reason, with the report of the script that it is about."""
        return replace(self, script=ran)


@dataclass(frozen=True, slots=True)
class TraceLine:
    """The outcome of one rule in one decision."""

    position: int
    name: str
    code: str
    text: str
    # Set if the rule is a script that was run.
    script: Ran | None = None

    def __str__(self) -> str:
        title = f" ({self.name})" if self.name else ""
        return f"rule {self.position}{title}: {self.text}"


GRANTED: Final = Reason("granted", "grants")
DISABLED: Final = Reason("disabled", "is disabled")
OTHER_TYPE: Final = Reason("type", "does not apply to this operation")
NOT_REACHED: Final = Reason("unreached", "was not evaluated")
OTHER_APP: Final = Reason("app", "applies to other apps")
NOBODY: Final = Reason("allow", "applies to signed-in users; the request is anonymous")
OTHER_TOKEN: Final = Reason("allow", "applies to other API tokens")
SCRIPT: Final = Reason("script", "is a script and did not grant the request")
NOT_ON_ENTRY: Final = Reason("script", "is a script, and the entry does not meet its condition")

# Reasons if no rule was evaluated, for each rule that is for the caller.
ABSENT: Final = Reason("absent", "applies to the caller, but the entry does not exist")
ADDRESS: Final = Reason(
    "address", "applies to the caller, but another row has the email address that was sent"
)
JOIN: Final = Reason("join", "applies to the caller, but a joined data source denies them")


def broken(problem: str) -> Reason:
    """The stored rule is not valid."""
    return Reason("invalid", f"is not valid, which ends the evaluation: {problem}", final=True)


def does_not_grant(note: str) -> Reason:
    """The script ended without a grant; `note` says why its return value is not one."""
    return Reason("script", f"is a script: {note}") if note else SCRIPT


def failed(error: str, busy: bool = False, broke_limit: bool = False) -> Reason:
    """The script raised, broke a limit, found no free worker, or left a query that cannot run."""
    code = "busy" if busy else "script-limit" if broke_limit else "script-error"
    return Reason(code, f"is a script that failed, which ends the evaluation: {error}", final=True)


def hidden(name: str) -> Reason:
    """A clause names a column that the rule hides."""
    return Reason("hidden", f"hides `{name}`, which the request names")


def closed(column: str) -> Reason:
    """The data has a column that the rule does not open for writing."""
    return Reason("column", f"does not allow writes to `{column}`; the request is denied", True)


def new_column(column: str) -> Reason:
    """A caller without a credential would create a column."""
    return Reason(
        "column",
        f"there is no column `{column}`, and callers without a credential cannot add columns; "
        "the request is denied",
        final=True,
    )


def undeclared(column: str) -> Reason:
    """A row of a sign-in data source can have declared columns only."""
    return Reason(
        "column", f"`{column}` is not among the columns; the request is denied", final=True
    )


def rejected(reason: Reason) -> Reason:
    """A requirement on the submitted data is not met, so that no later rule is tried."""
    return Reason(reason.code, f"{reason.text}; the request is denied", final=True)


NOT_ALONE: Final = Reason(
    "batch",
    "would grant the request for all entries, but an earlier rule decides differently for one "
    "of them; the request is denied",
    final=True,
)
UNREADABLE: Final = Reason(
    "select", "would grant the request, but the caller is not granted a select with the same where"
)
