"""Passwords in the rows of sign-in data sources: never stored in plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth.hashers import BasePasswordHasher, identify_hasher

from ..conf import setting
from ..database.hashing import hash_all, is_counted
from ..errors import Malformed, TooLarge
from ..models import Entry
from ..query.where import Field, matches
from ..query.where.nodes import column_is
from ..values.validation import composed, printable
from .registry import Source

MAX_HASHED_AT_ONCE = 500
MAX_LENGTH = 4_096


def hashed(
    source: Source, rows: Sequence[tuple[dict[str, Any], Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Return rows ready to write, in which each changed secret is hashed.

    `rows` are pairs of a row and the row before, which is empty for a new one. Raises `Malformed`
    for a password that is not text, and `NotHashed` (see `hashing`).
    """
    places = [
        (at, column)
        for at, (row, before) in enumerate(rows)
        for column in sorted(source.secret)
        if row.get(column) not in (None, "") and row[column] != before.get(column)
    ]
    ready = [row for row, _ in rows]
    made = hash_all([_password(column, ready[at][column]) for at, column in places])
    for (at, column), encoded in zip(places, made, strict=True):
        ready[at] = {**ready[at], column: encoded}
    return ready


def _password(column: str, password: Any) -> str:
    """Return the text of a password to hash. Raises `Malformed` if it is not a valid one."""
    if not isinstance(password, str) or len(password) > MAX_LENGTH:
        raise Malformed(
            f"`{printable(column)}`: a password must be text of at most {MAX_LENGTH} characters"
        )
    return composed(password)


def spellings(password: str) -> tuple[str, ...]:
    """Return the forms of a password to compare: composed, as it is stored, then as it was sent.

    Older hashes, from before passwords were composed, are of the form that was sent.
    """
    return tuple(dict.fromkeys((composed(password), password)))


def is_hash(value: Any) -> bool:
    """Whether a stored value is one of Django's password hashes."""
    try:
        identify_hasher(value)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


# How many times the work of a new hash a stored hash may take.
MOST_WORK = 8
_WORK = ("iterations", "work_factor", "block_size", "parallelism", "time_cost", "memory_cost")


def takes_too_long(encoded: str) -> bool:
    """Whether a hash takes far more work than a new one.

    Otherwise, users who could write the column before it held passwords would decide how long a
    sign-in takes. A hash whose work is unknown (a site's own hasher, or an unreadable hash) passes.
    """
    hasher = identify_hasher(encoded)
    try:
        return _work(hasher, hasher.decode(encoded)) > MOST_WORK
    except OverflowError:
        return True
    except (ValueError, TypeError, AttributeError, AssertionError, NotImplementedError):
        return False


def _work(hasher: BasePasswordHasher, decoded: dict[str, Any]) -> float:
    """Return how many times the work of a new hash this one takes."""
    rounds = getattr(hasher, "rounds", None)
    if rounds is not None:
        # The work of bcrypt doubles with each round.
        doubled: int = decoded.get("work_factor", rounds) - rounds
        return float(2.0**doubled)
    work = 1.0
    for name in _WORK:
        usual = getattr(hasher, name, None)
        if usual and name in decoded:
            work *= decoded[name] / usual
    return work


def hash_plain(source_id: int, column: str) -> None:
    """Hash the plain-text values of a column that becomes the password column.

    Raises `Malformed` for a value that is not text and for a hash that takes far too much work,
    `TooLarge` if there are too many values for one request, and `NotHashed` (see `hashing`).
    """
    plain = []
    for entry in Entry.objects.filter(data_source_id=source_id):
        value = entry.data.get(column)
        if value in (None, ""):
            continue
        if not is_hash(value):
            plain.append(entry)
        elif takes_too_long(value):
            raise Malformed(
                f"the column `{printable(column)}` has a password hash in entry {entry.pk} that "
                f"takes more than {MOST_WORK} times the work of a new one; clear the value"
            )
    most: int = setting("MAX_PASSWORDS") if is_counted() else MAX_HASHED_AT_ONCE
    if len(plain) > most:
        raise TooLarge(
            f"the column `{printable(column)}` holds {len(plain)} passwords in plain text; "
            "clear the column first, save the sign-in, and then import the rows again"
        )
    made = hash_all([_password(column, entry.data[column]) for entry in plain])
    for entry, encoded in zip(plain, made, strict=True):
        entry.data[column] = encoded
        entry.save(update_fields=["data", "nested"])


def still_held(source_id: int, columns: Iterable[str]) -> list[str]:
    """Return those of the columns in which some row still has a value."""
    return [column for column in columns if _is_held(source_id, column)]


def _is_held(source_id: int, column: str) -> bool:
    empty: Field = column_is(column, "$in", [None, ""])
    rows = Entry.objects.filter(data_source_id=source_id).values_list("data", flat=True)
    return any(not matches(empty, row) for row in rows.iterator())
