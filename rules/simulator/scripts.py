"""Run scripts for a user who tries out rules, with the workers that the API uses.

They can read only what that user may see, too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import may

from ..engine.decide import Ruleset
from ..repository.rules import rules_and_writers
from ..sandbox.protocol import NO_SCRIPTS, ScriptRun
from ..scripts.lookups import SEEING, LookupsOf
from ..scripts.run import Scripts


class LookupsBothMay(LookupsOf):
    """Look-ups in data sources that both the script's writer and the user who tries it may read."""

    def __init__(self, viewer: Any, writer_id: int | None) -> None:
        super().__init__(writer_id)
        self._viewer = viewer

    def _may_read(self, source_id: int, writer_id: int) -> bool:
        model = DataSource(pk=source_id)
        seen = any(may(self._viewer, right, model) for right in SEEING)
        return seen and super()._may_read(source_id, writer_id)


def scripts_for(user: Any, source_id: int, ruleset: Ruleset) -> ScriptRun:
    """What runs the scripts of a list of rules. The user counts as the writer of new scripts."""
    if not ruleset.has_scripts:
        return NO_SCRIPTS
    writers = rules_and_writers(source_id)[1]
    return Scripts(writers, user.pk, partial(LookupsBothMay, user), source_id)
