"""What goes to a worker and what comes from it, as the web process sees it: nothing is believed.

A worker whose script has broken out may say anything; what it says is held to its form here, and
whoever uses a verdict checks the query in it like a client's.
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
    """One look-up that a script asks for."""

    ask: str
    source: int | str
    where: dict[str, Any]
    limit: int = 0
    offset: int = 0

    def line(self, said: str) -> str:
        """One line for people: what was asked, and what came of it."""
        where = json.dumps(self.where, ensure_ascii=False)[:MAX_TEXT]
        return one_line(f"DataSources({self.source!r}).{self.ask}(where={where}): {said}")


def job(call: ScriptCall, limits: Limits) -> str:
    """What a worker is given to do. Raises `TypeError`, `ValueError` for what is no JSON."""
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
    """JSON, of any mappings and sequences. Raises `TypeError`, `ValueError` for what is none."""
    return _ENCODER.encode(value)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError(f"`{type(value).__name__}` is no value of JSON")


_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain)


def read(message: bytes, limits: Limits) -> dict[str, Any]:
    """A message that came in. Raises `Breach`."""
    try:
        said = _DECODER.decode(_bounded(message.decode("utf-8"), limits))
    except (ValueError, RecursionError) as error:
        raise Breach("sent what is no message") from error
    if not isinstance(said, dict):
        raise _malformed()
    return said


def _bounded(text: str, limits: Limits) -> str:
    """Refuse a text of too many values: a `[]` is two bytes of a message, and 64 or more of memory.

    The values are counted without parsing, so these characters count in texts, too. Raises
    `Breach`.
    """
    if sum(map(text.count, "[{,")) > limits.output_values:
        raise Breach(f"answered with more than {limits.output_values:,} values")
    return text


def question(said: dict[str, Any], limits: Limits) -> Question:
    """A look-up, held to its form. Raises `Breach`."""
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
    """The end of a run, held to its form. Raises `Breach`: what is none does not mean "no", after
    which later rules are tried.
    """
    error, note = said.get("error"), said.get("note", "")
    printed, granted = said.get("printed", ""), said.get("granted")
    if not isinstance(printed, str) or not isinstance(note, str) or not isinstance(granted, bool):
        raise _malformed()
    # One more, which tells that there was more.
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
    """The query as the script left it: what was sent, where it says nothing of it."""
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
    """JSON inside a message: sound, and not nested deeper than a client's. Raises `Breach`."""
    try:
        value = _DECODER.decode(_bounded(text, limits))
    except (ValueError, RecursionError) as error:
        raise Breach("sent what is no JSON") from error
    if not is_sound(value):
        raise Breach("left in `query` what is nested too deeply, or no number of JSON")
    return value


def is_sound(value: Any) -> bool:
    """Whether it is nested no deeper than may be stored, and its numbers are finite."""
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
    """Text for a line of a trace: short, whole characters, nothing that breaks or hides a line."""
    if len(text) <= MAX_TEXT and text.isprintable():
        return text
    line = "".join(c if c.isprintable() else " " for c in _whole(text[:MAX_TEXT]))
    return line + ("…" if len(text) > MAX_TEXT else "")


def _whole(text: str) -> str:
    """Without halves of characters, which nothing could store."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_within(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


def _malformed() -> Breach:
    return Breach("sent a malformed message")
