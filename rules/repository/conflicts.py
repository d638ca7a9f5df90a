"""Saving rules on top of another person's change that has not been seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.models import DataSource

from ..models import Revision
from .rules import rules_of

# Returns the differences between two lists of a data source's rules, in words.
Describe: TypeAlias = Callable[[DataSource, Sequence[Any], Sequence[Any]], list[str]]


class RulesChanged(Failure):
    """The rules are no longer those of the revision that a save is based on.

    `payload` has the number of the stored revision, and the changes since, in words.
    """

    code = "request.conflict"

    def __init__(self, expected: int, stored: int, changes: list[str]) -> None:
        if 0 < expected <= stored:
            message = (
                f"the rules have changed since revision {expected}, so nothing was saved: they "
                f"are now at revision {stored}"
            )
        else:
            message = (
                f"there is no revision {expected}, so nothing was saved: the rules are at "
                f"revision {stored}"
            )
        super().__init__(message)
        self.changes = changes
        self.payload = {"revision": stored, "changes": changes}


def require_revision(data_source: DataSource, expected: int, describe: Describe) -> None:
    """Check that the stored rules are still those of a revision. The data source must be locked.

    Raises `RulesChanged`, with the changes since, as `describe` returns them.
    """
    stored = DataSource.objects.values_list("revision", flat=True).get(pk=data_source.pk)
    if stored == expected:
        return
    base = Revision.objects.filter(data_source=data_source, number=expected).first()
    changes = [] if base is None else describe(data_source, base.rules, rules_of(data_source))
    raise RulesChanged(expected, stored, changes)
