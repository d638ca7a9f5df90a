"""Passwords are hashed between transactions, and never while one of them holds a lock.

A hash takes half a second or more by design. So what is to be written is decided first, in a
transaction; where it turns out that passwords have to be hashed, the transaction is rolled back,
they are hashed, and everything is done again with the hashes at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from django.contrib.auth.hashers import make_password

from ..errors import Busy

Result = TypeVar("Result")
# Called with how many passwords are about to be hashed, and how many have been; raises if those are
# too many.
Allow = Callable[[int, int], object]
# Seconds that a request waits for others to hash their next password.
WAIT = 10.0
# One at a time in a process: a hash computes all the time, and other requests need the processor.
_turn = Lock()


class NotHashed(Exception):
    """These passwords have to be hashed before they can be written. Rolls a transaction back."""

    def __init__(self, passwords: Sequence[str]) -> None:
        super().__init__("passwords have to be hashed outside of the transaction")
        self.passwords = passwords


@dataclass(slots=True)
class _Made:
    """The hashes that were made for a piece of work, by password: one for each row, as equal
    passwords in two rows must not have the same hash.
    """

    hashes: dict[str, list[str]] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return sum(map(len, self.hashes.values()))

    def missing(self, passwords: Sequence[str]) -> list[str]:
        """Those of the passwords that there is no hash for that was not taken yet."""
        wanted = Counter(passwords)
        left = {
            password: count - len(self.hashes.get(password, ())) + self.taken[password]
            for password, count in wanted.items()
        }
        return [password for password, count in left.items() for _ in range(count)]

    def take(self, password: str) -> str:
        at = self.taken[password]
        self.taken[password] += 1
        return self.hashes[password][at]


_made: ContextVar[_Made | None] = ContextVar("rowkeeper_hashes", default=None)


def outside_transactions(work: Callable[[], Result], allow: Allow | None = None) -> Result:
    """The result of work that opens transactions of its own, and may write passwords in them.

    It is run again after passwords were hashed for it. Without `allow`, the passwords are not
    counted, and do not wait for those of other requests. Raises what `work` and `allow` raise, and
    `Busy` where others hash for too long.
    """
    if _made.get() is not None:
        # Inside of other such work, which hashes.
        return work()
    made = _Made()
    token = _made.set(made)
    try:
        while True:
            try:
                return work()
            except NotHashed as needed:
                if allow is not None:
                    allow(len(needed.passwords), made.count)
                for password in needed.passwords:
                    of_this = made.hashes.setdefault(password, [])
                    of_this.append(_hash(password, waits=allow is not None))
    finally:
        _made.reset(token)


def any_number(count: int, before: int) -> None:
    """Allow it: the passwords only wait for those of other requests."""


def begin() -> None:
    """A transaction begins that may write passwords: those of one that was rolled back are free."""
    made = _made.get()
    if made is not None:
        made.taken.clear()


def hash_all(passwords: Sequence[str]) -> list[str]:
    """A hash for each password. Raises `NotHashed` in `outside_transactions`, until they are made;
    anywhere else, such as in a script that loads rows, they are made at once.
    """
    made = _made.get()
    if made is None:
        return [make_password(password) for password in passwords]
    missing = made.missing(passwords)
    if missing:
        raise NotHashed(missing)
    return [made.take(password) for password in passwords]


def is_counted() -> bool:
    """Whether the passwords are those of a request, or of an import."""
    return _made.get() is not None


def _hash(password: str, waits: bool) -> str:
    if not waits:
        return make_password(password)
    if not _turn.acquire(timeout=WAIT):
        raise Busy("too many passwords are being hashed just now; try again in a moment")
    try:
        return make_password(password)
    finally:
        _turn.release()
