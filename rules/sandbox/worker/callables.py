"""Functions and generators as scripts see them: without an address or a module in their repr.

Python writes `<function now at 0x7f…>` if a function becomes text, in an f-string, by `%`, or in
the message of an exception. That text would end up in the trace, an entry or an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any, Final

# The module of types that scripts can hold but that are not Python's own. Messages of exceptions
# name types, in some versions together with their module.
_PLAIN_MODULE: Final = "builtins"


class Function(partial[Any]):
    """A function that a script can call and print. The call adds no Python stack frame."""

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
    """Wrap a function so that a script can hold it."""
    if type(function) is FunctionType:
        # Otherwise messages name it `script.<locals>.name`.
        function.__qualname__ = function.__name__
    return Function(function)
