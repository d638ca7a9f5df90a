"""Script rules behind two walls: the language (`worker.policy`) and the process (`runner`)."""

from __future__ import annotations

from rowkeeper.rules.sandbox.protocol import Budget, ScriptCall, ScriptVerdict

from .lookups import LookupFailed, Lookups
from .runner import run_script
from .worker.policy import ScriptProblem, check

__all__ = ["LookupFailed", "Lookups", "ScriptProblem", "check", "run"]


def run(
    call: ScriptCall,
    lookups: Lookups,
    source_id: int | None = None,
    budget: Budget | None = None,
) -> ScriptVerdict:
    """Run a script rule in a worker process. Never raises: what goes wrong is in the verdict.

    `source_id`: the data source of the rule, whose scripts have a share of the workers.
    `budget`: what the scripts of the request have used of the seconds that they share.
    """
    return run_script(call, lookups, source_id, budget)
