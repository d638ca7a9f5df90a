"""The characters of patterns: classes, sets, and which are the same but for case, each written out
so that RE2 (in memory and on SQLite) and PostgreSQL cannot differ over what it is.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from functools import cache, lru_cache

Ranges = list[tuple[int, int]]
_DIGIT: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
]
LINE_END: Ranges = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]
CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_LAST = sys.maxunicode
# Only the first two planes hold alphabets.
_LAST_CASED = 0x1FFFF
# Every character.
ANY: Ranges = [(0, _LAST)]


def _normal(ranges: Ranges) -> Ranges:
    merged: Ranges = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    found: Ranges = []
    start = 0
    for low, high in _normal(ranges):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    return [*found, (start, _LAST)] if start <= _LAST else found


def set_of(ranges: Ranges) -> tuple[str, str]:
    """A set of characters as RE2 and as PostgreSQL write it."""
    ranges = _normal(ranges)
    if not ranges:
        # No character at all: what RE2 and PostgreSQL both cannot match.
        return r"[^\x{0}-\x{10FFFF}]", r"(?!)"
    inside = "".join(
        _point(low) if low == high else f"{_point(low)}-{_point(high)}" for low, high in ranges
    )
    plain = "".join(
        _point(low, True) if low == high else f"{_point(low, True)}-{_point(high, True)}"
        for low, high in ranges
    )
    return f"[{inside}]", f"[{plain}]"


def _point(point: int, postgresql: bool = False) -> str:
    """A character inside brackets."""
    if postgresql:
        return f"\\U{max(point, 1):08x}"
    return f"\\x{{{point:x}}}"


def quoted(point: int, postgresql: bool = False) -> str:
    """A character that stands for itself."""
    character = chr(point)
    if character.isalnum() and point < 128:
        return character
    return _point(point, postgresql)


# -- case, as JavaScript ignores it


def _canonical(point: int) -> int:
    """The upper case, unless it is several characters, or ASCII for what is not."""
    upper = chr(point).upper()
    if len(upper) != 1 or (point >= 128 and ord(upper) < 128):
        return point
    return ord(upper)


@cache
def _families() -> dict[int, tuple[int, ...]]:
    """Each character that has another case, and all that are the same but for case."""
    groups: dict[int, list[int]] = {}
    for point in range(_LAST_CASED + 1):
        character = chr(point)
        if character.upper() != character or character.lower() != character:
            groups.setdefault(_canonical(point), []).append(point)
    return {
        point: tuple(sorted({canon, *members}))
        for canon, members in groups.items()
        for point in {canon, *members}
    }


def same_case(point: int) -> tuple[int, ...]:
    """A character and those that are the same but for case."""
    return _families().get(point, (point,))


def any_case(ranges: Ranges) -> Ranges:
    """With those that are the same but for case."""
    found: Ranges = []
    for low, high in _normal(ranges):
        found.extend(_any_case_between(low, high))
    return _normal(found)


@lru_cache(maxsize=1_000)
def _any_case_between(low: int, high: int) -> tuple[tuple[int, int], ...]:
    points = _cased()
    others = (
        (other, other)
        for point in points[bisect_left(points, low) : bisect_right(points, high)]
        for other in _families()[point]
    )
    return tuple(_normal([(low, high), *others]))


@cache
def _cased() -> list[int]:
    return sorted(_families())
