"""The addresses that users sign in with: looking them up, and keeping them unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog import registry
from ..catalog.registry import Source
from ..compiler.projection import address_is
from ..definition import Login
from ..errors import AddressTaken
from ..query.where import EVERYTHING
from ..values.validation import address_key
from .read import fetch_where, fetched
from .statements import dialect


def login_rows(source_id: int, login: Login, address: str) -> list[tuple[int, dict[str, Any]]]:
    """Return (id, row) of each row with this address, compared as in `normal_address`."""
    wanted = normal_address(address)
    source = registry.find(source_id)
    if source is None or wanted is None:
        return []
    same = address_is(dialect(), login.email_column, wanted)
    return [(entry.id, entry.data) for entry in fetched(source, same, lock=False).values()]


def normal_address(value: Any) -> str | None:
    """Return an address in the form that is compared, or None if it is empty or not a text.

    That form is composed (NFC), in lower case, without outer whitespace.
    """
    if not isinstance(value, str):
        return None
    return address_key(value) or None


def address_in(source: Source, row: Mapping[str, Any]) -> str | None:
    """Return the address that a row signs in with, in the form that is compared."""
    return normal_address(row.get(source.login.email_column)) if source.login else None


def check_unique(source: Source, written: Sequence[Mapping[str, Any]]) -> None:
    """After a write, raise `AddressTaken` if a written address is in two rows."""
    wanted = {address for row in written if (address := address_in(source, row))}
    if not wanted or source.login is None:
        return
    if len(wanted) <= 10:
        counts = [len(login_rows(source.id, source.login, address)) for address in wanted]
    else:
        held = [
            address_in(source, entry.data) for entry in fetch_where(source, EVERYTHING).values()
        ]
        seen: dict[str | None, int] = {}
        for address in held:
            seen[address] = seen.get(address, 0) + 1
        counts = [seen.get(address, 0) for address in wanted]
    if max(counts) > 1:
        raise AddressTaken("another row has that email address")
