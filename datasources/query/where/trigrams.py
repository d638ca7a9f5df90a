"""Texts that every match of a condition contains, for a trigram index.

A condition is tested in addition to its part, so the index only reduces the rows that are read, and
cannot change what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ...values.validation import lower
from ..regex.compile import compile_regex
from .nodes import Field, Node
from .operators import like_pattern
from .ranges import conjuncts


def trigram_patterns(node: Node) -> Iterator[tuple[str, str]]:
    """Yield (column, pattern in lower case) for each condition that a trigram index can answer.

    These are conditions that a text contains a part, or matches a pattern that requires one. The
    pattern is one for `LIKE`.
    """
    for item in conjuncts(node):
        if isinstance(item, Field) and len(item.path) == 1 and item.op in _PARTS:
            pattern = _PARTS[item.op](item.operand)
            if pattern is not None and _has_trigram(pattern):
                yield item.path[0], pattern


def _like_part(operand: Any) -> str | None:
    return like_pattern(lower(operand))


def _plain_part(operand: Any) -> str | None:
    if operand.__class__ is not str:
        return None
    escaped = lower(operand).replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return f"%{escaped}%"


def _needed_part(operand: Any) -> str | None:
    """Return the longest ASCII part with a trigram of the text that a pattern requires, or None.

    ASCII, because its lower case does not depend on the characters next to it.
    """
    several = filter(_has_trigram, _ASCII.findall(compile_regex(*operand).needs))
    longest = max(several, key=len, default=None)
    return None if longest is None else _plain_part(longest)


_TRIGRAM = re.compile("[0-9A-Za-z]{3}")
_ASCII = re.compile("[\\x01-\\x7f]+")
_PARTS: dict[str, Callable[[Any], str | None]] = {
    "$like": _like_part,
    "$iLike": _like_part,
    "$filters contains": _plain_part,
    "contains": _plain_part,
    "$regex": _needed_part,
}


def _has_trigram(text: str) -> bool:
    """Whether a text has three ASCII letters or digits in a row."""
    return _TRIGRAM.search(text) is not None
