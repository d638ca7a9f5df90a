"""How one rule judges an update of one or many entries.

One rule must grant the whole update. A rule is skipped if the stored side of its conditions does
not hold on every entry. On the entries where it holds, it still decides what an update of that
entry alone could do: without this, one unrelated entry in a commit would switch the rule off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rowkeeper.accounts.identity import Identity
from rowkeeper.datasources.values.validation import same

from . import reasons
from .column_checks import first_undeclared, first_unwritable_on_update, written_row
from .decision import Granted
from .reasons import Reason
from .requests import Change, Update
from .require import stored_side, unmet_by_stored, unmet_by_submitted
from .rule import Rule
from .ruleset import Ruleset

Row = dict[str, Any]


@dataclass(slots=True)
class UpdateJudge:
    """Judges one update under each rule in turn, and remembers the rules that were skipped.

    `shown` has one function for each change: whether a select shows the caller a column of it.
    """

    ruleset: Ruleset
    identity: Identity
    request: Update
    shown: Sequence[Callable[[str], bool]]
    # By the index of an entry: the row that the first skipped rule which holds on the entry would
    # have written.
    alone: dict[int, Row] = field(default_factory=dict)

    def judge(self, rule: Rule) -> Reason | Granted:
        """What a rule without a script decides."""
        side = stored_side(rule, self.identity.user)
        if isinstance(side, Reason):
            # A condition that cannot be rendered holds on no entry.
            return side
        unmet = [unmet_by_stored(side, change.stored) for change in self.request.changes]
        skipped = next((reason for reason in unmet if reason is not None), None)
        rows = {}
        for at, reason in enumerate(unmet):
            if reason is None:
                row = self._row(rule, at)
                if isinstance(row, Reason):
                    return row
                rows[at] = row
        if skipped is None:
            return self.checked(Granted(rows=tuple(rows.values())))
        self.alone = {**rows, **self.alone}
        return skipped

    def checked(self, verdict: Reason | Granted) -> Reason | Granted:
        """The verdict; a denial if it grants another row than an entry alone could be given."""
        if isinstance(verdict, Granted):
            for at, row in self.alone.items():
                if not same(row, verdict.rows[at]):
                    return replace(reasons.NOT_ALONE, script=verdict.note.script)
        return verdict

    def _row(self, rule: Rule, at: int) -> Row | Reason:
        """The row to store; the reason if the rule, which is about this entry, denies it."""
        change, visible = self.request.changes[at], self.shown[at]
        row = written_row(rule.columns, change, visible, self.request.replaces)
        reason = unmet_by_submitted(rule, change.submitted, row, self.identity.user, inserts=False)
        if reason is not None:
            return reasons.rejected(reason)
        return self._closed(rule, change, visible) or row

    def _closed(self, rule: Rule, change: Change, visible: Callable[[str], bool]) -> Reason | None:
        """The first column of the change that the rule does not let the caller write."""
        return first_undeclared(
            self.ruleset, self.identity, change.submitted, change.stored
        ) or first_unwritable_on_update(rule.columns, change, visible, rule.pinned_on_update)
