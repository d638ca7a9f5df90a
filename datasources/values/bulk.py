"""Parses the body of a bulk write while it arrives, without holding its bytes or its text whole."""

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

# The keys of a bulk write whose lists have an item for each row.
LISTS = ("entries", "delete")
# How many bytes are read at a time, at least and at most.
CHUNK, MOST_AT_ONCE = 65_536, 1_048_576
# A row may be this many times as long as a usual body, to allow for long texts.
ROW_FACTOR = 16
# The length of the longest token that is not a text or number, and of two escapes: if the text ends
# within one of them, the error is at most this far from the end.
_TOKEN = 16
# The most characters of a valid number.
_MAX_NUMBER = 1_000
# The text between two items of a list, and the beginning of the second one: for an object, with its
# first key. It is short, because a long text with many near matches takes long to search for.
_between = re.compile(r'[ \t\n\r]{0,9},[ \t\n\r]{0,9}(\S(?:[ \t\n\r]{0,9}"[^"\\]{0,16})?)').match
# An escape; and a text without escapes, possibly without its end. A single pattern for both would
# use much memory for each escape.
_escape, _string = re.compile(r"\\.", re.DOTALL), re.compile(r'"[^"]*"?')
# A list or an object that is empty, or is cut off after its opening bracket.
_empty = re.compile(r"[\[{][ \t\n\r]*(?:[\]}]|\Z)")
# mypy's stubs do not include these.
_parts: Any = json.decoder
_scanstring, _blanks = _parts.scanstring, _parts.WHITESPACE.match


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a bulk write may send.

    `rows` are items of `entries` and `delete`, `values` those inside the items, and `characters`
    those of everything else. One item may have `ROW_FACTOR` times `characters`.
    """

    rows: int
    values: int
    characters: int


def loads_bulk(read: Callable[[int], bytes], limits: Limits) -> Any:
    """Parse a JSON text, which `read(size)` returns in pieces of bytes; see `codec.loads`.

    Raises `TooLarge` as soon as a limit is exceeded, without reading the rest; otherwise the same
    exceptions as `loads`.
    """
    text = _Text(read)
    try:
        value = _Reader(text, limits).value()
    except json.JSONDecodeError as error:
        # Convert positions in the held text to positions in the whole text.
        error.colno += text.column if error.lineno == 1 else 0
        error.lineno += text.lines
        raise not_json(error, "the body") from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    if text.has_escapes:
        refuse_unstorable(value)
    return value


def _scan_key(text: str, at: int) -> tuple[str, int]:
    found: tuple[str, int] = _scanstring(text, at, True)
    return found


class _Text:
    """The text search that is being parsed: `text` from `at` on; it reads more when needed."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._decoder = read, getincrementaldecoder("utf-8")()
        self.text, self.at, self.is_all, self.has_escapes = "", 0, False, False
        # What was dropped before `text`: lines, characters of the last line, and bytes read.
        self.lines, self.column, self._bytes = 0, 0, 0
        # Whether `many` has been called since the last `more`.
        self._is_tried = False

    def more(self) -> bool:
        """Read at least as much again as is held, and drop what is parsed; false at the end."""
        if self.is_all:
            return False
        held = len(self.text) - self.at
        data = self._read(min(max(CHUNK, held), MOST_AT_ONCE))
        pending = len(self._decoder.getstate()[0])
        try:
            new = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = self._bytes - pending + error.start
            raise Malformed(f"the body is not UTF-8 text (byte {place})") from None
        self._bytes += len(data)
        # An escape may begin in the held text. To find one character is faster than to find two.
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
        """Read this many more characters, if there are any; return whether there were."""
        before = len(self.text) - self.at
        while len(self.text) - self.at < before + characters and self.more():
            pass
        return len(self.text) - self.at > before

    def skip(self) -> None:
        """Skip whitespace."""
        while True:
            self.at = _blanks(self.text, self.at).end()
            if self.at < len(self.text) or not self.more():
                return

    def is_next(self, character: str) -> bool:
        """Whether the next character is this one; if so, skip it."""
        self.skip()
        if not self.text.startswith(character, self.at):
            return False
        self.at += 1
        return True

    def expect(self, character: str, otherwise: str) -> None:
        """Skip this character. Raises `JSONDecodeError` if the next one is another."""
        if not self.is_next(character):
            raise json.JSONDecodeError(otherwise, self.text, self.at)

    def scan(
        self,
        scanner: Callable[[str, int], tuple[Any, int]],
        most: int,
        refused: str,
        refuse: Callable[[str, int], None] | None = None,
    ) -> tuple[Any, int]:
        """Return the next value that the scanner finds, and its length in characters.

        `refuse` raises `TooLarge` if the beginning of a value, given as a text and a position, has
        too much in it; it is called before more is read. Raises `JSONDecodeError`, `Malformed`, and
        `TooLarge` with the message `refused` if the value has more than `most` characters.
        """
        is_certain = False
        while True:
            try:
                value, end = scanner(self.text, self.at)
            except (StopIteration, json.JSONDecodeError) as error:
                problem = self._problem(error)
                is_open = problem.pos > len(self.text) - _TOKEN or "Unterminated" in problem.msg
                if not is_open:
                    # More text cannot make this valid; reading it would only use memory.
                    raise problem from None
                if len(self.text) - self.at > most:
                    raise TooLarge(refused) from None
                if refuse:
                    refuse(self.text, self.at)
                if not self.more():
                    raise problem from None
            except Malformed:
                # Part of a valid number may be invalid: `9999999999999999999` of `…99.5`.
                if is_certain or not self._has_more(_MAX_NUMBER):
                    raise
                is_certain = True
            else:
                # A number may continue in the unread text: `1` as `1e+9`.
                following = self.text[end : end + 3]
                is_whole = len(following) == 3 or following[:1] not in ("", ".", "e", "E")
                if is_whole or not self.more():
                    length = end - self.at
                    if length > most:
                        raise TooLarge(refused)
                    self.at = end
                    return value, length

    def many(self, most: int) -> tuple[list[Json], int]:
        """Return the following items of a list that are held completely, and their total length.

        The length is at most `most` characters. All items are parsed in one call of the scanner.
        There may be fewer items, or none: where they end is a guess, which the scanner confirms.
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
            # The error is reported when the items are parsed one by one.
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
    """Return the maximum number of values inside the lists and objects of a text search.

    Each value follows a comma or a bracket. Some commas and brackets are inside strings.
    """
    return text.count(",", at, end) + text.count("[", at, end) + text.count("{", at, end)


def _values_in(item: Json) -> int:
    """Return how many values an item of a list contains, at any depth."""
    found, nested = 0, [item]
    while nested:
        parent = nested.pop()
        if isinstance(parent, (dict, list)):
            found += len(parent)
            nested += parent.values() if isinstance(parent, dict) else parent
    return found


class _Values:
    """Counts the values in the rows of a request. Raises `TooLarge` for more than `most`.

    To count commas and brackets in the text is fast, but can give too high a number. So the rows
    themselves are only counted if the text could have too many values.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._rows: list[Json] = []
        # The maximum number of values in `_rows`.
        self._bound = 0
        # The length in characters from which an incomplete row is checked again.
        self._next = 0

    def count(self, rows: list[Json], marks: int) -> None:
        """Count the values of rows whose text has this many marks."""
        self._rows += rows
        self._bound += marks
        self._next = 0
        if self._bound > self._left:
            self._look()

    def refuse(self, text: str, at: int) -> None:
        """Raise `TooLarge` if the available beginning of a row has too many values."""
        marks = _marks(text, at, len(text))
        if self._bound + marks > self._left:
            self._look()
        if marks > self._left and len(text) - at >= self._next:
            # Check again when the row is twice as long.
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
            f"the rows have more than {self._most} values, including those inside lists and "
            "objects; split the rows over several requests"
        )


class _Reader:
    """Parses an object key by key, and its lists of rows item by item."""

    def __init__(self, text: _Text, limits: Limits) -> None:
        self.text, self.most, self.left = text, limits.rows, limits.rows
        self.values = _Values(limits.values)
        # The most characters of a row, and the unused ones for all keys and other values together.
        self.longest, self.elsewhere = limits.characters * ROW_FACTOR, limits.characters
        self.too_long = f"the body without its rows is longer than {self.elsewhere} characters"

    def value(self) -> Any:
        """Parse the whole text. Raises `JSONDecodeError`, `TooLarge` and `Malformed`."""
        text = self.text
        if not text.is_next("{"):
            # Not the form of a bulk write, which the caller reports once it is known to be short.
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
                f"the request has more than {self.most} rows; split them over several requests"
            )

    def _count(self, rows: list[Json], length: int) -> None:
        text = self.text
        self.values.count(rows, _marks(text.text, text.at - length, text.at))

    def _short(self) -> Json:
        """Parse a value outside the rows.

        The length of all these values together is limited, so that unknown keys use no memory.
        """
        self.text.skip()
        value: Json
        value, length = self.text.scan(scan_once, self.elsewhere, self.too_long)
        self.elsewhere -= length
        return value
