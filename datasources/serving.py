"""What happens before and after each request of the site, and when it gets a connection.

Each signal has one receiver here, because each receiver costs every request. `connection_created`
is sent for a connection out of a pool, too.
"""

from __future__ import annotations

from typing import Any

from .functions import register
from .health import replace_broken
from .indexing.wanted import wake
from .waiting import begin, bound, end


def started(environ: Any = None, **kwargs: object) -> None:
    """Receives `request_started`."""
    replace_broken()
    begin(environ)


def finished(**kwargs: object) -> None:
    """Receives `request_finished`."""
    end()
    wake()


def connected(connection: Any, **kwargs: object) -> None:
    """Receives `connection_created`."""
    if connection.vendor == "sqlite":
        register(connection)
    elif connection.vendor == "postgresql":
        bound(connection)
