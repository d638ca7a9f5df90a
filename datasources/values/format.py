"""JSON for people: what fits on a line stays on one."""

from __future__ import annotations

import json
from typing import Any

from .codec import loads

WIDTH = 88


def pretty(value: Any, opened: int = 1) -> str:
    """The text of a JSON value, indented by two; the outer `opened` levels are always opened."""
    return _text(value, opened, 0)


def read(text: str) -> Any:
    """The value of a text that somebody typed, with browsers' line ends.

    Raises `Malformed`; the message names line and column, or the key that stands twice.
    """
    return loads(text.replace("\r\n", "\n").replace("\r", "\n"), "this")


def _text(value: Any, opened: int, indent: int) -> str:
    flat = _flat(value)
    if not isinstance(value, dict | list) or not value:
        return flat
    if opened <= 0 and indent + len(flat) <= WIDTH:
        return flat
    if isinstance(value, dict):
        items = [f"{_flat(key)}: {_text(value[key], opened - 1, indent + 2)}" for key in value]
        left, right = "{}"
    else:
        items = [_text(item, opened - 1, indent + 2) for item in value]
        left, right = "[]"
    pad = " " * (indent + 2)
    lines = f",\n{pad}".join(items)
    return f"{left}\n{pad}{lines}\n{' ' * indent}{right}"


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
