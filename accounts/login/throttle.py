"""Limits of failed attempts to sign in, and of the passwords that may be compared at all.

Failures are counted for the client's network, and for the account together with that network.
Nobody can therefore lock another user's account from elsewhere. A device on which a user has
signed in before has its own counter for that account: failures from the same network do not lock
it. All known devices of an account in a network, and all known devices of a network, share further
counters, since anybody with an account can make any number of devices known.

An attempt counts as failed from its start, before a password is compared, and a success undoes
that. Concurrent attempts are therefore limited as if they came one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowkeeper.datasources.conf import setting

from ..client import network_of, site_of
from ..errors import TooMany
from .counters import decrement, increment, key_of, reset, seconds_left

# An IPv6 /48 may belong to one subscriber or to many: its limit is that of a /64 times this.
SITE_FACTOR = 10
# The limit of all known devices of an account is that of one account times this, and the limit of
# all known devices of a network is that of the network's other clients times this.
DEVICES_FACTOR = 5


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that counts as failed until `undo` or `succeeded` is called.

    `keys`: the counters that it was added to. The last one is the account's.
    """

    keys: tuple[str, ...]

    def undo(self) -> None:
        """Undo the attempt: it did not get as far as comparing a password."""
        for key in self.keys:
            decrement(key)

    def succeeded(self) -> None:
        """Undo the attempt, and reset the earlier failures of this account from here."""
        self.undo()
        reset(self.keys[-1])


def begin_attempt(
    account: str, address: str, device: str | None = None, hashes: int = 1
) -> Attempt:
    """Count an attempt to sign in to an account, from a client's address.

    `device`: the id of a device that is known for this account, or None. `hashes`: the largest
    number of hashes that a comparison takes; they stay counted for the network even after a
    success.

    Raises `TooMany` over a limit, and `Busy` if the cache fails. The attempt is not counted then.
    """
    window = setting("SIGN_IN_WINDOW")
    keys: list[str] = []
    try:
        for kind, who, limit in _counters(account, address, device):
            key = key_of(f"sign-in:{kind}", who, window)
            count = increment(key, window)
            keys.append(key)
            if count > limit:
                raise TooMany("too many attempts to sign in", retry_after=seconds_left(window))
        _count_hashes(hashes, address)
    except BaseException:
        Attempt(tuple(keys)).undo()
        raise
    return Attempt(tuple(keys))


def _count_hashes(count: int, address: str) -> None:
    """Count passwords that are about to be compared.

    Each takes half a second of processor time or more, whether it is right or wrong.
    """
    window = setting("SIGN_IN_WINDOW")
    most: int = setting("SIGN_IN_PASSWORDS_PER_ADDRESS")
    for kind, who, limit in _networks("hashes", address, most):
        key = key_of(f"sign-in:{kind}", who, window)
        if increment(key, window, count) > limit:
            raise TooMany("too many sign-ins", retry_after=seconds_left(window))


def count_passwords(count: int, address: str) -> None:
    """Count passwords that are about to be hashed for a client's address.

    Each takes half a second of processor time or more.

    Raises `TooMany` over the limit, and `Busy` if the cache fails.
    """
    window = setting("SIGN_IN_WINDOW")
    most: int = setting("MAX_PASSWORDS_PER_ADDRESS")
    for kind, who, limit in _networks("passwords", address, most):
        if increment(key_of(kind, who, window), window, count) > limit:
            raise TooMany("too many passwords have been set", retry_after=seconds_left(window))


def _counters(account: str, address: str, device: str | None) -> list[tuple[str, str, int]]:
    """(kind, what is counted, limit), with the account's counter last."""
    of_account: int = setting("SIGN_IN_ATTEMPTS_PER_ACCOUNT")
    of_network: int = setting("SIGN_IN_ATTEMPTS_PER_ADDRESS")
    own = f"{account} {network_of(address)}"
    if device is None:
        return [*_networks("network", address, of_network), ("account", own, of_account)]
    return [
        *_networks("devices", address, of_network * DEVICES_FACTOR),
        ("account-devices", own, of_account * DEVICES_FACTOR),
        ("device", device, of_account),
    ]


def _networks(kind: str, address: str, limit: int) -> list[tuple[str, str, int]]:
    """The counters of a client's network, and of the /48 around it."""
    site = site_of(address)
    return [
        *([(f"{kind}-of-site", site, limit * SITE_FACTOR)] if site else []),
        (kind, network_of(address), limit),
    ]
