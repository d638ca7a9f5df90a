"""Reads JSON text strictly, and writes it in one canonical form.

The form matters: on SQLite two scalars are equal if their texts are equal, and a path finds a key
only if the text has it in the same form as the path. So every row is written by `dumps`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

import re2

from ..errors import Malformed, NotJson
from .validation import MAX_INTEGER, MIN_INTEGER, Json, printable, problem_with_text, texts_in


def loads(text: str | bytes, subject: str = "the body") -> Any:
    """Parse a JSON text, which messages call `subject`.

    Raises `Malformed` for invalid JSON, duplicate keys, NaN and Infinity, numbers that do not fit
    in a double or 64 bits, NUL, lone surrogates, and nesting that is too deep to parse.
    """
    decoded = _decoded(text, subject) if isinstance(text, bytes) else text
    try:
        value = _decoder.decode(decoded)
    except json.JSONDecodeError as error:
        raise not_json(error, subject) from None
    except RecursionError:
        raise Malformed(f"{subject} is nested too deeply") from None
    if "\\u" in decoded or not isinstance(text, bytes):
        refuse_unstorable(value)
    return value


def dumps(value: object) -> str:
    """Return the canonical JSON text of a value.

    It has no whitespace, Unicode unescaped, `"` inside a key as `\\u0022`, and -0.0 as 0.0, to
    which it is equal: `loads` returns no -0.0, but scripts and Python code may.
    """
    text = _encoder.encode(value)
    if "-0.0" in text:
        value = _without_minus(value)
        text = _encoder.encode(value)
    return _spelled_out(value) if '\\"' in text else text


def canonical(value: object) -> str:
    """Return a text that is equal for equal values: keys sorted, whole floats as integers."""
    if isinstance(value, dict):
        items = ",".join(f"{_key(key)}:{canonical(value[key])}" for key in sorted(value))
        return f"{{{items}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _encoder.encode(value)


def path_of(column: str) -> str:
    """Return SQLite's JSON path to one key of a row."""
    return f"$.{_key(column)}"


def restore_large_doubles(text: str) -> str:
    """Return the text of rows from PostgreSQL with doubles beyond 64 bits written as doubles again.

    jsonb writes 1e+21 as 1000000000000000000000, an integer that this API does not accept.
    """
    # Of nineteen digits in a row, every fourth character gives four; times of entries have fewer.
    if _SOME_DIGITS.search(text[::4]) is None or _LONG_DIGITS.search(text) is None:
        return text
    return _encoder.encode(json.loads(text, parse_int=_int_or_double))


# Every answer is searched: re2 takes a tenth of the time of Python's `re`, and the check of a
# quarter of the text first a third of that.
_SOME_DIGITS = re2.compile("[0-9]{4}")
_LONG_DIGITS = re2.compile("[0-9]{19}")


def _int_or_double(digits: str) -> int | float:
    number = int(digits) if len(digits) < 400 else float(digits)
    return number if MIN_INTEGER <= number <= MAX_INTEGER else float(number)


def _key(name: str) -> str:
    # SQLite before 3.45 does not find `\"` in a path; all versions find `\u0022`.
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
        raise Malformed(f"{subject} is not UTF-8 text (byte {error.start})") from None


def not_json(error: json.JSONDecodeError, subject: str) -> NotJson:
    """Return the error for a text that is not JSON, with its place."""
    place = f"line {error.lineno}, column {error.colno}"
    why = error.msg.lower().removesuffix(" at")
    return NotJson(f"{subject} is not valid JSON: {why} at {place}", error.lineno, error.colno)


def refuse_unstorable(value: object) -> None:
    """Raise `Malformed` for NUL or a lone surrogate in any text of a value."""
    for text in texts_in(value):
        problem = problem_with_text(text)
        if problem:
            raise Malformed(f"the text `{printable(text)}` {problem}")


def object_of(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return a JSON object. Raises `Malformed` for duplicate keys."""
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Malformed(f"the key `{printable(key)}` is in the same object twice")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise Malformed(f"the integer `{printable(digits)}` does not fit in 64 bits")
    return number


def _double(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Malformed(f"the number `{printable(digits)}` is too large")
    # -0.0 equals 0.0, and jsonb cannot store it.
    return number or 0.0


def _constant(name: str) -> NoReturn:
    raise Malformed(f"`{name}` is not a JSON value")


_decoder = json.JSONDecoder(
    object_pairs_hook=object_of, parse_int=_integer, parse_float=_double, parse_constant=_constant
)
# (text, start) -> (value, end); mypy's stubs do not include this.
scan_once: Any = cast(Any, _decoder).scan_once
_encoder = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)


class RowEncoder(json.JSONEncoder):
    """The JSON encoder of `Entry.data`."""

    def encode(self, o: object) -> str:
        """Return the canonical JSON text of a value, by `dumps`."""
        return dumps(o)
