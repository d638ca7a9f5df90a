"""The dates of `$filters`: a text becomes an instant, an operand the span of time that it means.

`YYYY-MM-DD`, `YYYY-MM-DD HH:mm[:ss[.fff]]` (or with `T`), with an offset or in UTC. `HH:mm[:ss]`
by itself is a time of day. On PostgreSQL, `rowkeeper_instant` (in `indexes.postgresql_functions`)
reads the same texts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000
UNITS: Final = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
# Times of day are separate from instants: they are less than all of them.
CLOCK_BASE: Final = -(10**15)
_INSTANT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Span(NamedTuple):
    """A half-open span of time from `start` to before `end`, in milliseconds since 1970."""

    start: int
    end: int


def instant(text: str) -> int | None:
    """Return the milliseconds since 1970 of a date; a time of day counts from `CLOCK_BASE`.

    Returns None for a text that is not a date.
    """
    moment = _moment(text)
    if moment is not None:
        return (moment - _EPOCH) // _MS
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return None
    hours, minutes, seconds = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return CLOCK_BASE + ((hours * 60 + minutes) * 60 + seconds) * 1000


def _moment(text: str) -> datetime | None:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    fraction = int((found[7] or "").ljust(6, "0")[:6])
    try:
        zone = _zone(found[8])
        moment = datetime(
            year, month, day, int(found[4] or 0), int(found[5] or 0), int(found[6] or 0), fraction,
            tzinfo=zone,
        )  # fmt: skip
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 15 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def span(text: str, unit: str | None) -> Span | None:
    """Return the span that a date in a query means: the unit that contains it.

    Without a unit, that is the whole day for a bare date, and the minute for a time. Returns None
    for a text that is not a date.
    """
    start = instant(text)
    if start is None:
        return None
    if start < CLOCK_BASE + DAY_MS:
        length = {"hour": 3_600_000, "second": 1000}.get(unit or "minute", 60_000)
        begin = start - (start - CLOCK_BASE) % length
        return Span(begin, begin + length)
    bare = len(text) == 10
    return _around(_EPOCH + start * _MS, unit or ("day" if bare else "minute"))


def _around(moment: datetime, unit: str) -> Span:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    lengths = {"day": 1, "week": 7}
    if unit in lengths:
        begin = midnight - timedelta(days=midnight.weekday() if unit == "week" else 0)
        return Span(_ms(begin), _ms(begin) + lengths[unit] * DAY_MS)
    if unit in ("hour", "minute", "second"):
        length = {"hour": 3_600_000, "minute": 60_000, "second": 1000}[unit]
        begin_ms = _ms(moment) - _ms(moment) % length
        return Span(begin_ms, begin_ms + length)
    months = {"year": 12, "quarter": 3, "month": 1}[unit]
    first = (midnight.month - 1) // months * months
    begin = midnight.replace(month=first + 1, day=1)
    last = first + months
    year, month = midnight.year + last // 12, last % 12 + 1
    # The year 9999 is the last one that `datetime` has.
    end = _ms(begin.replace(year=year, month=month)) if year < 10_000 else 253_402_300_800_000
    return Span(_ms(begin), end)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS


def day_text(moment: int) -> str | None:
    """Return an instant's day as `YYYY-MM-DD`; None outside the years 1 to 9999."""
    if not -62135596800000 <= moment <= 253402300799999:
        return None
    return (_EPOCH + moment * _MS).strftime("%Y-%m-%d").rjust(10, "0")
