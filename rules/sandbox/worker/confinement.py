"""The process wall: what a worker gives up before it runs the first script.

By then, everything that it needs has been imported and opened. The web process is informed of each
wall that was built. Without those of `ESSENTIAL`, a worker does not start.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from . import seccomp

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
# The user `nobody` on common Unix systems.
NOBODY: Final = 65534
# Only the standard descriptors and ours should be open. The others are closed to be safe.
MOST_DESCRIPTORS: Final = 4_096
ESSENTIAL: Final = frozenset(("descriptors", "files", "cpu", "audit"))


class WallMissing(Exception):
    """An essential wall could not be built."""


def build(descriptor: int, memory: int, cpu_seconds: int, parent: int) -> list[str]:
    """Build all walls but the audit hook (`Alarm`). Returns the names of those that were built."""
    walls = {
        "descriptors": lambda: _close_others(descriptor),
        "user": _become_nobody,
        "memory": lambda: _limit("AS", memory),
        "cpu": lambda: _limit("CPU", cpu_seconds),
        "files": lambda: _limit("NOFILE", 0) and _limit("FSIZE", 0),
        "processes": lambda: _limit("NPROC", 0) and os.geteuid() != 0,
        "core": lambda: _limit("CORE", 0),
        "privileges": lambda: _control(seccomp.PR_SET_NO_NEW_PRIVS, 1),
        "parent": lambda: _die_with(parent),
        "seccomp": lambda: seccomp.build(descriptor),
    }
    standing = [name for name, wall in walls.items() if _stands(wall)]
    missing = ESSENTIAL - {*standing, "audit"}
    if missing:
        raise WallMissing(f"cannot be set up: {', '.join(sorted(missing))}")
    return standing


def _stands(wall: Callable[[], bool]) -> bool:
    try:
        return wall()
    except (OSError, ValueError, AttributeError):
        return False


def _close_others(descriptor: int) -> bool:
    sys.stdin = sys.stdout = sys.stderr = None
    os.closerange(0, descriptor)
    os.closerange(descriptor + 1, max(descriptor + 1, MOST_DESCRIPTORS))
    return True


def _become_nobody() -> bool:
    """Root becomes `nobody`. Another user stays the same, which is enough of a wall."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return os.geteuid() != 0 and os.getuid() != 0


def _limit(name: str, most: int) -> bool:
    which = getattr(resource, f"RLIMIT_{name}")
    resource.setrlimit(which, (most, most))
    return resource.getrlimit(which) == (most, most)


def _control(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    result: int = ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    return result == 0


def _die_with(parent: int) -> bool:
    """Die together with the web process, and let no other process inspect this one."""
    dumpable = _control(PR_SET_DUMPABLE, 0)
    bound = _control(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if bound and os.getppid() != parent:
        os._exit(0)
    return dumpable and bound


class Alarm:
    """Python's audit hook: while it is on, any audit event ends the process.

    Scripts cause no events. Opening, importing, compiling, connecting and reading frames do.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        state = [False]

        def hook(event: str, arguments: Any) -> None:
            if state[0]:
                state[0] = False
                try:
                    report(f"tried to use `{event}`")
                finally:
                    os._exit(1)

        def switch(on: bool) -> None:
            state[0] = on

        self.switch = switch
        sys.addaudithook(hook)


def finish() -> None:
    """Freeze all existing objects, so that later collections only scan what scripts make."""
    gc.collect()
    gc.freeze()
