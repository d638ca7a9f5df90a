"""The kernel's wall on Linux: a filter that allows few system calls and kills for all others.

A worker that runs a script needs memory, the time, and to read and write its only descriptor. It
cannot open, connect to or start anything, nor send a signal. The program is short enough to be
written by hand, and the existing bindings need a system library; see `linux/filter.h`.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

_LOAD, _EQUALS, _HAS_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
# The offsets in `struct seccomp_data` of the call, the architecture and the low half of argument 0.
_CALL, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_PROT_EXEC = 4


class _Machine(NamedTuple):
    audit: int
    # Allowed on the worker's descriptor only.
    on_descriptor: Mapping[str, int]
    # Allowed if nothing becomes executable.
    not_executable: Mapping[str, int]
    allowed: Mapping[str, int]


MACHINES: Final = {
    "x86_64": _Machine(
        0xC000003E,
        {"read": 0, "write": 1},
        {"mmap": 9, "mprotect": 10},
        {
            "munmap": 11,
            "brk": 12,
            "mremap": 25,
            "madvise": 28,
            "futex": 202,
            "clock_gettime": 228,
            "gettimeofday": 96,
            "time": 201,
            "sched_yield": 24,
            "getrandom": 318,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "restart_syscall": 219,
            "exit": 60,
            "exit_group": 231,
        },
    ),
    "aarch64": _Machine(
        0xC00000B7,
        {"read": 63, "write": 64},
        {"mmap": 222, "mprotect": 226},
        {
            "munmap": 215,
            "brk": 214,
            "mremap": 216,
            "madvise": 233,
            "futex": 98,
            "clock_gettime": 113,
            "gettimeofday": 169,
            "sched_yield": 124,
            "getrandom": 278,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "restart_syscall": 128,
            "exit": 93,
            "exit_group": 94,
        },
    ),
}


def machine() -> _Machine | None:
    """The system calls of this machine; None if they are not known."""
    if sys.platform != "linux" or sys.byteorder != "little" or sys.maxsize < 2**32:
        return None
    return MACHINES.get(platform.machine())


def supported() -> bool:
    """Whether this kernel supports filters. Tested by a null filter, whose error shows it."""
    if machine() is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == 14  # EFAULT: it would have read the filter


def program(known: _Machine, descriptor: int) -> bytes:
    """The filter, as `struct sock_filter`s."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUALS, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL),
    ]
    for number in known.on_descriptor.values():
        lines += [
            (_EQUALS, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS),
            (_EQUALS, 0, 1, descriptor),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _KILL),
        ]
    for number in known.not_executable.values():
        lines += [
            (_EQUALS, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS + 2 * 8),
            (_HAS_BITS, 1, 0, _PROT_EXEC),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _KILL),
        ]
    for number in known.allowed.values():
        lines += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _KILL))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def build(descriptor: int) -> bool:
    """Install the filter for this process, permanently. False if that is not possible.

    `no_new_privs` must be set before.
    """
    known = machine()
    if known is None:
        return False
    code = program(known, descriptor)
    held = ctypes.create_string_buffer(code, len(code))
    filters = _Program(len(code) // 8, ctypes.cast(held, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filters), 0, 0)
    return result == 0
