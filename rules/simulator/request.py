"""Parse the simulator's JSON: who requests what, under which rules.

Request bodies travel as text, since their numbers may be larger than a browser can represent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.values.codec import loads
from rowkeeper.datasources.values.format import read
from rowkeeper.datasources.values.validation import MAX_INTEGER, printable

from ..engine.rule import Operation

Kind: TypeAlias = Literal["anonymous", "row", "data", "token", "django"]
Action: TypeAlias = Literal["select", "insert", "update", "delete", "commit"]
KINDS: tuple[str, ...] = get_args(Kind)
ACTIONS: tuple[str, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Who:
    """Who sends the request. `name`: an email, an entry id or a username; `data`: JSON text."""

    kind: str = "anonymous"
    source_id: int | None = None
    name: str = ""
    data: str = ""
    token_id: int | None = None
    app_id: int | None = None


@dataclass(frozen=True, slots=True)
class SimulatedRequest:
    """A request to simulate. `rules` None: the stored rules."""

    who: Who
    action: str
    body: str = ""
    entry_id: int | None = None
    rules: Any = None

    @property
    def operation(self) -> Operation:
        """The operation. Only meaningful if the action is not a commit."""
        return self.action  # type: ignore[return-value]

    @property
    def needs_entries(self) -> bool:
        """Whether the answer depends on stored entries, and therefore discloses some of them."""
        return self.entry_id is not None or self.action in ("update", "commit")


def parse_request(sent: dict[str, Any]) -> SimulatedRequest:
    """Parse the simulator's JSON. Raises `Malformed`, which names the property."""
    return SimulatedRequest(
        _who(sent.get("as") or {}),
        _one_of(sent, "operation", ACTIONS),
        _text(sent, "body"),
        _number(sent, "entry"),
        rules_of_text(_text(sent, "rules")) if sent.get("rules") is not None else None,
    )


def rules_of_text(text: str) -> list[Any]:
    """The rules as the form accepts them: empty text means none. Raises `Malformed`."""
    found = read(text) if text.strip() else []
    if not isinstance(found, list):
        raise Malformed("the rules must be a list of objects: [{…}, {…}]")
    return found


def object_of(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object; empty text is `{}`, as in the API. Raises `Malformed`."""
    value = loads(text, what) if text.strip() else {}
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be a JSON object")
    return value


def _who(sent: Any) -> Who:
    if not isinstance(sent, dict):
        raise Malformed("`as` must be an object")
    return Who(
        _one_of(sent, "kind", KINDS),
        _number(sent, "source"),
        _text(sent, "name").strip(),
        _text(sent, "data"),
        _number(sent, "token"),
        _number(sent, "app"),
    )


def _one_of(sent: dict[str, Any], key: str, names: tuple[str, ...]) -> str:
    value = sent.get(key)
    if not isinstance(value, str) or value not in names:
        raise Malformed(f"`{key}` must be one of {', '.join(names)}, not `{printable(value)}`")
    return value


def _text(sent: dict[str, Any], key: str) -> str:
    value = sent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"`{key}` must be text")
    return value


def _number(sent: dict[str, Any], key: str) -> int | None:
    value = sent.get(key)
    if value in (None, ""):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:30])
    if value.__class__ is not int or not 0 < value <= MAX_INTEGER:
        raise Malformed(f"`{key}` must be a whole number from 1, not `{printable(value)}`")
    return int(value)
