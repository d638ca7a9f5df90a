"""How often somebody may try to sign in: counted before a password is looked at, in the cache
that all processes share.

The cache has to count atomically, as Redis, Memcached and (within one process) Django's local
memory do.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest

from datasources.conf import setting

from .failures import TooMany

# Who is given a /64 has 2^64 addresses.
_IPV6_NETWORK_BITS = 64


def client_address(request: HttpRequest) -> str:
    """The address that a request came from, as far as it can be known for certain.

    Of `X-Forwarded-For` only what one's own proxies appended is believed: with n of them, the n-th
    from the right. All that stands left of it is what the client chose to send.
    """
    proxies = setting("TRUSTED_PROXIES")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if 0 < proxies <= len(forwarded):
        address = _without_port(forwarded[-proxies].strip())
        if _parsed(address) is not None:
            return address
    return str(request.META.get("REMOTE_ADDR") or "")


def check_attempt(account: str, address: str) -> None:
    """Count one attempt of a client address, then one on an account. Raises `TooMany`.

    A client that is over its limit adds nothing to an account's.
    """
    _count("address", _network(address), setting("SIGN_IN_ATTEMPTS_PER_ADDRESS"))
    _count("account", account, setting("SIGN_IN_ATTEMPTS_PER_ACCOUNT"))


def forgive(account: str) -> None:
    """Forget the attempts on an account: its owner has signed in."""
    _cache().delete(_key("account", account, _now()))


def _count(kind: str, who: str, limit: int) -> None:
    """One more of these; the count begins anew with every window of time."""
    now, window = _now(), setting("SIGN_IN_WINDOW")
    if _increment(_key(kind, who, now), window) > limit:
        raise TooMany("too many attempts to sign in", retry_after=int(window - now % window) + 1)


def _increment(key: str, window: int) -> int:
    """Add one, and what it makes. Never a read followed by a write: others count at once."""
    cache = _cache()
    for _ in range(3):
        if cache.add(key, 1, window):
            return 1
        try:
            return cache.incr(key)
        except ValueError:
            # It expired between the two.
            continue
    return 1


def _cache() -> BaseCache:
    return caches[setting("CACHE")]


def _now() -> float:
    return time.time()


def _key(kind: str, who: str, now: float) -> str:
    """What is counted under: a digest, since an address may hold what a cache's key may not."""
    hashed = hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()
    return f"rowkeeper:sign-in:{kind}:{hashed}:{int(now // setting('SIGN_IN_WINDOW'))}"


def _network(address: str) -> str:
    """What stands for one client: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _without_port(address: str) -> str:
    """`1.2.3.4:80` and `[::1]:80` as some proxies write them."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
