"""The addresses that people sign in with: found, and held apart."""

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
    """(id, row) of each row with that address, compared as `normal_address` says."""
    wanted = normal_address(address)
    source = registry.find(source_id)
    if source is None or wanted is None:
        return []
    same = address_is(dialect(), login.email_column, wanted)
    return [(entry.id, entry.data) for entry in fetched(source, same, lock=False).values()]


def normal_address(value: Any) -> str | None:
    """An address as it is compared: composed (NFC), in lower case, without outer blanks; None for
    what is none.
    """
    if not isinstance(value, str):
        return None
    return address_key(value) or None


def address_in(source: Source, row: Mapping[str, Any]) -> str | None:
    """The address that a row signs in with, as it is compared."""
    return normal_address(row.get(source.login.email_column)) if source.login else None


def check_unique(source: Source, written: Sequence[Mapping[str, Any]]) -> None:
    """After a write: does any address that was written stand in two rows?"""
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
        raise AddressTaken("another row has that address")
