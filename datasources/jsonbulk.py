"""The body of a bulk write, parsed as it arrives: neither its bytes nor its text are held whole."""

from __future__ import annotations

import json
import json.decoder
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any

from .errors import Malformed, TooLarge
from .jsontext import not_json, object_of, refuse_unstorable, scan_once
from .values import Json, shown

# The lists of a bulk write that are as long as it has rows.
LISTS = ("entries", "delete")
CHUNK = 65_536
# Characters of a number, at most, that is one.
_MAX_NUMBER = 1_000
# The types that mypy knows leave these out.
_parts: Any = json.decoder
_scanstring, _blanks = _parts.scanstring, _parts.WHITESPACE.match


def loads_bulk(read: Callable[[int], bytes], most: int, elsewhere: int) -> Any:
    """The value of a JSON text that `read` gives in pieces of so many bytes; see `jsontext.loads`.

    Raises `TooLarge` as soon as the lists `entries` and `delete` have more than `most` items
    together, or another value is longer than `elsewhere` characters: the rest is not read.
    Whatever else is wrong is as for `loads`.
    """
    text = _Text(read)
    try:
        value = _Reader(text, most, elsewhere).value()
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
        size = max(CHUNK, len(self.text) - self.at)
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

    def scan(self, scanner: Callable[[str, int], tuple[Any, int]]) -> Any:
        """What the scanner finds next. Raises `JSONDecodeError` and `Malformed`."""
        is_certain = False
        while True:
            try:
                value, end = scanner(self.text, self.at)
            except StopIteration as stopped:
                if not self.more():
                    at = stopped.value
                    raise json.JSONDecodeError("Expecting value", self.text, at) from None
            except json.JSONDecodeError:
                if not self.more():
                    raise
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
                    self.at = end
                    return value


class _Reader:
    """Reads an object key by key, and its lists of rows item by item."""

    def __init__(self, text: _Text, most: int, elsewhere: int) -> None:
        self.text, self.most, self.left, self.elsewhere = text, most, most, elsewhere

    def value(self) -> Any:
        """The whole text as a value. Raises `JSONDecodeError`, `TooLarge` and `Malformed`."""
        text = self.text
        if not text.is_next("{"):
            # Not what a bulk write is: an error, once it is known to be short.
            return self._short("the body")
        pairs: list[tuple[str, Json]] = []
        while not text.is_next("}"):
            if pairs:
                text.expect(",", "Expecting ',' delimiter")
            text.expect('"', "Expecting property name enclosed in double quotes")
            key = text.scan(lambda held, at: _scanstring(held, at, True))
            text.expect(":", "Expecting ':' delimiter")
            is_list = key in LISTS and text.is_next("[")
            pairs.append((key, self._items() if is_list else self._short(f"`{shown(key)}`")))
        value = object_of(pairs)
        text.skip()
        if text.at != len(text.text):
            raise json.JSONDecodeError("Extra data", text.text, text.at)
        return value

    def _items(self) -> list[Json]:
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
            items.append(self.text.scan(scan_once))
        return items

    def _short(self, what: str) -> Json:
        """A value that may not be long, so that what nobody asks for takes no memory."""
        text = self.text
        text.skip()
        while len(text.text) - text.at <= self.elsewhere:
            if not text.more():
                found: Json = text.scan(scan_once)
                return found
        start, part = text.at, text.text[text.at : text.at + self.elsewhere]
        try:
            value: Json
            value, end = scan_once(part, 0)
        except (StopIteration, json.JSONDecodeError) as error:
            at = error.pos if isinstance(error, json.JSONDecodeError) else error.value
            message = getattr(error, "msg", "Expecting value")
            if at < len(part) - 8 and not message.startswith("Unterminated string"):
                raise json.JSONDecodeError(message, text.text, start + at) from None
            raise TooLarge(f"{what} is longer than {self.elsewhere} characters") from None
        text.at = start + end
        return value
