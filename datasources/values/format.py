"""JSON formatted for people: what fits on a line stays on one line."""

from __future__ import annotations

import json
from typing import Any

from .codec import loads

WIDTH = 88


def pretty(value: Any, opened: int = 1) -> str:
    """Format a JSON value, indented by two; the outer `opened` levels are always broken up."""
    return _text(value, opened, 0)


def read(text: str) -> Any:
    """Parse a text that a user typed, with the line endings of browsers.

    Raises `Malformed`; the message names line and column, or the duplicate key.
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
