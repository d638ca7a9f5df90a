"""Templates in rule values: `{{user.[Email]}}` becomes what the session's user holds there.

A template is compiled when its rule is, and rendered once a decision. pybars3 writes the mixed
text, held with tongs: it turns templates into Python, so it is given one made of generated names
alone (`{{{v0}}}{{{v1}}}`) and the values as a flat dict of text. What an editor wrote never
reaches generated code, what a user holds is never read as a template.
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
    """The type of `UNMET`, so that `is UNMET` tells the two answers of `render` apart."""

    UNMET = "unmet"


UNMET: Final = Unmet.UNMET
"""The template could not be rendered: the condition that holds it is not met."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: its source, and the paths below `user` that it names, in order."""

    source: str
    paths: tuple[Path, ...]
    _parts: tuple[str | Path, ...] = field(repr=False, compare=False)

    @property
    def sole_path(self) -> Path | None:
        """The path of a template that is one expression and nothing else; else None."""
        return self.paths[0] if self.paths and len(self._parts) == 1 else None

    def render(self, user: Mapping[str, object] | None) -> Scalar | Unmet:
        """Return the value for `user`, typed if the template is one expression, else text.

        UNMET where `user` is None or any path leads to nothing, to `""`, or to what is no text,
        finite number or boolean.
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
    """The template that stands for what the user has in a column."""
    path = (column,)
    return Template(f"{{{{user.[{column}]}}}}", (path,), (path,))


def is_template(text: str) -> bool:
    """Say whether `text` must be compiled (and may be refused) rather than taken as it is."""
    return "{{" in text or "}}" in text


def compile_template(text: str) -> Template:
    """Return `text` as a template; raise TemplateError for all but the supported form.

    Slow beside `render`: call it once per revision of the rules, never per request.
    """
    parts = read_template(text)
    paths = tuple(part for part in parts if isinstance(part, tuple))
    if len(parts) > 1:
        _joiner(len(parts))  # made now, so that no request waits for it
    return Template(text, paths, tuple(parts))


def warm_up() -> None:
    """Load what renders mixed text, so that no request has to wait for it."""
    _joiner(2)


def _look_up(user: object, path: Path) -> Scalar | Unmet:
    """Follow `path` through the own keys of plain mappings, never through attributes."""
    value = user
    for name in path:
        if isinstance(value, dict):
            value = dict.get(value, name)  # not a subclass's idea of `get`
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
    """Return pybars' function for `count` values in a row (at most 41, by the grammar)."""
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
    # Importing it compiles its grammar, which takes two seconds: commands that render nothing, such
    # as `check`, do without.
    from pybars import Compiler

    # Not `Compiler.compile`: it leaves a module in `sys.modules` for each template.
    code = Compiler().precompile("".join(f"{{{{{{v{number}}}}}}}" for number in range(count)))
    namespace: dict[str, Any] = {}
    # The code comes from the names just made, no other text is in it.
    exec(compile(code, f"<template of {count} values>", "exec"), namespace)  # noqa: S102
    render = namespace["render"]
    return lambda values: str(render(values))
