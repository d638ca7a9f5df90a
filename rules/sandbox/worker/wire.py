"""Messages between a worker and the web process: four bytes of length, then JSON.

This is the worker's side. It can trust what it reads, and only uses `read` and `write`, which are
all that the walls allow.
"""

from __future__ import annotations

import os
import struct
from typing import Final

LENGTH: Final = struct.Struct("!I")


def framed(text: str) -> bytes:
    """A message in its format for sending."""
    payload = text.encode("utf-8")
    return LENGTH.pack(len(payload)) + payload


class Wire:
    """The worker's only descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, text: str) -> None:
        """Send one message. Raises `OSError`."""
        rest = memoryview(framed(text))
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def receive(self) -> bytes:
        """Receive the next message. Raises `EOFError` after the last one."""
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        return self._read(length)

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            part = os.read(self.descriptor, min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
