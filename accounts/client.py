"""The address of the client that sent a request, and the network that limits count it by."""

from __future__ import annotations

import ipaddress
import logging

from django.http import HttpRequest

from rowkeeper.datasources.caching import memoize
from rowkeeper.datasources.conf import setting

logger = logging.getLogger("rowkeeper.accounts")

# A subscriber gets a /64 with 2^64 addresses, and often a /48 with 65,536 such networks.
_IPV6_NETWORK_BITS = 64
_IPV6_SITE_BITS = 48


def client_address(request: HttpRequest) -> str:
    """The address that a request came from, as far as it can be known for certain.

    `X-Forwarded-For` counts only as far as the site's own proxies appended to it: with n proxies,
    the n-th address from the right. The client can choose everything to the left of it.
    """
    proxies = setting("TRUSTED_PROXIES")
    header = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if header and not proxies:
        _warn_of_undeclared_proxy()
    forwarded = header.split(",")
    if 0 < proxies <= len(forwarded):
        address = _without_port(forwarded[-proxies].strip())
        if _parsed(address) is not None:
            return address
    return str(request.META.get("REMOTE_ADDR") or "")


def network_of(address: str) -> str:
    """The network that limits count a client by: its IPv4 address, or its IPv6 /64."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))


def site_of(address: str) -> str | None:
    """The /48 of an IPv6 address, which one subscriber may own; None for any other address."""
    parsed = _parsed(address)
    if parsed is None or parsed.version == 4 or parsed.ipv4_mapped:
        return None
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_SITE_BITS), strict=False))


@memoize(1)
def _warn_of_undeclared_proxy() -> None:
    """Log this once in each process: otherwise any client could flood the log."""
    logger.warning(
        "A request has the header X-Forwarded-For, but TRUSTED_PROXIES is 0. If this site is "
        "behind a proxy, all clients of the proxy share one limit of failed sign-ins: set "
        "TRUSTED_PROXIES to the number of proxies. Otherwise, a client sent a forged header."
    )


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
