"""Run the rule linter with this site's context: its sign-in data sources, columns and rules.

The editor, the API, imports and commands all use it, so that they report the same problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rowkeeper.accounts.providers.django_user import FIELDS
from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.permissions.rights import OBJECT_RIGHTS, having

from ..engine.parse import parse_rules
from ..engine.problems import Problem
from ..engine.rule import Allow
from ..models import AccessRule
from .context import LintContext
from .lint import check_rules
from .site_credentials import dead_tokens, unknown_apps
from .site_users import has_site_users

# The most rules of other data sources that are checked for tests of the user.
MAX_ELSEWHERE = 5_000


@dataclass(frozen=True, slots=True)
class Site:
    """Who can sign in to this site. Read once, for one list of rules or for all."""

    # {data source id: columns}, for the sign-in data sources.
    signs_in: dict[int, list[str]]
    # Whether Django's own users, who count as a kind, can sign in.
    site_users: bool

    @classmethod
    def now(cls) -> Site:
        """Read the current state, with two queries."""
        known = DataSource.objects.values_list("pk", "columns", "definition")
        found = {pk: names for pk, names, definition in known if login_of(definition) is not None}
        return cls(found, has_site_users())

    def around(
        self, data_source: DataSource | None, columns: Sequence[str] | None = None, user: Any = None
    ) -> LintContext:
        """The lint context of a data source's rules; the arguments are those of `check`.

        Makes at most two more queries, and one each for the API tokens and the apps that the rules
        name.
        """
        several = len(self.signs_in) > 1 or (len(self.signs_in) == 1 and self.site_users)
        user_columns = self._user_columns(user)
        dead = partial(dead_tokens, user)
        if data_source is None:
            return LintContext(
                tuple(columns or ()),
                several_kinds=several,
                user_columns=user_columns,
                dead_tokens=dead,
                unknown_apps=unknown_apps,
            )
        signs_in = data_source.pk in self.signs_in
        return LintContext(
            tuple(data_source.columns if columns is None else columns),
            frozenset(data_source.written_columns),
            frozenset(data_source.secret_columns),
            several,
            data_source.name if signs_in else None,
            _elsewhere(data_source, user) if signs_in else (),
            user_columns,
            dead,
            unknown_apps,
        )

    def _user_columns(self, user: Any) -> frozenset[str] | None:
        """The columns that users can have.

        None if they are not known, or if the result would disclose data sources that are hidden
        from `user`.
        """
        if not self.signs_in:
            return None
        if user is not None:
            sources = DataSource.objects.filter(pk__in=self.signs_in)
            if having(user, tuple(OBJECT_RIGHTS), sources).count() < len(self.signs_in):
                return None
        return frozenset(name for names in self.signs_in.values() for name in names).union(FIELDS)


def check(
    rules: Any,
    data_source: DataSource | None,
    columns: Sequence[str] | None = None,
    user: Any = None,
) -> list[Problem]:
    """All problems of a list of rules for a data source, which need not exist yet.

    `columns` are those that it will have. `user` is the person who sees the problems; None means
    that nothing has to be hidden.
    """
    return check_rules(rules, Site.now().around(data_source, columns, user))


def _elsewhere(data_source: DataSource, user: Any) -> tuple[Allow, ...]:
    """The `allow` of rules of other data sources that test the user.

    Rules that `user` may not see are left out: a warning would disclose the columns and the values
    that they test.
    """
    others = AccessRule.objects.exclude(data_source=data_source).exclude(enabled=False)
    if user is not None:
        seen = having(user, ("change_rules",), DataSource.objects.order_by())
        others = others.filter(data_source__in=seen.values("pk"))
    allows = others.filter(script=None).order_by().values_list("allow", flat=True).distinct()
    return tuple(_read(allows[:MAX_ELSEWHERE]))


def _read(allows: Iterable[Any]) -> list[Allow]:
    tests = [{"type": ["select"], "allow": allow} for allow in allows if isinstance(allow, dict)]
    return [
        rule.allow
        for test in tests
        for rule in parse_rules([test], ())[0]
        if rule.broken is None and rule.allow.kind == "user"
    ]
