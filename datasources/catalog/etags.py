"""Tags that change with every write of an entry or a data source, for `ETag` and `If-Match`.

A tag is made from times and random numbers only. So it shows that something has changed, possibly a
column that the caller cannot see, but reveals nothing about any value.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from ..models import DataSource

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def entry_tag(updated_at: datetime) -> str:
    """Return the tag of an entry that was last written at this time.

    The store writes each entry under a lock, and never twice with the same time.
    """
    return f"{(updated_at - _EPOCH) // _MICROSECOND:x}"


def source_tag(model: DataSource) -> str:
    """Return the tag of a data source in the state of the model: its fields, and its rules."""
    written = (model.updated_at - _EPOCH) // _MICROSECOND
    return sha256(f"{model.rules_tag} {written}".encode()).hexdigest()[:32]
