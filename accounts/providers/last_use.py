"""When a credential was last used: written at most once a minute, and never in anyone's way."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import OperationalError, models

from datasources.db import atomic, connection

EVERY = timedelta(minutes=1)


def note_use(model: type[models.Model], column: str, key: int, now: datetime) -> None:
    """Write `now` into a column of one row, unless another request did within the last minute."""
    quote = connection.ops.quote_name
    table, name = quote(model._meta.db_table), quote(column)
    sql = f"UPDATE {table} SET {name} = %s WHERE id = %s AND ({name} IS NULL OR {name} < %s)"  # noqa: S608
    time = connection.ops.adapt_datetimefield_value
    try:
        with atomic(), connection.cursor() as cursor:
            cursor.execute(sql, [time(now), key, time(now - EVERY)])
    except OperationalError:
        # Another writer holds the database. The next request will say that the credential is used.
        return
