"""What the checks know of the place that a list of rules is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..engine.rule import Allow


@dataclass(frozen=True, slots=True)
class LintContext:
    """A data source as it is: its columns, who signs in against it, who can sign in at all."""

    columns: tuple[str, ...] = ()
    # Of these, the columns that only writes of entries made. Rules cannot name the dotted ones.
    written: frozenset[str] = frozenset()
    # Columns that nobody sees, whatever the rules say.
    secret: frozenset[str] = frozenset()
    # Users of more than one kind can sign in.
    several_kinds: bool = False
    # The name of the data source, if people sign in against it; else None.
    signs_in_as: str | None = None
    # Whom the rules of other data sources let in by what they know of the user.
    elsewhere: tuple[Allow, ...] = ()
    # Every column that some user can have; None where that is not known.
    user_columns: frozenset[str] | None = None
    # Of some API tokens, those that authenticate nobody, with what to say; of some apps, those that
    # do not exist. None where that is not known.
    dead_tokens: Callable[[frozenset[int]], Mapping[int, str]] | None = None
    unknown_apps: Callable[[frozenset[int]], frozenset[int]] | None = None

    @property
    def declared(self) -> frozenset[str]:
        """The columns that an administrator declared."""
        return frozenset(self.columns) - self.written
