"""Texts that stand in every text that a condition finds, for an index of three-letter pieces.

A condition is asked beside its part: the index saves rows to look at, and cannot change what is
found.
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
    """(column, pattern in lower case) of each condition that a text has a part, or a pattern that
    needs one, in `LIKE`'s terms; only of those for which an index of such pieces is of use.
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
    """Of the text that a pattern needs, a part in ASCII, whose lower case does not depend on what
    stands beside it: the longest that has a piece.
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
    """Whether three letters or digits of ASCII stand in a row."""
    return _TRIGRAM.search(text) is not None
