"""JSON text in and out: read strictly, written in one canonical spelling.

The spelling matters: on SQLite two scalars are equal where their texts are, and a path finds a
key only where the text has it as the path does. So every row is written by `dumps`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

import re2

from ..errors import Malformed, NotJson
from .validation import MAX_INTEGER, MIN_INTEGER, Json, printable, problem_with_text, texts_in


def loads(text: str | bytes, subject: str = "the body") -> Any:
    """The value of a JSON text, which messages call `subject`.

    Raises `Malformed` for what is no JSON, for duplicate keys, NaN and Infinity, numbers that a
    double or 64 bits cannot hold, NUL, lone surrogates, and nesting that is too deep to read.
    """
    decoded = _decoded(text, subject) if isinstance(text, bytes) else text
    try:
        value = _decoder.decode(decoded)
    except json.JSONDecodeError as error:
        raise not_json(error, subject) from None
    except RecursionError:
        raise Malformed(f"{subject} nests too deep") from None
    if "\\u" in decoded or not isinstance(text, bytes):
        refuse_unstorable(value)
    return value


def dumps(value: object) -> str:
    """The canonical text: no blanks, Unicode as itself, `"` inside a key as `\\u0022`, and minus
    nought as nought, which it equals: `loads` gives none, but scripts and Python may write one.
    """
    text = _encoder.encode(value)
    if "-0.0" in text:
        value = _without_minus(value)
        text = _encoder.encode(value)
    return _spelled_out(value) if '\\"' in text else text


def canonical(value: object) -> str:
    """A text that is equal for equal values: keys sorted, whole floats written as integers."""
    if isinstance(value, dict):
        items = ",".join(f"{_key(key)}:{canonical(value[key])}" for key in sorted(value))
        return f"{{{items}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _encoder.encode(value)


def path_of(column: str) -> str:
    """SQLite's JSON path to one key of a row."""
    return f"$.{_key(column)}"


def restore_large_doubles(text: str) -> str:
    """The text of rows from PostgreSQL, with doubles beyond 64 bits spelled as doubles again.

    jsonb writes 1e+21 as 1000000000000000000000, which is no integer that this API takes back.
    """
    # Nineteen digits in a row hold four of every fourth character; no time of an entry does.
    if _SOME_DIGITS.search(text[::4]) is None or _LONG_DIGITS.search(text) is None:
        return text
    return _encoder.encode(json.loads(text, parse_int=_int_or_double))


# Every answer is searched: this takes a tenth of the time that Python's own takes, and a look at a
# quarter of the text first a third of that.
_SOME_DIGITS = re2.compile("[0-9]{4}")
_LONG_DIGITS = re2.compile("[0-9]{19}")


def _int_or_double(digits: str) -> int | float:
    number = int(digits) if len(digits) < 400 else float(digits)
    return number if MIN_INTEGER <= number <= MAX_INTEGER else float(number)


def _key(name: str) -> str:
    # No SQLite before 3.45 finds `\"` in a path; all of them find the other spelling.
    parts = [_encoder.encode(part)[1:-1] for part in name.split('"')]
    return '"' + "\\u0022".join(parts) + '"'


def _spelled_out(value: object) -> str:
    if isinstance(value, dict):
        items = ",".join(f"{_key(key)}:{_spelled_out(value[key])}" for key in value)
        return f"{{{items}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_spelled_out, value))}]"
    return _encoder.encode(value)


def _without_minus(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_minus(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_minus(item) for item in value]
    return value or 0.0 if isinstance(value, float) else value


def _decoded(data: bytes, subject: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{subject} is no UTF-8 text (byte {error.start})") from None


def not_json(error: json.JSONDecodeError, subject: str) -> NotJson:
    """The failure for a text that is no JSON, naming the place."""
    place = f"line {error.lineno}, column {error.colno}"
    why = error.msg.lower().removesuffix(" at")
    return NotJson(f"{subject} is no JSON: {why} at {place}", error.lineno, error.colno)


def refuse_unstorable(value: object) -> None:
    """Raise `Malformed` for NUL and lone surrogates in any text of a value."""
    for text in texts_in(value):
        problem = problem_with_text(text)
        if problem:
            raise Malformed(f"the text `{printable(text)}` {problem}")


def object_of(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """A JSON object. Raises `Malformed` for duplicate keys."""
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Malformed(f"the key `{printable(key)}` stands twice in one object")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise Malformed(f"the integer `{printable(digits)}` is beyond 64 bits")
    return number


def _double(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Malformed(f"the number `{printable(digits)}` is too large")
    # Minus nought is equal to nought, and jsonb cannot hold it.
    return number or 0.0


def _constant(name: str) -> NoReturn:
    raise Malformed(f"`{name}` is no JSON value")


_decoder = json.JSONDecoder(
    object_pairs_hook=object_of, parse_int=_integer, parse_float=_double, parse_constant=_constant
)
# (text, start) -> (value, end); the types that mypy knows leave this out.
scan_once: Any = cast(Any, _decoder).scan_once
_encoder = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)


class RowEncoder(json.JSONEncoder):
    """What `Entry.data` is written with."""

    def encode(self, o: object) -> str:
        """The canonical JSON text of a value, by `dumps`."""
        return dumps(o)
