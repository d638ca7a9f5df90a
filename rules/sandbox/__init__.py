"""Script rules behind two walls: the language (`inside.policy`) and the process (`runner`)."""

from __future__ import annotations

import math

from rules.engine.scripts import ScriptCall, ScriptVerdict

from .inside.policy import ScriptProblem, check
from .lookups import LookupFailed, Lookups
from .runner import run_script

__all__ = ["LookupFailed", "Lookups", "ScriptProblem", "check", "run"]


def run(
    call: ScriptCall,
    lookups: Lookups,
    source_id: int | None = None,
    seconds_left: float = math.inf,
) -> ScriptVerdict:
    """Run a script rule in a worker process. Never raises: what goes wrong is in the verdict.

    `source_id`: the data source of the rule, whose scripts have a share of the workers.
    `seconds_left`: of what all scripts of the request have together.
    """
    return run_script(call, lookups, source_id, seconds_left)
