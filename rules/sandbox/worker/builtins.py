"""The functions that a script can use: harmless ones of Python, and limited replacements.

The only lazy iterators that a script has are its own generator expressions.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable
from typing import Any, Final

from .callables import plain
from .names import EXCEPTIONS, FUNCTIONS
from .values import Missing, described

MAX_RANGE: Final = 1_000_000
_SHOWN_ITEMS, _SHOWN_DEPTH = 50, 5


def bounded_range(*arguments: int) -> range:
    """`range(...)` of at most a million numbers. Raises `ValueError` beyond that."""
    numbers = range(*arguments)
    if len(numbers[: MAX_RANGE + 1]) > MAX_RANGE:
        raise ValueError(f"`range` of more than {MAX_RANGE:,} numbers")
    return numbers


def listed_enumerate(members: Iterable[Any], start: int = 0) -> list[tuple[int, Any]]:
    """`enumerate(...)` as a list."""
    return list(enumerate(members, start))


def listed_zip(*lists: Iterable[Any], strict: bool = False) -> list[tuple[Any, ...]]:
    """`zip(...)` as a list."""
    return list(zip(*lists, strict=strict))


def listed_reversed(members: Any) -> list[Any]:
    """`reversed(...)` as a list."""
    return list(members)[::-1]


def now_ms() -> int:
    """Milliseconds since 1970, like JavaScript's `Date.now()`."""
    return time.time_ns() // 1_000_000


def now() -> str:
    """The time as ISO text in UTC: `2026-01-31T09:30:00.000Z`."""
    seconds, thousandths = divmod(now_ms(), 1_000)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    # Not with `strftime`, which opens the time zone file.
    date = f"{year:04}-{month:02}-{day:02}"
    return f"{date}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z"


class Printer:
    """`print`: keeps the first characters for the trace, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._length = limit, 0
        self._parts: list[str] = []

    def function(self) -> Any:
        """The function that scripts call. Scripts cannot access any attribute of a function."""

        def print(*values: Any, sep: str = " ", end: str = "\n") -> None:
            if type(sep) is not str or type(end) is not str:
                raise TypeError("`sep` and `end` of `print` must be text")
            self._write(sep.join(map(shown, values)) + end)

        print.__qualname__ = "print"
        return plain(print)

    def _write(self, text: str) -> None:
        if self._length < self._limit:
            self._parts.append(text[: self._limit - self._length])
            self._length += len(text)

    @property
    def text(self) -> str:
        """The printed text, with an ellipsis if it was cut off."""
        return "".join(self._parts) + ("…" if self._length > self._limit else "")


def shown(value: Any, depth: int = 0) -> str:
    """A value as text for people: missing columns are marked, long lists are cut off."""
    if isinstance(value, str):
        return value if depth == 0 else repr(value[:1_000])
    if isinstance(value, Missing):
        return f"missing {described(value)}"
    if value is None or isinstance(value, bool | int | float | Exception):
        return str(value)
    if not isinstance(value, dict | list | tuple | set):
        return f"<{type(value).__name__}>"
    if depth == _SHOWN_DEPTH:
        return "…"
    return _shown_inside(value, depth + 1)


def _shown_inside(value: Any, depth: int) -> str:
    parts = []
    for number, member in enumerate(value):
        if number == _SHOWN_ITEMS:
            parts.append("…")
            break
        text = shown(member, depth)
        parts.append(f"{text}: {shown(value[member], depth)}" if isinstance(value, dict) else text)
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    if isinstance(value, tuple):
        opening, closing = "(", ")"
    return f"{opening}{', '.join(parts)}{closing}"


_OURS: Final[dict[str, Any]] = {
    "range": bounded_range,
    "enumerate": listed_enumerate,
    "zip": listed_zip,
    "reversed": listed_reversed,
    "now": now,
    "now_ms": now_ms,
}
for _name, _function in _OURS.items():
    _function.__qualname__ = _name


def tools(printer: Printer) -> dict[str, Any]:
    """The functions and exceptions by name, created for each run."""
    known = {
        name: plain(_OURS[name]) if name in _OURS else getattr(builtins, name)
        for name in (*FUNCTIONS, *EXCEPTIONS)
        if name != "print"
    }
    return {**known, "print": printer.function()}
