"""`DataSources(...)` as scripts see it. Queries are sent to the web process, which answers them.

Nothing is stored here. The web process decides whether and how often a script may query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .callables import plain, without_module
from .guards import METHODS
from .values import Missing, described, encoded

DEFAULT_LIMIT: Final = 100
MAX_OFFSET: Final = 2**31
MAX_NAME: Final = 255

# Sends a query and returns the answer. Raises `LookupError` if there is none.
LookUp: TypeAlias = Callable[[dict[str, Any]], Any]


class Source:
    """One data source to read. All methods take keywords, or a single dict of them."""

    __slots__ = ("_look_up", "_most", "_reference")

    def __init__(self, look_up: LookUp, most: int, reference: int | str) -> None:
        self._look_up, self._most, self._reference = look_up, most, reference

    def __repr__(self) -> str:
        return f"DataSources({self._reference!r})"

    def find(self, *options: Any, **named: Any) -> Any:
        """The entries that match `where`: at most `limit`, starting at `offset`."""
        return self._records(_options("find", options, named))

    def find_one(self, *options: Any, **named: Any) -> Any:
        """The first entry that matches `where`, or None."""
        found = self._records({**_options("find_one", options, named), "limit": 1})
        return found[0] if found else None

    findOne = find_one  # noqa: N815 (the name in JavaScript)

    def count(self, *options: Any, **named: Any) -> Any:
        """The number of entries that match `where`."""
        parsed = _options("count", options, named, ("where",))
        return self._look_up({"ask": "count", "source": self._reference, "where": _where(parsed)})

    def _records(self, parsed: Mapping[str, Any]) -> Any:
        return self._look_up(
            {
                "ask": "find",
                "source": self._reference,
                "where": _where(parsed),
                "limit": _number(parsed, "limit", min(DEFAULT_LIMIT, self._most), self._most),
                "offset": _number(parsed, "offset", 0, MAX_OFFSET),
            }
        )


METHODS[Source] = frozenset(("find", "find_one", "findOne", "count"))
without_module(Source, "DataSource")


def data_sources(look_up: LookUp, most: int) -> Callable[[Any], Any]:
    """The function `DataSources`, for look-ups of at most `most` entries."""

    def DataSources(reference: Any) -> Source:  # noqa: N802
        if isinstance(reference, Missing):
            raise LookupError(
                f"{described(reference)} is missing; pass the ID or the name of a data source"
            )
        if not is_reference(reference):
            raise LookupError(
                "the argument must be an ID (a number) or a name (text) of a data source"
            )
        return Source(look_up, most, reference)

    DataSources.__qualname__ = "DataSources"
    return plain(DataSources)


def is_reference(value: object) -> bool:
    """Whether a value could be the id or the name of a data source."""
    if type(value) is str:
        return 0 < len(value) <= MAX_NAME
    return type(value) is int and 0 < value < 2**63


def _options(
    method: str,
    options: tuple[Any, ...],
    named: dict[str, Any],
    known: tuple[str, ...] = ("where", "limit", "offset"),
) -> dict[str, Any]:
    """The options from keywords, or from a single dict of them, as in JavaScript."""
    if options and (named or len(options) > 1 or not isinstance(options[0], dict)):
        raise LookupError(
            f"`{method}` takes keyword arguments, or a dict of them: {', '.join(known)}"
        )
    given = dict(options[0]) if options else named
    for name in given:
        if name not in known:
            raise LookupError(
                f"`{method}` has no argument `{name}`, only {', '.join(known)}; put conditions "
                "into `where={...}`"
            )
    return given


def _where(parsed: Mapping[str, Any]) -> dict[str, Any]:
    where = parsed.get("where")
    if where is None:
        return {}
    if isinstance(where, Missing):
        raise LookupError(f"`where`: {described(where)} is missing")
    if not isinstance(where, dict):
        raise LookupError("`where` must be a dict of conditions")
    try:
        encoded(where)
    except (TypeError, ValueError) as error:
        raise LookupError(f"`where`: {error}") from None
    return where


def _number(parsed: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = parsed.get(name)
    if value is None:
        return default
    if type(value) is not int or not 0 <= value <= most:
        raise LookupError(f"`{name}` must be a whole number from 0 to {most:,}")
    return value
