"""Hashes passwords between transactions, never while a transaction holds a lock.

A hash takes half a second or more by design. So a write is decided in a first transaction; if it
turns out that passwords have to be hashed, the transaction is rolled back, the passwords are
hashed, and everything is done again with the hashes available.
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
# Called with how many passwords are about to be hashed, and how many have been; raises an exception
# if they are too many.
Allow = Callable[[int, int], object]
# Seconds that a request waits for its turn to hash a password.
WAIT = 10.0
# One hash at a time in a process: it keeps the processor busy, which other requests need as well.
_turn = Lock()


class NotHashed(Exception):
    """These passwords have to be hashed before they can be written. Rolls back a transaction."""

    def __init__(self, passwords: Sequence[str]) -> None:
        super().__init__("passwords must be hashed outside of the transaction")
        self.passwords = passwords


@dataclass(slots=True)
class _Made:
    """The hashes for a piece of work, by password.

    There is one for each row, because equal passwords in two rows must not have the same hash.
    """

    hashes: dict[str, list[str]] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return sum(map(len, self.hashes.values()))

    def missing(self, passwords: Sequence[str]) -> list[str]:
        """Return the passwords without an unused hash, each as often as hashes are missing."""
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
    """Return the result of `work`, which opens its own transactions and may write passwords.

    It runs again after passwords were hashed for it. Without `allow`, the passwords are not
    counted, and do not wait for those of other requests. Raises what `work` and `allow` raise, and
    `Busy` if the hashes of others take too long.
    """
    if _made.get() is not None:
        # Inside other work of this kind, which does the hashing.
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
    """An `Allow` without a limit: the passwords only wait for those of other requests."""


def begin() -> None:
    """Begin a transaction that may write passwords; hashes of a rolled-back one can be reused."""
    made = _made.get()
    if made is not None:
        made.taken.clear()


def hash_all(passwords: Sequence[str]) -> list[str]:
    """Return a hash for each password.

    In `outside_transactions`, raises `NotHashed` until the hashes exist. Elsewhere, such as in a
    script that loads rows, they are computed at once.
    """
    made = _made.get()
    if made is None:
        return [make_password(password) for password in passwords]
    missing = made.missing(passwords)
    if missing:
        raise NotHashed(missing)
    return [made.take(password) for password in passwords]


def is_counted() -> bool:
    """Whether the passwords are those of a request or an import."""
    return _made.get() is not None


def _hash(password: str, waits: bool) -> str:
    if not waits:
        return make_password(password)
    if not _turn.acquire(timeout=WAIT):
        raise Busy("too many passwords are being hashed at the moment; try again later")
    try:
        return make_password(password)
    finally:
        _turn.release()
