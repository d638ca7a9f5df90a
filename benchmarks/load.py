"""A small load generator: keep-alive connections that each send one request after the other.

Sockets without a framework round them, as it shares the cores with what it measures.
"""

from __future__ import annotations

import select
import socket
import time

_READ = 1 << 18


class _Connection:
    """One connection, with what has been read of the answer that it waits for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""
        self.wanted = -1
        self.closes = False

    def read(self) -> bool:
        """Read what is there; whether the answer is whole. Raises for one that is none."""
        data = self.socket.recv(_READ)
        if not data:
            raise RuntimeError("the server closed the connection within an answer")
        self.got += data
        if self.wanted < 0:
            head, end, _ = self.got.partition(b"\r\n\r\n")
            if not end:
                return False
            if b" 200 " not in head[:16]:
                raise RuntimeError(self.got.decode(errors="replace"))
            lower = head.lower()
            length = lower.index(b"content-length:") + 15
            self.wanted = len(head) + 4 + int(lower[length:].split(b"\r\n", 1)[0])
            self.closes = b"connection: close" in lower
        return len(self.got) >= self.wanted

    def send(self, request: bytes) -> None:
        self.got, self.wanted = b"", -1
        self.socket.sendall(request)


def requests_per_second(
    port: int, request: bytes, seconds: float = 3.0, connections: int = 8
) -> float:
    """How many answers with status 200 come back a second."""
    poll = select.epoll()
    open_ = {}
    for _ in range(connections):
        connection = _Connection(port)
        open_[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    start = time.perf_counter()
    for connection in open_.values():
        connection.send(request)
    done, until = 0, start + seconds
    while time.perf_counter() < until:
        for number, _ in poll.poll(1.0):
            connection = open_[number]
            if not connection.read():
                continue
            done += 1
            if connection.closes:
                poll.unregister(connection.socket)
                connection.socket.close()
                del open_[number]
                connection.open()
                open_[connection.socket.fileno()] = connection
                poll.register(connection.socket, select.EPOLLIN)
            connection.send(request)
    took = time.perf_counter() - start
    # What is still under way would slow down whatever is measured next.
    for connection in open_.values():
        while not connection.read():
            pass
        connection.socket.close()
    return done / took


def request_of(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of a request, of JSON if it has a body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []),
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
