"""Character classes, sets and case folding of patterns.

All sets are written out as ranges, so that RE2 (in memory and on SQLite) and PostgreSQL cannot
interpret them differently.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right

from ...caching import memoize

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
# Only the first two planes of Unicode have alphabets with case.
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
    """Return all other characters."""
    found: Ranges = []
    start = 0
    for low, high in _normal(ranges):
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    return [*found, (start, _LAST)] if start <= _LAST else found


def set_of(ranges: Ranges) -> tuple[str, str]:
    """Return a set of characters in the syntax of RE2 and of PostgreSQL."""
    ranges = _normal(ranges)
    if not ranges:
        # The empty set: RE2 and PostgreSQL each have another expression that never matches.
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
    """Return the escape of a character by its code point."""
    if postgresql:
        # Texts on PostgreSQL cannot contain NUL, and neither can its patterns.
        return f"\\U{max(point, 1):08x}"
    return f"\\x{{{point:x}}}"


def quoted(point: int, postgresql: bool = False) -> str:
    """Return a literal character, escaped if necessary."""
    character = chr(point)
    if character.isalnum() and point < 128:
        return character
    return _point(point, postgresql)


# -- case folding, as in JavaScript


def _canonical(point: int) -> int:
    """Return the upper case; `point` if that is several characters, or ASCII for non-ASCII."""
    upper = chr(point).upper()
    if len(upper) != 1 or (point >= 128 and ord(upper) < 128):
        return point
    return ord(upper)


@memoize(1)
def _families() -> dict[int, tuple[int, ...]]:
    """Return by code point all characters that are equal without case, if there are several."""
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
    """Return a character and those that are equal to it without case."""
    return _families().get(point, (point,))


def any_case(ranges: Ranges) -> Ranges:
    """Return the ranges with all characters that are equal without case."""
    found = _normal(ranges)
    for low, high in list(found):
        found.extend(_other_cases(low, high))
    return _normal(found)


def _other_cases(low: int, high: int) -> Ranges:
    """Return the characters outside the range that are equal without case to one inside.

    A range of ten thousand letters is written in three characters, so this iterates over runs of
    letters rather than over letters.
    """
    firsts, runs, longest = _runs()
    found: Ranges = []
    for at in range(bisect_left(firsts, low - longest), bisect_right(firsts, high)):
        first, last, distance = runs[at]
        start, end = max(first, low) + distance, min(last, high) + distance
        if start <= end and (start < low or end > high):
            found.append((start, end))
    # Pairs of adjacent letters are not in a run; only at the ends can the other case be outside.
    found.extend((point, point) for end in (low, high) for point in same_case(end))
    return found


@memoize(1)
def _runs() -> tuple[list[int], list[tuple[int, int, int]], int]:
    """Return (starts, runs, length of the longest run), in ascending order.

    A run is (first, last, distance): consecutive characters whose other case is at this distance.
    """
    pairs = sorted(
        (other - point, point)
        for point, family in _families().items()
        for other in family
        if abs(other - point) > 1
    )
    runs: list[tuple[int, int, int]] = []
    for distance, point in pairs:
        if runs and runs[-1][1:] == (point - 1, distance):
            runs[-1] = (runs[-1][0], point, distance)
        else:
            runs.append((point, point, distance))
    runs.sort()
    return [run[0] for run in runs], runs, max(last - first for first, last, _ in runs)
