"""Functions and generators as a script holds them: without an address or a module in their text.

Python shows `<function now at 0x7f…>` where a function is made text of, in an f-string, by `%`, or
inside the message of an exception. That text would reach the trace, a row or a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any, Final

# The types that scripts can hold, and that are not Python's own. Messages of exceptions name
# types, in some versions together with their module.
_PLAIN_MODULE: Final = "builtins"


class Function(partial[Any]):
    """A function that a script can call and print. The call costs no frame of Python's."""

    __slots__ = ()

    def __repr__(self) -> str:
        name = getattr(self.func, "__name__", "")
        return f"<function {name}>" if name.isidentifier() else "<function>"

    __str__ = __repr__


class Generator:
    """A generator expression that a script can loop over, pass on and print."""

    __slots__ = ("_members",)

    def __init__(self, members: Iterator[Any]) -> None:
        self._members = members

    def __iter__(self) -> Iterator[Any]:
        return self._members

    def __repr__(self) -> str:
        return "<generator>"


def without_module(kind: type, name: str) -> None:
    """Let messages of exceptions name this type by `name` only."""
    kind.__name__ = kind.__qualname__ = name
    kind.__module__ = _PLAIN_MODULE


without_module(Function, "function")
without_module(Generator, "generator")


def plain(function: Callable[..., Any]) -> Function:
    """The function as a script may hold it."""
    if type(function) is FunctionType:
        # Else messages name it `script.<locals>.name`.
        function.__qualname__ = function.__name__
    return Function(function)
