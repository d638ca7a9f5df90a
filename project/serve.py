"""The server of `make run`: `python -m project.serve [--host HOST] [--port PORT]`.

waitress reads each request whole before a thread works on it, and buffers what a client is slow to
read. A client that sends slowly therefore costs a socket, not one of the threads.
"""

from __future__ import annotations

import argparse

from waitress import serve

from project.settings import SCRIPT_NAME
from project.wsgi import application

THREADS = 8
# At most so many connections at a time. One that is silent for so many seconds is closed.
CONNECTIONS = 500
SILENCE = 30
# Bytes of a body: a little more than what the API and an import in the admin take.
MAX_BODY = 105_000_000


def main() -> None:
    """Serve the site until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    serve(
        application,
        host=options.host,
        port=options.port,
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=SILENCE,
        cleanup_interval=5,
        max_request_body_size=MAX_BODY,
        url_prefix=SCRIPT_NAME,
        ident=None,
    )


if __name__ == "__main__":
    main()
