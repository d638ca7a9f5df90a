"""JSON text in and out: read strictly, written in one canonical spelling.

The spelling matters: on SQLite two scalars are equal where their texts are, and a path finds a
key only where the text has it as the path does. So every row is written by `dumps`.
"""

from __future__ import annotations

import json
import json.decoder
from typing import Any, NoReturn, cast

import re2

from .errors import Malformed, NotJson, TooLarge
from .values import MAX_INTEGER, MIN_INTEGER, Json, problem_with_text, shown, texts_in

# The lists of a bulk write that are as long as it has rows.
BULK_LISTS = ("entries", "delete")


def loads(text: str | bytes, subject: str = "the body") -> Any:
    """The value of a JSON text, which messages call `subject`.

    Raises `Malformed` for what is no JSON, for duplicate keys, NaN and Infinity, numbers that a
    double or 64 bits cannot hold, NUL, lone surrogates, and nesting that is too deep to read.
    """
    decoded = _decoded(text, subject) if isinstance(text, bytes) else text
    try:
        value = _decoder.decode(decoded)
    except json.JSONDecodeError as error:
        raise _not_json(error, subject) from None
    except RecursionError:
        raise Malformed(f"{subject} nests too deep") from None
    if "\\u" in decoded or not isinstance(text, bytes):
        _refuse_unstorable(value)
    return value


def loads_bulk(data: bytes, most: int, elsewhere: int) -> Any:
    """The value of the body of a bulk write, read in parts: see `loads`.

    Raises `TooLarge` as soon as the lists `entries` and `delete` have more than `most` items, or
    another value is longer than `elsewhere` characters, before the rest is read. Whatever else is
    wrong is as for `loads`.
    """
    text = _decoded(data, "the body")
    try:
        value = _Bulk(text, most, elsewhere).value()
    except json.JSONDecodeError as error:
        raise _not_json(error, "the body") from None
    except RecursionError:
        raise Malformed("the body nests too deep") from None
    if "\\u" in text:
        _refuse_unstorable(value)
    return value


class _Bulk:
    """Reads an object key by key, and its lists of rows item by item. Python's own scanner reads
    each value.
    """

    def __init__(self, text: str, most: int, elsewhere: int) -> None:
        self.text, self.at, self.left = text, 0, most
        self.most, self.elsewhere = most, elsewhere

    def value(self) -> Any:
        """The whole text as a value. Raises `JSONDecodeError`, `TooLarge` and `Malformed`."""
        if not self._is_next("{"):
            # Not what a bulk write is: an error, unless it is short.
            return self._short("the body")
        pairs: list[tuple[str, Json]] = []
        while not self._is_next("}"):
            if pairs:
                self._expect(",", "Expecting ',' delimiter")
            self._expect('"', "Expecting property name enclosed in double quotes")
            key, self.at = _scanner.scanstring(self.text, self.at, True)
            self._expect(":", "Expecting ':' delimiter")
            is_list = key in BULK_LISTS and self._is_next("[")
            pairs.append((key, self._items() if is_list else self._short(f"`{shown(key)}`")))
        value = _object(pairs)
        self._skip()
        if self.at != len(self.text):
            raise json.JSONDecodeError("Extra data", self.text, self.at)
        return value

    def _items(self) -> list[Json]:
        items: list[Json] = []
        while not self._is_next("]"):
            if items:
                self._expect(",", "Expecting ',' delimiter")
            if self.left == 0:
                raise TooLarge(
                    f"the request has more than {self.most} rows; send them in several requests"
                )
            self.left -= 1
            self._skip()
            items.append(self._scan(self.text, self.at))
        return items

    def _short(self, what: str) -> Json:
        """A value that may not be long, so that what nobody asks for takes no memory."""
        self._skip()
        if len(self.text) - self.at <= self.elsewhere:
            return self._scan(self.text, self.at)
        start, part = self.at, self.text[self.at : self.at + self.elsewhere]
        try:
            value = self._scan(part, 0)
        except json.JSONDecodeError as error:
            if error.pos < len(part) - 8 and not error.msg.startswith("Unterminated string"):
                raise json.JSONDecodeError(error.msg, self.text, start + error.pos) from None
            raise TooLarge(f"{what} is longer than {self.elsewhere} characters") from None
        self.at += start
        return value

    def _scan(self, text: str, at: int) -> Json:
        value: Json
        try:
            value, self.at = _scan_once(text, at)
        except StopIteration as error:
            raise json.JSONDecodeError("Expecting value", text, error.value) from None
        return value

    def _skip(self) -> None:
        self.at = _scanner.WHITESPACE.match(self.text, self.at).end()

    def _is_next(self, character: str) -> bool:
        """Whether the next character is this one, which is then passed."""
        self._skip()
        if not self.text.startswith(character, self.at):
            return False
        self.at += 1
        return True

    def _expect(self, character: str, otherwise: str) -> None:
        if not self._is_next(character):
            raise json.JSONDecodeError(otherwise, self.text, self.at)


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


def rows_as_numbers_went_in(text: str) -> str:
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


def _not_json(error: json.JSONDecodeError, subject: str) -> NotJson:
    place = f"line {error.lineno}, column {error.colno}"
    why = error.msg.lower().removesuffix(" at")
    return NotJson(f"{subject} is no JSON: {why} at {place}", error.lineno, error.colno)


def _refuse_unstorable(value: object) -> None:
    for text in texts_in(value):
        problem = problem_with_text(text)
        if problem:
            raise Malformed(f"the text `{shown(text)}` {problem}")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Malformed(f"the key `{shown(key)}` stands twice in one object")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise Malformed(f"the integer `{shown(digits)}` is beyond 64 bits")
    return number


def _double(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Malformed(f"the number `{shown(digits)}` is too large")
    # Minus nought is equal to nought, and jsonb cannot hold it.
    return number or 0.0


def _constant(name: str) -> NoReturn:
    raise Malformed(f"`{name}` is no JSON value")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_double, parse_constant=_constant
)
# What Python's decoder is made of; the types that mypy knows leave these out.
_scanner: Any = json.decoder
_scan_once: Any = cast(Any, _decoder).scan_once
_encoder = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)


class RowEncoder(json.JSONEncoder):
    """What `Entry.data` is written with."""

    def encode(self, o: object) -> str:
        """See `dumps`."""
        return dumps(o)
