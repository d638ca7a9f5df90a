"""What a script rule is asked and what it answers: values alone. Whoever runs it is handed in.

The engine knows no worker; `rules.sandbox` runs the call and keeps every limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# Defined here, as scripts are below the rules that have them.
Operation: TypeAlias = Literal["select", "insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of one script rule. All of it is plain JSON, and is copied: nothing is changed."""

    # The text of the function body, as it is stored and was checked at save.
    source: str
    operation: Operation
    user: Mapping[str, Any] | None
    # A dict, or a list of dicts: of a commit, and of a delete by query.
    query: Any
    # What the script sees under these names: `{"id": 1, "data": {...}}`, and a list of those.
    entry: Mapping[str, Any] | None = None
    entries: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class ScriptVerdict:
    """What came of a run. `include` and `exclude` are as the script gave them, lists of text."""

    granted: bool
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    # As the script left it, the very object that was sent if it is untouched; of a delete always
    # that. It has a meaning only where `granted`, and is to be checked like a client's.
    query: Any = None
    # It raised, broke a limit or found no worker: this ends the evaluation, denied. One line that
    # names the line and the message, for administrators.
    error: str | None = None
    # With `error`: no worker could be had within the bound.
    busy: bool = False
    # With `error`: it used more than it may, such as time or memory.
    broke_limit: bool = False
    # What it printed, bounded.
    printed: str = ""
    # One line each: what was asked, and how many came back.
    lookups: tuple[str, ...] = ()
    milliseconds: float = 0.0
    # Without a grant and without an error: why what it returned grants nothing.
    note: str = ""


@dataclass(slots=True)
class Budget:
    """The seconds that the scripts of one request have used, of what they have together."""

    used: float = 0.0


ScriptRun: TypeAlias = Callable[[ScriptCall], ScriptVerdict]


def NO_SCRIPTS(call: ScriptCall) -> ScriptVerdict:  # noqa: N802
    """For whoever has no workers: every script rule ends the evaluation, denied."""
    return ScriptVerdict(False, error="there is no worker to run it")
