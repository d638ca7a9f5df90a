"""The sandbox of script rules: a restricted language (`worker.policy`) and a process (`runner`)."""

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
    """Run a script rule in a worker process. Never raises: failures are in the verdict.

    `source_id`: the data source of the rule, which has a limited share of the workers.
    `budget`: the seconds that the scripts of the request have used of those that they share.
    """
    return run_script(call, lookups, source_id, budget)
