"""What the linter knows about the data source and the site that a list of rules is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..engine.rule import Allow


@dataclass(frozen=True, slots=True)
class LintContext:
    """The columns of a data source, and the users, API tokens and apps of its site."""

    columns: tuple[str, ...] = ()
    # The columns that were created by writes of entries. Rules cannot name those with dots.
    written: frozenset[str] = frozenset()
    # Columns that are hidden from everyone, whatever the rules say.
    secret: frozenset[str] = frozenset()
    # Whether users of more than one kind can sign in.
    several_kinds: bool = False
    # The name of the data source if it is a sign-in data source; otherwise None.
    signs_in_as: str | None = None
    # The `allow` of rules of other data sources that test the user.
    elsewhere: tuple[Allow, ...] = ()
    # Every column that some user can have; None if that is not known.
    user_columns: frozenset[str] | None = None
    # Functions of ids: the API tokens that cannot authenticate, each with the reason, and the apps
    # that do not exist. None if that is not known.
    dead_tokens: Callable[[frozenset[int]], Mapping[int, str]] | None = None
    unknown_apps: Callable[[frozenset[int]], frozenset[int]] | None = None

    @property
    def declared(self) -> frozenset[str]:
        """The columns that an administrator declared."""
        return frozenset(self.columns) - self.written
