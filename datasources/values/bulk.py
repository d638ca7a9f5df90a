"""The body of a bulk write, parsed as it arrives: neither its bytes nor its text are held whole."""

from __future__ import annotations

import json
import json.decoder
import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import Malformed, TooLarge
from .codec import not_json, object_of, refuse_unstorable, scan_once
from .validation import Json

# The lists of a bulk write that are as long as it has rows.
LISTS = ("entries", "delete")
# Bytes that are read at a time.
CHUNK, MOST_AT_ONCE = 65_536, 1_048_576
# A row may be so many times as long as a usual body, for the sake of long texts.
ROW_FACTOR = 16
# Characters of the longest token that is no text or number, and of two escapes: where a text is cut
# within one, the error is so near to the end.
_TOKEN = 16
# Characters of a number, at most, that is one.
_MAX_NUMBER = 1_000
# What stands between two items of a list, and how the second one begins: for an object, with its
# first key. It is short, as a long one that is nearly there again and again takes long to be found.
_between = re.compile(r'[ \t\n\r]{0,9},[ \t\n\r]{0,9}(\S(?:[ \t\n\r]{0,9}"[^"\\]{0,16})?)').match
# An escape; and a text without escapes, also one whose end is missing. One pattern for both would
# take much memory for each escape.
_escape, _string = re.compile(r"\\.", re.DOTALL), re.compile(r'"[^"]*"?')
# A list or an object that is empty, or of which nothing more is known.
_empty = re.compile(r"[\[{][ \t\n\r]*(?:[\]}]|\Z)")
# The types that mypy knows leave these out.
_parts: Any = json.decoder
_scanstring, _blanks = _parts.scanstring, _parts.WHITESPACE.match


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a bulk write may send: items of `entries` and `delete`, values in these items, and
    characters of all the rest. One item may have `ROW_FACTOR` times these characters.
    """

    rows: int
    values: int
    characters: int


def loads_bulk(read: Callable[[int], bytes], limits: Limits) -> Any:
    """The value of a JSON text that `read` gives in pieces of so many bytes; see `codec.loads`.

    Raises `TooLarge` as soon as a limit is exceeded: the rest is not read. Whatever else is wrong
    is as for `loads`.
    """
    text = _Text(read)
    try:
        value = _Reader(text, limits).value()
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
        # Whether `many` has been called since the last `more`.
        self._is_tried = False

    def more(self) -> bool:
        """Read as much again as there is, and drop what has been parsed; false: that was all."""
        if self.is_all:
            return False
        held = len(self.text) - self.at
        data = self._read(min(max(CHUNK, held), MOST_AT_ONCE))
        pending = len(self._decoder.getstate()[0])
        try:
            new = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = self._bytes - pending + error.start
            raise Malformed(f"the body is no UTF-8 text (byte {place})") from None
        self._bytes += len(data)
        # An escape may begin in what is held. One character is found faster than two.
        seen = self.text[-1:] + new
        self.has_escapes = self.has_escapes or ("\\" in seen and "\\u" in seen)
        self.is_all, self._is_tried = not data, False
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
        self,
        scanner: Callable[[str, int], tuple[Any, int]],
        most: int,
        refused: str,
        refuse: Callable[[str, int], None] | None = None,
    ) -> tuple[Any, int]:
        """What the scanner finds next, and its length, which is `most` characters at most.

        `refuse` raises `TooLarge` where the beginning of a value, in a text from some character on,
        has too much in it; it is called before more is read. Raises `JSONDecodeError`, `Malformed`,
        and `TooLarge` with the words `refused`.
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
                if len(self.text) - self.at > most:
                    raise TooLarge(refused) from None
                if refuse:
                    refuse(self.text, self.at)
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

    def many(self, most: int) -> tuple[list[Json], int]:
        """The items of a list, behind the last one, that are held whole, and their length, which is
        `most` characters at most. One call of the scanner finds them.

        There may be fewer, or none: where they end is a guess, which the scanner confirms.
        """
        start = None if self._is_tried else _between(self.text, self.at)
        self._is_tried = True
        if not start:
            return [], 0
        first = start.start(1)
        mark = self.text[self.at - 1 : start.end()]
        end = self.text.rfind(mark, first, first + most) + 1
        text = f"[{self.text[first:end]}]"
        try:
            items, length = scan_once(text, 0)
        except (StopIteration, json.JSONDecodeError, Malformed, RecursionError):
            # Whatever is wrong is said where the items are parsed one by one.
            return [], 0
        if length != len(text) or not items:
            return [], 0
        self.at = end
        return items, end - first

    def _problem(self, error: Exception) -> json.JSONDecodeError:
        if isinstance(error, json.JSONDecodeError):
            return error
        at = getattr(error, "value", self.at)
        return json.JSONDecodeError("Expecting value", self.text, at)


def _marks(text: str, at: int, end: int) -> int:
    """How many values the lists and objects in a part of a text have, at most: each is behind a
    comma or a bracket. Some of these are in strings.
    """
    return text.count(",", at, end) + text.count("[", at, end) + text.count("{", at, end)


def _values_in(item: Json) -> int:
    """How many values an item of a list has in it, however deep."""
    found, nested = 0, [item]
    while nested:
        parent = nested.pop()
        if isinstance(parent, (dict, list)):
            found += len(parent)
            nested += parent.values() if isinstance(parent, dict) else parent
    return found


class _Values:
    """Counts the values in the rows of a request. Raises `TooLarge` for more than `most`.

    Counting them in the text takes little time, but finds more than there are. So rows are looked
    at one by one only where there might be too many by their text.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._rows: list[Json] = []
        # How many values `_rows` have, at most.
        self._bound = 0
        # Characters of a row from which on it is looked at before it is whole.
        self._next = 0

    def count(self, rows: list[Json], marks: int) -> None:
        """Count the values of rows in whose text there are so many marks."""
        self._rows += rows
        self._bound += marks
        self._next = 0
        if self._bound > self._left:
            self._look()

    def refuse(self, text: str, at: int) -> None:
        """Raise `TooLarge` where a row that begins there has too many, as far as its text goes."""
        marks = _marks(text, at, len(text))
        if self._bound + marks > self._left:
            self._look()
        if marks > self._left and len(text) - at >= self._next:
            # Once more when twice as much of the row is there.
            self._next = 2 * (len(text) - at)
            bare = _empty.sub("0", _string.sub("0", _escape.sub("", text[at:])))
            if _marks(bare, 0, len(bare)) > self._left:
                self._raise()

    def _look(self) -> None:
        self._left -= sum(map(_values_in, self._rows))
        self._rows, self._bound = [], 0
        if self._left < 0:
            self._raise()

    def _raise(self) -> NoReturn:
        raise TooLarge(
            f"the rows have more than {self._most} values, those inside of lists and objects "
            "included; send them in several requests"
        )


class _Reader:
    """Reads an object key by key, and its lists of rows item by item."""

    def __init__(self, text: _Text, limits: Limits) -> None:
        self.text, self.most, self.left = text, limits.rows, limits.rows
        self.values = _Values(limits.values)
        # Characters of a row; of all keys and other values together, as far as they are not used.
        self.longest, self.elsewhere = limits.characters * ROW_FACTOR, limits.characters
        self.too_long = f"the body without its rows is longer than {self.elsewhere} characters"

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
            self._take(1)
            self.text.skip()
            refused = f"`{key}[{len(items)}]` is longer than {self.longest} characters"
            item, length = self.text.scan(scan_once, self.longest, refused, self.values.refuse)
            self._count([item], length)
            items.append(item)
            following, length = self.text.many(self.longest)
            self._take(len(following))
            self._count(following, length)
            items += following
        return items

    def _take(self, rows: int) -> None:
        self.left -= rows
        if self.left < 0:
            raise TooLarge(
                f"the request has more than {self.most} rows; send them in several requests"
            )

    def _count(self, rows: list[Json], length: int) -> None:
        text = self.text
        self.values.count(rows, _marks(text.text, text.at - length, text.at))

    def _short(self) -> Json:
        """A value besides the rows. All of these together may not be long, so that what nobody
        asks for takes no memory.
        """
        self.text.skip()
        value: Json
        value, length = self.text.scan(scan_once, self.elsewhere, self.too_long)
        self.elsewhere -= length
        return value
