"""How database failures are handled: which errors are failures, and how to replace a connection.

A connection that the server has closed, such as in a restart, is detected before a request uses it,
and replaced. If it breaks during a request, a read is tried once more (`rules.api.base`); a write
is not, because it could have been stored.
"""

from __future__ import annotations

import select
from contextlib import suppress
from typing import Any

from django.db import Error, InterfaceError, OperationalError

from ..errors import Busy
from .connection import database, features
from .features import features_of

# PostgreSQL's SQLSTATEs: deadlock, serialization failure, lock not available, too many connections.
_BUSY = ("40P01", "40001", "55P03", "53300")
# The statement was cancelled, by a time limit or by an administrator.
_CANCELLED = "57014"
# The server accepts no writes: after a failover the site may be connected to a standby.
_READ_ONLY = "25006"
# The session has ended: it was terminated, or the server crashed or is shutting down.
_ENDED = ("57P01", "57P02", "08000", "08003", "08006")
# Not a failure of the server: the statement exceeds its limits.
_TOO_COMPLEX = "54"
# SQLite's errors differ only in their texts.
_SQLITE_BUSY = ("database is locked", "database table is locked", "interrupted")
_SQLITE_FAILED = (
    "disk is full",
    "disk i/o error",
    "unable to open database file",
    "readonly database",
    "out of memory",
)
_NO_CONNECTION = ("connection failed", "connection is bad", "connection timeout", "failed to")


class Unavailable(Busy):
    """The database failed. It has been logged, in one line."""


def failure_of_database(error: BaseException) -> Busy | None:
    """Return what an error says about the state of the database, or None if it says nothing.

    Errors in the statement or its data are bugs in the program, for which this returns None.
    """
    if not isinstance(error, Error):
        return None
    if was_cancelled(error):
        return Busy("the database took too long; send a smaller query, or try again later")
    if _is_busy(error):
        return Busy("the database is busy; try again later")
    if _has_failed(error):
        return Unavailable("the database is not available; try again later")
    return None


def was_cancelled(error: Error) -> bool:
    """Whether PostgreSQL has cancelled the statement, usually by its `statement_timeout`."""
    return _state(error) == _CANCELLED


def _is_busy(error: Error) -> bool:
    text = str(error).lower()
    return (
        _state(error) in _BUSY
        or any(part in text for part in _SQLITE_BUSY[:2])
        or text == _SQLITE_BUSY[2]
        or type(error.__cause__).__name__ in ("PoolTimeout", "TooManyRequests")
    )


def _has_failed(error: Error) -> bool:
    if not features().is_server:
        text = str(error).lower()
        return isinstance(error, OperationalError) and any(part in text for part in _SQLITE_FAILED)
    state = _state(error)
    if isinstance(error, OperationalError | InterfaceError):
        return not state.startswith(_TOO_COMPLEX)
    return state == _READ_ONLY


def _state(error: Error) -> str:
    return str(getattr(error.__cause__, "sqlstate", None) or "")


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke while it was in use.

    This is false for a connection that could not be opened, because a new attempt right away would
    fail as well.
    """
    if not isinstance(error, OperationalError | InterfaceError) or not features().is_server:
        return False
    if type(error.__cause__).__name__ in ("PoolTimeout", "TooManyRequests", "ConnectionTimeout"):
        return False
    state = _state(error)
    return state in _ENDED or (not state and not str(error).startswith(_NO_CONNECTION))


def renew() -> None:
    """Close the broken connection, so that the next use opens a new one; check those of a pool."""
    using = database()
    using.close()
    pool: Any = getattr(using, "pool", None)
    if pool is not None:
        pool.check()


def replace_broken() -> None:
    """Close this thread's connection if the server has closed it. Called before each request.

    If an idle connection has something to read, it is either the end of the connection or a notice.
    A system call shows that, so requests need no statement for it; a statement is only sent if
    there is something to read.
    """
    using = database()
    held: Any = using.connection
    if held is None or not features_of(using).is_server or using.in_atomic_block:
        return
    if _has_something(held) and not using.is_usable():
        using.close()


def _has_something(held: Any) -> bool:
    if held.closed:
        return True
    # The socket stays the same as long as the connection is open.
    waiting = getattr(held, "_rowkeeper_poll", None)
    if waiting is None:
        waiting = select.poll()
        waiting.register(held.fileno(), select.POLLIN)
        with suppress(AttributeError):  # the connections of some drivers take no attributes
            held._rowkeeper_poll = waiting
    return bool(waiting.poll(0))
