"""A small load generator: keep-alive connections that each send one request after the other."""

from __future__ import annotations

import asyncio
import time


async def _connection(port: int, request: bytes, until: float, status: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(status):
            raise RuntimeError(head.decode(errors="replace"))
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        done += 1
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return done


async def _run(port: int, request: bytes, seconds: float, connections: int) -> float:
    start = time.perf_counter()
    until = start + seconds
    counts = await asyncio.gather(
        *(_connection(port, request, until, b"HTTP/1.1 200") for _ in range(connections))
    )
    return sum(counts) / (time.perf_counter() - start)


def requests_per_second(
    port: int, request: bytes, seconds: float = 3.0, connections: int = 8
) -> float:
    """How many answers with status 200 come back a second."""
    return asyncio.run(_run(port, request, seconds, connections))


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST of JSON."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
