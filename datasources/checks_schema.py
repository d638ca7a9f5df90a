"""System checks of what the database holds: `manage.py check --database default`."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Tags, Warning, register

from .db import alias, database
from .indexing.build import invalid
from .pgfunctions import different


@register(Tags.database)
def check_functions(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Are PostgreSQL's functions those of this release?

    A warning and not an error, because `migrate` runs this check before it makes them.
    """
    if alias() not in (databases or ()):
        return []
    return [
        Warning(
            f"The database `{alias()}` has {'another' if is_there else 'no'} function `{name}`; "
            "queries that need it fail or find other rows.",
            hint="Run `manage.py migrate`: it makes what is missing or different.",
            id="rowkeeper.W020",
        )
        for name, is_there in different(database()).items()
    ]


@register(Tags.database)
def check_indexes(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Was the building of an index cut short?"""
    if alias() not in (databases or ()):
        return []
    return [
        Warning(
            f"The index `{name}` is invalid: PostgreSQL does not use it, and writes keep it up to "
            "date all the same. It is left from a crash, or is being built at this moment.",
            hint="Run `manage.py indexes --build`: it makes the index again.",
            id="rowkeeper.W021",
        )
        for name in invalid()
    ]
