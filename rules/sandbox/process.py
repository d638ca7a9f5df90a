"""One worker process, seen from outside: started, talked to with deadlines, killed, reaped.

Its messages are considered hostile: they are limited in bytes and refused if malformed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

import RestrictedPython

from .limits import Limits
from .worker.boot import COMMAND
from .worker.wire import LENGTH

# The paths from which the process imports the package `worker` and RestrictedPython.
PATHS: Final = (
    str(Path(__file__).parent),
    str(Path(RestrictedPython.__file__).parent.parent),
)
_HELLO_BYTES: Final = 10_000


class Breach(Exception):
    """A limit was broken or a message was malformed, which ends the run and its worker."""


class TooLate(Breach):
    """The time limit was exceeded."""


class Lost(Breach):
    """The worker is gone, for a reason that may have nothing to do with its script."""


class Gone(Exception):
    """The worker ended before it got a job, so that another one can be used."""


class NotStarted(Exception):
    """A worker could not be started; the text says why."""


class Worker:
    """A process that runs scripts. One thread at a time uses it."""

    def __init__(self, limits: Limits, command: str = COMMAND) -> None:
        """Start the process. It is ready once `await_walls` has returned."""
        ours, theirs = socket.socketpair()
        self._socket = ours
        self.walls: tuple[str, ...] = ()
        self.runs = 0
        self.busy_seconds = 0.0
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our interpreter, our program)
                _command_line(limits, command, theirs.fileno()),
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise NotStarted(f"`{_python(limits)}` cannot be run: {error.strerror}") from error
        finally:
            theirs.close()
        self.born = time.monotonic()

    @property
    def pid(self) -> int:
        """The id of the process, which leads its own session."""
        return self._process.pid

    def await_walls(self, deadline: float) -> None:
        """Wait until the worker reports its walls. Raises `NotStarted`."""
        try:
            hello = json.loads(self.receive(_HELLO_BYTES, deadline))
        except (Breach, ValueError) as error:
            raise NotStarted(f"a worker did not start: {error}") from error
        if "walls" not in hello:
            raise NotStarted(f"a worker did not start: {hello.get('failed')}")
        self.walls = tuple(map(str, hello["walls"]))

    def is_silent(self) -> bool:
        """Whether the worker is idle: it has neither ended nor sent an unexpected message."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def send(self, text: str, deadline: float) -> None:
        """Send one message. Raises `Gone` if the worker has ended, `Breach` after the deadline."""
        payload = text.encode("utf-8")
        self._set_clock(deadline)
        try:
            self._socket.sendall(LENGTH.pack(len(payload)) + payload)
        except TimeoutError:
            self._too_late()
        except OSError as error:
            raise Gone(str(error)) from error

    def receive(self, most: int, deadline: float) -> bytes:
        """Receive the next message, of at most `most` bytes. Raises `Breach`."""
        (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
        if length > most:
            raise Breach(f"answered with {length:,} bytes; at most {most:,} are allowed")
        return self._read(length, deadline)

    def _read(self, length: int, deadline: float) -> bytes:
        parts = []
        while length:
            self._set_clock(deadline)
            try:
                part = self._socket.recv(min(length, 1 << 20))
            except TimeoutError:
                self._too_late()
            except OSError as error:
                raise Lost(f"the worker has ended ({error.strerror})") from error
            if not part:
                raise self._why_gone()
            parts.append(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _set_clock(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            self._too_late()
        self._socket.settimeout(left)

    def _too_late(self) -> NoReturn:
        raise TooLate("took longer than allowed")

    def _why_gone(self) -> Breach:
        """The reason why a worker closed its connection, as far as it is known."""
        try:
            code = self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            return Lost("the worker closed the connection")
        if code >= 0:
            return Lost(f"the worker ended (exit code {code})")
        reasons = {
            int(signal.SIGXCPU): "used more CPU time than allowed",
            int(getattr(signal, "SIGSYS", 0)): "tried to use the operating system",
            int(signal.SIGSEGV): "crashed the worker",
        }
        if -code in reasons:
            return Breach(reasons[-code])
        was_killed = code == -int(signal.SIGKILL)
        return Lost("the worker was killed" if was_killed else f"the worker ended (signal {-code})")

    def kill(self) -> None:
        """Kill the worker and its process group at once. Call `reap` afterwards."""
        self._socket.close()
        self.strike()

    def strike(self) -> None:
        """Kill the worker while another thread uses it. That thread gets no further messages."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Reap a killed worker, so that it does not stay as a zombie."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)

    def leave_to_parent(self) -> None:
        """In a forked process: close the connection, and leave the worker to the parent."""
        self._socket.close()
        self._process.returncode = 0


def _command_line(limits: Limits, command: str, descriptor: int) -> list[str]:
    options = {
        "nice": limits.nice,
        "memory": limits.memory_megabytes << 20,
        "cpu_seconds": limits.cpu_seconds,
        "parent": os.getpid(),
    }
    # Without these flags, Python would write warnings, and read a source file to quote the line.
    flags = ["-I", "-S", "-W", "ignore"]
    return [_python(limits), *flags, "-c", command, str(descriptor), json.dumps(options), *PATHS]


def _python(limits: Limits) -> str:
    return limits.python or sys.executable
