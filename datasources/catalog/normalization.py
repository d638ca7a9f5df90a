"""Normalizes addresses and passwords to Unicode's composed form, NFC, as RFC 8265 requires.

An `ä` can be one character, or an `a` and a combining mark. Keyboards and systems differ in which
of the two they send, and the difference is invisible. Addresses are composed before rules see them
and before they are stored, and are compared in composed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import is_normalized

from django.db.backends.base.base import BaseDatabaseWrapper

from ..database.features import POSTGRESQL, features_of
from ..values.codec import path_of
from ..values.validation import composed
from .registry import Source

_ENTRIES = "rowkeeper_datasources_entry"


def composed_row(source: Source, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with its address composed, if it is a row of a sign-in data source."""
    column = None if source.login is None else source.login.email_column
    address = None if column is None else row.get(column)
    if column is None or not isinstance(address, str) or address.isascii():
        return row if row.__class__ is dict else dict(row)
    return {**row, column: composed(address)}


def compose_stored(using: BaseDatabaseWrapper, source_id: int, column: str) -> None:
    """Compose the stored addresses in a column of a data source."""
    with using.cursor() as cursor:
        if features_of(using) is POSTGRESQL:
            cursor.execute(
                f"UPDATE {_ENTRIES} SET data=jsonb_set(data,ARRAY[%s],"
                "to_jsonb(normalize(data->>%s,NFC))) WHERE data_source_id=%s "
                "AND jsonb_typeof(data->%s)='string' AND data->>%s IS NOT NFC NORMALIZED",
                [column, column, source_id, column, column],
            )
            return
        path = path_of(column)
        cursor.execute(
            f"SELECT id,json_extract(data,%s) FROM {_ENTRIES} "
            "WHERE data_source_id=%s AND json_type(data,%s)='text'",
            [path, source_id, path],
        )
        changed = [
            (path, composed(address), key)
            for key, address in cursor.fetchall()
            if not is_normalized("NFC", address)
        ]
        # `json_set` does not change the digits of numbers.
        cursor.executemany(f"UPDATE {_ENTRIES} SET data=json_set(data,%s,%s) WHERE id=%s", changed)
