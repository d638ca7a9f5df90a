"""`after`: the end of the last page, as a text that the client sends back.

A cursor holds the row's values for the `order` of the request, and its id, so that its position is
stable while rows come and go. It names no column and reveals nothing that the order does not: a
forged cursor finds no more than a condition on the columns of the order would.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeAlias

from ..errors import Failure, Malformed
from ..values.codec import dumps, loads
from ..values.validation import MAX_INTEGER, MIN_INTEGER, is_scalar

MAX_TERMS = 20
MAX_LENGTH = 100_000
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{3}|[.][0-9]{6})?\Z"
)

# For a field, its value; for a column, null, a scalar, or `[]` for a list or an object.
Place: TypeAlias = "tuple[Any, ...]"


@dataclass(frozen=True, slots=True)
class After:
    """The place after which a page begins; None for the first page.

    A place has one value for each term of the order, and the id at the end.
    """

    place: Place | None = None


def fingerprint(order: Sequence[Any]) -> str:
    """Return a short digest that identifies an order."""
    terms = [[term.name, term.is_column, term.descending] for term in order]
    return sha256(dumps(terms).encode()).hexdigest()[:12]


def cursor_of(order: Sequence[Any], place: Place) -> str:
    """Return the text of a cursor. Raises `Malformed` if the values of the order are too long."""
    content = dumps([fingerprint(order), *place]).encode()
    text = urlsafe_b64encode(content).decode().rstrip("=")
    if len(text) > MAX_LENGTH:
        raise Malformed("`after`: the values of `order` are too long for a cursor")
    return text


def parse_after(value: Any, order: Sequence[Any]) -> After | None:
    """Parse `""` for the first page, or the `next` of an answer. Raises `Malformed`."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        raise Malformed('`after` must be "" for the first page, or the `next` of the previous page')
    if len(order) > MAX_TERMS:
        raise Malformed(f"`after` requires an `order` of at most {MAX_TERMS} terms")
    if not value:
        return After()
    content = _content(value)
    if not isinstance(content, list) or not content:
        raise _unknown()
    if content[0] != fingerprint(order):
        raise Malformed("`after` belongs to a request with another `order`")
    place = tuple(content[1:])
    if len(place) != len(order) + 1 or not _is_id(place[-1]):
        raise _unknown()
    for term, item in zip(order, place, strict=False):
        if not _fits(term, item):
            raise _unknown()
    return After(place)


def _unknown() -> Malformed:
    return Malformed("`after` is not a cursor of this API")


def _content(text: str) -> Any:
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return loads(data.decode("utf-8"))
    except (binascii.Error, ValueError, Failure):
        raise _unknown() from None


def _is_id(value: Any) -> bool:
    return value.__class__ is int and 0 < value <= MAX_INTEGER


def _fits(term: Any, value: Any) -> bool:
    if term.is_column:
        return value is None or value == [] or is_scalar(value)
    if term.name in ("createdAt", "updatedAt"):
        return _is_time(value)
    return value.__class__ is int and MIN_INTEGER <= value <= MAX_INTEGER


def _is_time(value: Any) -> bool:
    """Whether a value has the databases' format: `2026-01-31 12:00:00`, with up to six decimals."""
    if not isinstance(value, str) or _TIME.match(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
