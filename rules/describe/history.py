"""The history of a list of rules, in words: the changes to rules, and what they let people do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rowkeeper.datasources.models import DataSource

from ..models import Revision
from ..repository.revisions import plain
from ..repository.rules import rules_of
from .diff import differences
from .escalation import closed, opened

# Longer lists show only their changes, since the consequences need a comparison of all pairs.
MAX_FOLLOWED = 60
# The most lines about changes. Lines about what people can do are never left out.
MAX_LINES = 12


@dataclass(frozen=True, slots=True)
class RevisionChanges:
    """A revision as a page shows it: the changes from the one before."""

    revision: Revision
    lines: list[str]
    more: int

    @property
    def who(self) -> str:
        """Who saved the revision, and how: in the admin, over the API or by a command."""
        origin = Revision.Origin(self.revision.origin).label
        name = self.revision.saved_by_name
        return f"{name}, through {origin}" if name else origin


def change(
    data_source: DataSource, before: Sequence[Any] | None, after: Sequence[Any]
) -> list[str]:
    """The differences between two lists of a data source's rules, and their consequences."""
    if before is None:
        return ["the first recorded revision"]
    before, after = plain(list(before)), plain(list(after))
    return [*differences(before, after), *_followed(data_source, before, after)]


def first_changes(
    data_source: DataSource, before: Sequence[Any], after: Sequence[Any]
) -> list[str]:
    """The first `MAX_LINES` lines of `change`."""
    return change(data_source, before, after)[:MAX_LINES]


def _followed(data_source: DataSource, before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    """What people can do under the new list but not under the old one, and the reverse."""
    if max(len(before), len(after)) > MAX_FOLLOWED:
        return []
    columns, secret = data_source.nameable_columns, data_source.secret_columns
    return [*opened(before, after, columns, secret), *closed(before, after, columns, secret)]


def history(
    data_source: DataSource, revisions: Sequence[Revision], count: int
) -> list[RevisionChanges]:
    """The first `count` of some revisions, newest first, each with its changes."""
    found = []
    for at, revision in enumerate(revisions[:count]):
        if at + 1 == len(revisions):
            found.append(RevisionChanges(revision, change(data_source, None, revision.rules), 0))
            continue
        before, after = plain(list(revisions[at + 1].rules)), plain(list(revision.rules))
        lines = differences(before, after)
        shown = [*lines[:MAX_LINES], *_followed(data_source, before, after)]
        found.append(RevisionChanges(revision, shown, max(len(lines) - MAX_LINES, 0)))
    return found


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two people have changed the rules at once: what the other saved, and what this one typed."""

    # The number of the stored revision, and that revision if it is known.
    number: int
    theirs: RevisionChanges | None
    changed: list[str]
    typed: list[str]

    @classmethod
    def of(cls, data_source: DataSource, base: Revision | None, typed: Sequence[Any]) -> Conflict:
        """Compare both changes with `base`, where they started; without it, with each other."""
        number, stored = data_source.revision, rules_of(data_source)
        last = Revision.objects.filter(data_source=data_source, number=number).first()
        return cls(
            number,
            None if last is None else RevisionChanges(last, [], 0),
            [] if base is None else first_changes(data_source, base.rules, stored),
            first_changes(data_source, stored if base is None else base.rules, typed),
        )
