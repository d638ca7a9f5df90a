"""Messages to and from workers, as the web process sees them: it trusts none of them.

If a script has taken over its worker, any message may come in. Their form is checked here, and code
that uses a verdict checks the query in it as it checks a client's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from rowkeeper.datasources.values.validation import MAX_DEPTH, problem_with_text
from rowkeeper.rules.sandbox.protocol import ScriptCall, ScriptVerdict

from .limits import Limits
from .process import Breach
from .worker.data_sources import MAX_OFFSET, is_reference

MAX_TEXT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """One look-up that a script requests."""

    ask: str
    source: int | str
    where: dict[str, Any]
    limit: int = 0
    offset: int = 0

    def line(self, said: str) -> str:
        """The look-up and its result, as one line for people."""
        where = json.dumps(self.where, ensure_ascii=False)[:MAX_TEXT]
        return one_line(f"DataSources({self.source!r}).{self.ask}(where={where}): {said}")


def job(call: ScriptCall, limits: Limits) -> str:
    """The message that starts a run. Raises `TypeError` or `ValueError` if it is not JSON."""
    return encoded(
        {
            "source": call.source,
            "type": call.operation,
            "user": call.user,
            "query": call.query,
            "entry": call.entry,
            "entries": call.entries,
            "print": limits.print_characters,
            "rows": limits.lookup_rows,
        }
    )


def encoded(value: Any) -> str:
    """Encode mappings and sequences as JSON. Raises `TypeError`, `ValueError` otherwise."""
    return _ENCODER.encode(value)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError(f"`{type(value).__name__}` is not a JSON value")


_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain)


def read(message: bytes, limits: Limits) -> dict[str, Any]:
    """Decode a message from a worker. Raises `Breach`."""
    try:
        said = _DECODER.decode(_bounded(message.decode("utf-8"), limits))
    except (ValueError, RecursionError) as error:
        raise Breach("sent an invalid message") from error
    if not isinstance(said, dict):
        raise _malformed()
    return said


def _bounded(text: str, limits: Limits) -> str:
    """Refuse text with too many values: `[]` is two bytes of a message, but 64 or more of memory.

    The values are counted without parsing, so that these characters also count inside texts.
    Raises `Breach`.
    """
    if sum(map(text.count, "[{,")) > limits.output_values:
        raise Breach(f"answered with more than {limits.output_values:,} values")
    return text


def question(said: dict[str, Any], limits: Limits) -> Question:
    """A look-up, after its form has been checked. Raises `Breach`."""
    source, where = said.get("source"), said.get("where")
    limit, offset = said.get("limit", 0), said.get("offset", 0)
    if said["ask"] not in ("find", "count") or not is_reference(source):
        raise _malformed()
    if not isinstance(where, dict) or not is_sound(where):
        raise _malformed()
    if not _is_within(limit, limits.lookup_rows) or not _is_within(offset, MAX_OFFSET):
        raise _malformed()
    assert isinstance(source, int | str)
    return Question(said["ask"], source, where, limit, offset)


def verdict(said: dict[str, Any], call: ScriptCall, limits: Limits) -> ScriptVerdict:
    """The verdict at the end of a run, after its form has been checked.

    Raises `Breach`: a malformed verdict must not count as "no", after which later rules are tried.
    """
    error, note = said.get("error"), said.get("note", "")
    printed, granted = said.get("printed", ""), said.get("granted")
    if not isinstance(printed, str) or not isinstance(note, str) or not isinstance(granted, bool):
        raise _malformed()
    # One character more than the limit, which shows that there was more.
    printed = _whole(printed[: limits.print_characters + 1])
    if error is not None:
        return ScriptVerdict(False, error=one_line(str(error)), printed=printed)
    if not granted:
        return ScriptVerdict(False, printed=printed, note=one_line(note))
    return ScriptVerdict(
        True,
        include=_columns(said.get("include")),
        exclude=_columns(said.get("exclude")),
        query=_query(said.get("query"), call, limits),
        printed=printed,
    )


def _columns(names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _malformed()
    if any(map(problem_with_text, names)):
        raise _malformed()
    return tuple(names)


def _query(text: Any, call: ScriptCall, limits: Limits) -> Any:
    """The query as the script left it; as it was sent, if the message has none."""
    if text is None or call.operation == "delete":
        return call.query
    if not isinstance(text, str):
        raise _malformed()
    query = read_value(text, limits)
    if isinstance(call.query, Mapping):
        fits = isinstance(query, dict)
    else:
        fits = isinstance(query, list) and len(query) == len(call.query)
        fits = fits and all(isinstance(row, dict) for row in query)
    if not fits:
        raise _malformed()
    return query


def read_value(text: str, limits: Limits) -> Any:
    """Decode JSON inside a message: finite numbers, limited nesting. Raises `Breach`."""
    try:
        value = _DECODER.decode(_bounded(text, limits))
    except (ValueError, RecursionError) as error:
        raise Breach("sent invalid JSON") from error
    if not is_sound(value):
        raise Breach(
            "left a value in `query` that is nested too deeply, or a number that is not valid in "
            "JSON"
        )
    return value


def is_sound(value: Any) -> bool:
    """Whether a value is nested no deeper than can be stored, and its numbers are finite."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return False
        if isinstance(item, dict | list):
            if depth >= MAX_DEPTH:
                return False
            members = item.values() if isinstance(item, dict) else item
            waiting += [(member, depth + 1) for member in members]
    return True


def one_line(text: str) -> str:
    """Make text fit one line of a trace: shortened, without unprintable characters."""
    if len(text) <= MAX_TEXT and text.isprintable():
        return text
    line = "".join(c if c.isprintable() else " " for c in _whole(text[:MAX_TEXT]))
    return line + ("…" if len(text) > MAX_TEXT else "")


def _whole(text: str) -> str:
    """Replace lone surrogates, which cannot be stored."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_within(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not valid JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


def _malformed() -> Breach:
    return Breach("sent a malformed message")
