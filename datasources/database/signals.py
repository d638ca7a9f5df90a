"""The receivers both before and after the change each request of the site, and for new connections.

Each signal has one receiver here, because each receiver costs every request. `connection_created`
is also sent for a connection from a pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created

from .features import POSTGRESQL, SQLITE, features_of
from .health import replace_broken
from .waiting import begin, bound, end


def install(prepare_sqlite: Callable[[Any], None], after_request: Callable[[], None]) -> None:
    """Connect the receivers. Called once, when the app is ready.

    `prepare_sqlite` is called with each new SQLite connection, and `after_request` after each
    request.
    """

    def finished(**kwargs: object) -> None:
        end()
        after_request()

    def connected(connection: Any, **kwargs: object) -> None:
        features = features_of(connection)
        if features is SQLITE:
            prepare_sqlite(connection)
        elif features is POSTGRESQL:
            bound(connection)

    request_started.connect(started, dispatch_uid="rowkeeper-started")
    # Nothing else refers to these two, and a signal's references are weak by default.
    request_finished.connect(finished, weak=False, dispatch_uid="rowkeeper-finished")
    connection_created.connect(connected, weak=False, dispatch_uid="rowkeeper-connected")


def started(environ: Any = None, **kwargs: object) -> None:
    """Receive `request_started`."""
    replace_broken()
    begin(environ)
