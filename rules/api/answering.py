"""Read what a write answers, after the write has been stored.

A client that gets an error sends its request again. Therefore, nothing that happens after the end
of the transaction may turn a stored write into an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from rowkeeper.datasources.database.connection import atomic, connection

logger = logging.getLogger("rowkeeper.api")
# The key of an answer that says so.
ENTRIES_OMITTED, WARNINGS_OMITTED = "entriesOmitted", "warningsOmitted"
Found = TypeVar("Found")


def after_write(read: Callable[[], Found]) -> Found | None:
    """What `read` returns, or None if it fails; the failure is logged.

    Raises the failure if a transaction is still open that the failure has broken
    (`ATOMIC_REQUESTS`): then nothing is stored.
    """
    try:
        with atomic() if connection.in_atomic_block else nullcontext():
            return read()
    except Exception:
        if connection.in_atomic_block and connection.needs_rollback:
            raise
        logger.warning("the write was stored, but the response could not be read", exc_info=True)
        return None
