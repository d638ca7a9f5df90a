"""The server of `make run`: `python -m project.serve [--host HOST] [--port PORT]`.

waitress reads each request whole before a thread works on it, and buffers what a client is slow to
read. A client that sends slowly therefore costs a socket, not one of the threads, and only for so
long: what waitress itself limits is silence, so a channel of ours limits the whole time.
"""

from __future__ import annotations

import argparse
from time import monotonic

from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from project.settings import SCRIPT_NAME, TRUSTED_PROXIES
from project.wsgi import application
from rowkeeper.datasources.database.waiting import served_by

# Few of them compute at the same time. Most of the others are writers that wait for each other.
THREADS = 16
# The most connections at a time. One without traffic for `SILENCE` seconds is closed.
CONNECTIONS = 500
SILENCE = 30
# Seconds within which the headers of a request, and then all of it, must have arrived.
HEADER_SECONDS = 15
REQUEST_SECONDS = 120
# Bytes of a body: slightly more than the limits of the API and of an import in the admin.
MAX_BODY = 105_000_000


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection, which is closed if a request takes too long to arrive."""

    # When the first bytes of the request arrived that is being received.
    _began: float | None = None

    def received(self, data: bytes) -> bool:
        """Process the data that has arrived, and note when its request began."""
        taken: bool = super().received(data)
        if self.request is None:
            self._began = None
        elif self._began is None:
            self._began = monotonic()
        return taken

    def readable(self) -> bool:
        """Whether to read more. The server calls this at least once a second."""
        request = self.request
        if self._began is not None and request is not None:
            limit = REQUEST_SECONDS if request.headers_finished else HEADER_SECONDS
            if monotonic() - self._began > limit:
                self.will_close = True
        return bool(super().readable())


def main() -> None:
    """Serve the site until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    served_by(THREADS)
    sockets: dict[int, object] = {}
    server = create_server(
        application,
        sockets,
        host=options.host,
        port=options.port,
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=SILENCE,
        cleanup_interval=5,
        max_request_body_size=MAX_BODY,
        url_prefix=SCRIPT_NAME,
        # Without a proxy, only the client can have set them; with one, the site reads them itself.
        clear_untrusted_proxy_headers=not TRUSTED_PROXIES,
        ident=None,
    )
    # A host name can have several addresses. No connection is accepted before the server runs.
    for listener in sockets.values():
        if isinstance(listener, BaseWSGIServer):
            listener.channel_class = Channel
    server.run()


if __name__ == "__main__":
    main()
