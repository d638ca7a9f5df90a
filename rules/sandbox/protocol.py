"""Calls and verdicts of script rules, as values. What runs them is passed in by the caller.

The engine does not know about workers; `rules.sandbox` runs the calls and enforces the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# Defined here because this module is below the rules that contain scripts.
Operation: TypeAlias = Literal["select", "insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of one script rule. All values are plain JSON, and are copied, never changed."""

    # The text of the function body, as it is stored and was checked when it was saved.
    source: str
    operation: Operation
    user: Mapping[str, Any] | None
    # A dict; or a list of dicts, for a commit and for a delete by query.
    query: Any
    # The script sees these under the same names: `{"id": 1, "data": {...}}`, and a list of those.
    entry: Mapping[str, Any] | None = None
    entries: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class ScriptVerdict:
    """The outcome of a run. `include` and `exclude` are as the script returned them."""

    granted: bool
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    # As the script left it; the very object that was sent if it is unchanged, and for a delete. It
    # only counts if `granted`, and has to be checked like a client's query.
    query: Any = None
    # The script raised, broke a limit or found no worker. This ends the evaluation with a denial.
    # One line for administrators, with the line number and the message.
    error: str | None = None
    # With `error`: no worker was available within the limits.
    busy: bool = False
    # With `error`: the script used more than it may, such as time or memory.
    broke_limit: bool = False
    # The output of `print`, up to the limit.
    printed: str = ""
    # One line for each look-up: the query, and the number of results.
    lookups: tuple[str, ...] = ()
    milliseconds: float = 0.0
    # Without a grant or an error: why the returned value does not grant.
    note: str = ""


@dataclass(slots=True)
class Budget:
    """The seconds that the scripts of one request have used, of those that they share."""

    used: float = 0.0


ScriptRun: TypeAlias = Callable[[ScriptCall], ScriptVerdict]


def NO_SCRIPTS(call: ScriptCall) -> ScriptVerdict:  # noqa: N802
    """For callers without workers: every script rule ends the evaluation with a denial."""
    return ScriptVerdict(False, error="there is no worker to run it")
