"""The body of a bulk write, parsed as it arrives: neither its bytes nor its text are held whole."""

from __future__ import annotations

import json
import json.decoder
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any

from .errors import Malformed, TooLarge
from .jsontext import not_json, object_of, refuse_unstorable, scan_once
from .values import Json

# The lists of a bulk write that are as long as it has rows.
LISTS = ("entries", "delete")
# Bytes that are read at a time.
CHUNK, MOST_AT_ONCE = 65_536, 1_048_576
# A row may be so many times as long as a usual body, for the sake of long texts; and one over a
# megabyte may have so many commas and brackets.
ROW_FACTOR, MOST_VALUES = 16, 1_000_000
# How many values the rows of a request may have. A value within a list or an object counts several
# times, as it can take far more memory than its text: `{}` takes 72 bytes.
MOST_IN_ALL, NESTED = 2_500_000, 3
# Characters of the longest token that is no text or number, and of two escapes: where a text is cut
# within one, the error is so near to the end.
_TOKEN = 16
# Characters of a number, at most, that is one.
_MAX_NUMBER = 1_000
# The types that mypy knows leave these out.
_parts: Any = json.decoder
_scanstring, _blanks = _parts.scanstring, _parts.WHITESPACE.match


def loads_bulk(read: Callable[[int], bytes], most: int, longest: int) -> Any:
    """The value of a JSON text that `read` gives in pieces of so many bytes; see `jsontext.loads`.

    Raises `TooLarge` as soon as the lists `entries` and `delete` have more than `most` items
    together, or all else together is longer than `longest` characters, or one item is far longer or
    has too many values, or all of them have too many: the rest is not read.
    Whatever else is wrong is as for `loads`.
    """
    text = _Text(read)
    try:
        value = _Reader(text, most, longest).value()
    except json.JSONDecodeError as error:
        # Counted from where the text that is held begins.
        error.colno += text.column if error.lineno == 1 else 0
        error.lineno += text.lines
        raise not_json(error, "the body") from None
    except RecursionError:
        raise Malformed("the body nests too deep") from None
    if text.has_escapes:
        refuse_unstorable(value)
    return value


def _scan_key(text: str, at: int) -> tuple[str, int]:
    found: tuple[str, int] = _scanstring(text, at, True)
    return found


class _Text:
    """The part of a text that is being parsed: `text` from `at` on, and more if asked for."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._decoder = read, getincrementaldecoder("utf-8")()
        self.text, self.at, self.is_all, self.has_escapes = "", 0, False, False
        # What was dropped before `text`: lines, characters of the last one of them, and bytes read.
        self.lines, self.column, self._bytes = 0, 0, 0

    def more(self) -> bool:
        """Read as much again as there is, and drop what has been parsed; false: that was all."""
        if self.is_all:
            return False
        size = min(max(CHUNK, len(self.text) - self.at), MOST_AT_ONCE)
        data = self._read(size)
        pending = len(self._decoder.getstate()[0])
        try:
            new = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = self._bytes - pending + error.start
            raise Malformed(f"the body is no UTF-8 text (byte {place})") from None
        self._bytes += len(data)
        self.is_all = not data
        self.has_escapes = self.has_escapes or "\\" in new
        lines = self.text.count("\n", 0, self.at)
        last = self.text.rfind("\n", 0, self.at)
        self.column = self.at - last - 1 if lines else self.column + self.at
        self.lines += lines
        self.text, self.at = self.text[self.at :] + new, 0
        return True

    def _has_more(self, characters: int) -> bool:
        """Read so many more characters, if there are any."""
        before = len(self.text) - self.at
        while len(self.text) - self.at < before + characters and self.more():
            pass
        return len(self.text) - self.at > before

    def skip(self) -> None:
        """Pass blanks."""
        while True:
            self.at = _blanks(self.text, self.at).end()
            if self.at < len(self.text) or not self.more():
                return

    def is_next(self, character: str) -> bool:
        """Whether the next character is this one, which is then passed."""
        self.skip()
        if not self.text.startswith(character, self.at):
            return False
        self.at += 1
        return True

    def expect(self, character: str, otherwise: str) -> None:
        """Pass this character. Raises `JSONDecodeError` for another one."""
        if not self.is_next(character):
            raise json.JSONDecodeError(otherwise, self.text, self.at)

    def scan(
        self, scanner: Callable[[str, int], tuple[Any, int]], most: int, refused: str
    ) -> tuple[Any, int]:
        """What the scanner finds next, and its length, which is `most` characters at most.

        Raises `JSONDecodeError`, `Malformed`, and `TooLarge` with the words `refused`.
        """
        is_certain = False
        while True:
            try:
                value, end = scanner(self.text, self.at)
            except (StopIteration, json.JSONDecodeError) as error:
                problem = self._problem(error)
                is_open = problem.pos > len(self.text) - _TOKEN or "Unterminated" in problem.msg
                if not is_open:
                    # More text cannot make this right: reading it would only take memory.
                    raise problem from None
                if len(self.text) - self.at > most or self._has_many_values():
                    raise TooLarge(refused) from None
                if not self.more():
                    raise problem from None
            except Malformed:
                # Half of a number may be what no number is: `9999999999999999999` of `…99.5`.
                if is_certain or not self._has_more(_MAX_NUMBER):
                    raise
                is_certain = True
            else:
                # A number may go on in what has not been read: `1` as `1e+9`.
                following = self.text[end : end + 3]
                is_whole = len(following) == 3 or following[:1] not in ("", ".", "e", "E")
                if is_whole or not self.more():
                    length = end - self.at
                    if length > most:
                        raise TooLarge(refused)
                    self.at = end
                    return value, length

    def _has_many_values(self) -> bool:
        """Whether what is held, of one value, would take far more memory than its text."""
        if len(self.text) - self.at <= MOST_AT_ONCE:
            return False
        return sum(self.text.count(mark, self.at) for mark in ",[{") > MOST_VALUES

    def _problem(self, error: Exception) -> json.JSONDecodeError:
        if isinstance(error, json.JSONDecodeError):
            return error
        at = getattr(error, "value", self.at)
        return json.JSONDecodeError("Expecting value", self.text, at)


def _values_in(item: Json) -> int:
    """How many values a row counts as."""
    if not isinstance(item, (dict, list)):
        return 1
    found = 1 + len(item)
    nested = [item]
    while nested:
        parent = nested.pop()
        for value in parent.values() if isinstance(parent, dict) else parent:
            if isinstance(value, (dict, list)):
                # The list or object itself, and what is in it.
                found += NESTED * (1 + len(value))
                nested.append(value)
    return found


class _Reader:
    """Reads an object key by key, and its lists of rows item by item."""

    def __init__(self, text: _Text, most: int, longest: int) -> None:
        self.text, self.most, self.left = text, most, most
        self.values = MOST_IN_ALL
        # Characters of a row; of all keys and other values together, as far as they are not used.
        self.longest, self.elsewhere = longest * ROW_FACTOR, longest
        self.too_long = f"the body without its rows is longer than {longest} characters"

    def value(self) -> Any:
        """The whole text as a value. Raises `JSONDecodeError`, `TooLarge` and `Malformed`."""
        text = self.text
        if not text.is_next("{"):
            # Not what a bulk write is: an error, once it is known to be short.
            return self._short()
        pairs: list[tuple[str, Json]] = []
        while not text.is_next("}"):
            if pairs:
                text.expect(",", "Expecting ',' delimiter")
            text.expect('"', "Expecting property name enclosed in double quotes")
            key = self._key()
            text.expect(":", "Expecting ':' delimiter")
            is_list = key in LISTS and text.is_next("[")
            pairs.append((key, self._items(key) if is_list else self._short()))
        value = object_of(pairs)
        text.skip()
        if text.at != len(text.text):
            raise json.JSONDecodeError("Extra data", text.text, text.at)
        return value

    def _key(self) -> str:
        key: str
        key, length = self.text.scan(_scan_key, self.elsewhere, self.too_long)
        self.elsewhere -= length
        return key

    def _items(self, key: str) -> list[Json]:
        items: list[Json] = []
        while not self.text.is_next("]"):
            if items:
                self.text.expect(",", "Expecting ',' delimiter")
            if self.left == 0:
                raise TooLarge(
                    f"the request has more than {self.most} rows; send them in several requests"
                )
            self.left -= 1
            self.text.skip()
            refused = (
                f"`{key}[{len(items)}]` is longer than {self.longest} characters, or has too many "
                "values"
            )
            item = self.text.scan(scan_once, self.longest, refused)[0]
            self.values -= _values_in(item)
            if self.values < 0:
                raise TooLarge(
                    f"the rows have more than {MOST_IN_ALL} values, where each value within a list "
                    f"or an object of a row counts {NESTED} times; send them in several requests"
                )
            items.append(item)
        return items

    def _short(self) -> Json:
        """A value besides the rows. All of these together may not be long, so that what nobody
        asks for takes no memory.
        """
        self.text.skip()
        value: Json
        value, length = self.text.scan(scan_once, self.elsewhere, self.too_long)
        self.elsewhere -= length
        return value
