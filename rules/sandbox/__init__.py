"""Script rules behind two walls: the language (`inside.policy`) and the process (`runner`)."""

from __future__ import annotations

from rules.engine.scripts import ScriptCall, ScriptVerdict

from .inside.policy import ScriptProblem, check
from .lookups import LookupFailed, Lookups
from .runner import run_script

__all__ = ["LookupFailed", "Lookups", "ScriptProblem", "check", "run"]


def run(call: ScriptCall, lookups: Lookups) -> ScriptVerdict:
    """Run a script rule in a worker process. Never raises: what goes wrong is in the verdict."""
    return run_script(call, lookups)
