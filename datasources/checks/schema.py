"""System checks of the database's content: `manage.py check --database default`."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Tags, Warning, register

from ..conf import setting
from ..database.connection import alias, connection, database
from ..indexes.build import invalid
from ..indexes.postgresql_functions import different
from ..models import DataSource


@register(Tags.database)
def check_functions(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that PostgreSQL's functions are those of this release.

    This is a warning rather than an error, because `migrate` runs this check before it creates
    them.
    """
    if alias() not in (databases or ()):
        return []
    return [
        Warning(
            f"The database `{alias()}` has {'another' if is_there else 'no'} function `{name}`; "
            "queries that need it fail or find wrong rows.",
            hint="Run `manage.py migrate`: it creates missing functions and replaces changed ones.",
            id="rowkeeper.W020",
        )
        for name, is_there in different(database()).items()
    ]


@register(Tags.database)
def check_indexes(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that no index was left unfinished."""
    if alias() not in (databases or ()):
        return []
    return [
        Warning(
            f"The index `{name}` is invalid: PostgreSQL does not use it, but writes still "
            "update it. It is left over from a crash, or it is being built at the moment.",
            hint="Run `manage.py indexes --build`: it rebuilds the index.",
            id="rowkeeper.W021",
        )
        for name in invalid()
    ]


@register(Tags.database)
def check_marks(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that not too many columns have an index, because each makes inserts slower."""
    from ..indexes.marks import marks

    if alias() not in (databases or ()) or not _has_table():
        return []
    found, most = marks(), setting("MAX_INDEXES")
    if found <= most:
        return []
    return [
        Warning(
            f"{found} columns of all data sources are marked as indexed, more than the limit of "
            f"{most} (`MAX_INDEXES`). Every insert on the site evaluates the condition of each "
            "index.",
            hint="Unmark columns that do not need an index (`manage.py indexes SOURCE --unmark "
            "COLUMN`), or raise `MAX_INDEXES` in `ROWKEEPER`.",
            id="rowkeeper.W022",
        )
    ]


def _has_table() -> bool:
    """Whether the table has all its columns; `migrate` runs checks before it creates them."""
    model = DataSource._meta
    with connection.cursor() as cursor:
        if model.db_table not in connection.introspection.table_names(cursor):
            return False
        columns = connection.introspection.get_table_description(cursor, model.db_table)
    return {field.column for field in model.local_fields} <= {column.name for column in columns}
