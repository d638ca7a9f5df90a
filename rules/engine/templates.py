"""Templates in rule values: `{{user.[Email]}}` is replaced by a value of the session's user.

A template is compiled together with its rule, and rendered once for each decision. pybars3 joins
the parts of mixed text. Since it compiles templates to Python code, it only gets a template of
generated names (`{{{v0}}}{{{v1}}}`), with the values as a flat dict of text. Text from an editor
never reaches the generated code, and values of a user are never read as a template.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from rowkeeper.datasources.caching import Cache
from rowkeeper.rules.engine.js_text import js_text
from rowkeeper.rules.engine.template_grammar import Path, TemplateError, read_template

__all__ = ["UNMET", "Template", "TemplateError", "Unmet", "compile_template", "is_template"]

Scalar = str | int | float | bool


class Unmet(Enum):
    """The type of `UNMET`, so that a type checker knows the result of `render` after `is UNMET`."""

    UNMET = "unmet"


UNMET: Final = Unmet.UNMET
"""The template could not be rendered, so the condition that contains it is not met."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: its source text, and the paths below `user` in it, in order."""

    source: str
    paths: tuple[Path, ...]
    _parts: tuple[str | Path, ...] = field(repr=False, compare=False)

    @property
    def sole_path(self) -> Path | None:
        """The path of a template that consists of one expression only; otherwise None."""
        return self.paths[0] if self.paths and len(self._parts) == 1 else None

    def render(self, user: Mapping[str, object] | None) -> Scalar | Unmet:
        """Return the value for `user`: typed if the template is one expression, otherwise text.

        UNMET if `user` is None, or if a path leads to nothing, to `""`, or to a value that is not
        text, a finite number or a boolean.
        """
        if len(self._parts) == 1 and self.paths:
            return _look_up(user, self.paths[0])
        return self._mixed(user) if self.paths else self.source

    def _mixed(self, user: Mapping[str, object] | None) -> str | Unmet:
        values: dict[str, str] = {}
        for number, part in enumerate(self._parts):
            written = part if isinstance(part, str) else _written(user, part)
            if written is None:
                return UNMET
            values[f"v{number}"] = written
        return _joiner(len(values))(values)


def own_value(column: str) -> Template:
    """The template for the user's own value of a column."""
    path = (column,)
    return Template(f"{{{{user.[{column}]}}}}", (path,), (path,))


def is_template(text: str) -> bool:
    """Whether `text` has to be compiled (and may be refused) rather than used as it is."""
    return "{{" in text or "}}" in text


def compile_template(text: str) -> Template:
    """Compile `text`. Raises TemplateError for anything but the supported form.

    Slow compared with `render`: call it once per revision of the rules, never per request.
    """
    parts = read_template(text)
    paths = tuple(part for part in parts if isinstance(part, tuple))
    if len(parts) > 1:
        _joiner(len(parts))  # compiled now, so that no request waits for it
    return Template(text, paths, tuple(parts))


def warm_up() -> None:
    """Load the renderer of mixed text, so that no request has to wait for it."""
    _joiner(2)


def _look_up(user: object, path: Path) -> Scalar | Unmet:
    """Follow `path` through the keys of plain mappings, never through attributes."""
    value = user
    for name in path:
        if isinstance(value, dict):
            value = dict.get(value, name)  # not the `get` of a subclass
        elif isinstance(value, MappingProxyType):
            value = value.get(name)
        else:
            return UNMET
    if type(value) is str:
        return value or UNMET
    if type(value) is float:
        return value if math.isfinite(value) else UNMET
    if type(value) is int or type(value) is bool:
        return value
    return UNMET


def _written(user: object, path: Path) -> str | None:
    value = _look_up(user, path)
    return None if value is UNMET else js_text(value)


_joiners: Cache[int, Callable[[dict[str, str]], str]] = Cache("joiners of templates", 50)
_pybars_lock = Lock()


def _joiner(count: int) -> Callable[[dict[str, str]], str]:
    """Return pybars' function that joins `count` values (at most 41, by the grammar)."""
    known = _joiners.get(count)
    if known is not None:
        return known
    with _pybars_lock:  # pybars' compiler keeps its state in class attributes
        known = _joiners.get(count)
        if known is None:
            known = _make_joiner(count)
            _joiners.put(count, known)
    return known


def _make_joiner(count: int) -> Callable[[dict[str, str]], str]:
    # The import compiles pybars' grammar, which takes two seconds. It is here so that commands that
    # render nothing, such as `check`, do not pay for it.
    from pybars import Compiler

    # Not `Compiler.compile`, which leaves a module in `sys.modules` for each template.
    code = Compiler().precompile("".join(f"{{{{{{v{number}}}}}}}" for number in range(count)))
    namespace: dict[str, Any] = {}
    # The code is made from the names generated above; it contains no other text.
    exec(compile(code, f"<template of {count} values>", "exec"), namespace)  # noqa: S102
    render = namespace["render"]
    return lambda values: str(render(values))
