"""`$regex`: one linear-time dialect, parsed here and translated for each engine.

It is JavaScript's syntax without look-around and back-references. `charsets` has the character
sets, and `cost` the size of the automaton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from string import hexdigits
from typing import Any

import re2

from ...caching import memoize
from ...errors import Malformed
from ...values.validation import printable
from .charsets import (
    ANY,
    CLASSES,
    CONTROLS,
    LINE_END,
    Ranges,
    any_case,
    complement,
    quoted,
    same_case,
    set_of,
)
from .cost import ANCHOR, MAX_ARCS, MAX_SIZE, MAX_WRITTEN, NO_COST, ONE, Cost, one_of

MAX_LENGTH = 1_000
# PostgreSQL's limit.
MAX_REPEAT = 255
# A text of at least `RARE` characters is not in most other texts. To build an automaton of at least
# `LARGE` characters, which happens again for each text, takes longer than to search for a part.
RARE, LARGE = 3, 8
FLAGS = "ims"
_TOO_LARGE = (
    "the pattern is too large; use fewer alternatives, sets and repetitions of parts that can "
    "be empty"
)


@dataclass(frozen=True, slots=True)
class Regex:
    """A pattern in the syntax of both engines."""

    source: str
    options: str
    re2: str
    postgresql: str
    # The size of its automaton.
    cost: Cost
    # A text that every match contains.
    needs: str = ""
    # Whether it pays off for a database to search for `needs` first.
    seeks: bool = False


@dataclass(slots=True)
class _Written:
    """A part of the pattern in both syntaxes, with its cost."""

    re2: str
    postgresql: str
    cost: Cost = ONE
    # An anchor or a boundary, which cannot be repeated.
    empty: bool = False
    # The only text that it matches, or None if there are several.
    only: str | None = None
    # A text that every match contains.
    needs: str = ""


_NOTHING = _Written("(?:)", "(?:)", NO_COST, only="")


@memoize(1_000)
def compile_regex(source: str, options: str = "") -> Regex:
    """Compile a pattern and its `$options` (of `i`, `m` and `s`).

    Raises `Malformed`, with the position, for a pattern outside the dialect.
    """
    if len(source) > MAX_LENGTH:
        raise Malformed(f"a pattern can have at most {MAX_LENGTH} characters")
    unknown = set(options) - set(FLAGS)
    if unknown or len(set(options)) != len(options):
        raise Malformed(
            f"`$options` must be some of {', '.join(FLAGS)}, each at most once, not "
            f"`{printable(options)}`"
        )
    written, not_an_edge = _read(source, options)
    # In PostgreSQL, `***:` selects advanced regular expressions, independent of settings.
    flags = "(?w)" if "m" in options else ""
    # RE2 works on bytes, and would match `\B` inside a character; the prefix moves by characters.
    lead = r"\A(?s:.)*?" if not_an_edge else ""
    needs, cost = written.needs, written.cost
    seeks = len(needs) >= RARE or (bool(needs) and cost.size >= LARGE)
    regex = Regex(
        source, options, lead + written.re2, f"***:{flags}{written.postgresql}", cost, needs, seeks
    )
    _engine(regex.re2)
    return regex


def _read(source: str, options: str) -> tuple[_Written, bool]:
    """Return the parsed pattern, and whether it contains a `\\B`."""
    reader = _Reader(source, options)
    written = reader.whole()
    kinds = len(reader.kinds)
    if written.cost.arcs * kinds > MAX_ARCS:
        # A set has at most one arc for each kind of character that the pattern distinguishes.
        written = _Reader(source, options, kinds).whole()
        if written.cost.arcs > MAX_ARCS:
            raise Malformed(_TOO_LARGE)
    if written.cost.written > MAX_WRITTEN:
        raise Malformed(_TOO_LARGE)
    return written, reader.not_an_edge


def matches_regex(text: str, regex: Regex) -> bool:
    """Whether the pattern matches anywhere in the text, in linear time."""
    return regex.needs in text and _engine(regex.re2).search(text) is not None


# As many patterns as a where can have; each of them may use up to `max_mem` bytes during a search.
@memoize(100)
def _engine(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 4 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise Malformed(_TOO_LARGE) from None


@dataclass(slots=True)
class _Reader:
    source: str
    options: str
    # The number of arcs of a set of characters.
    weight: int = 1
    at: int = 0
    depth: int = 0
    not_an_edge: bool = False
    kinds: set[str] = field(default_factory=set)

    def problem(self, why: str) -> Malformed:
        return Malformed(f"the pattern `{printable(self.source)}`, at {self.at + 1}: {why}")

    def peek(self, length: int = 1) -> str:
        return self.source[self.at : self.at + length]

    def take(self, length: int = 1) -> str:
        taken = self.peek(length)
        self.at += length
        return taken

    # -- structure

    def whole(self) -> _Written:
        written = self.alternatives()
        if self.at != len(self.source):
            raise self.problem("a `)` does not close a group")
        if written.cost.size > MAX_SIZE:
            raise Malformed(
                f"the pattern is larger than {MAX_SIZE} characters after its repetitions are "
                "expanded"
            )
        return written

    def alternatives(self) -> _Written:
        self.depth += 1
        if self.depth > 50:
            raise self.problem("groups are nested deeper than 50 levels")
        parts = [self.sequence()]
        while self.peek() == "|":
            self.take()
            parts.append(self.sequence())
        self.depth -= 1
        if len(parts) == 1:
            return parts[0]
        return _Written(
            f"(?:{'|'.join(p.re2 for p in parts)})",
            f"(?:{'|'.join(p.postgresql for p in parts)})",
            one_of([part.cost for part in parts]),
        )

    def sequence(self) -> _Written:
        parts: list[_Written] = []
        while self.peek() and self.peek() not in "|)":
            parts.append(self.repeated())
        if not parts:
            return _NOTHING
        return _Written(
            "".join(p.re2 for p in parts),
            "".join(p.postgresql for p in parts),
            reduce(Cost.then, (part.cost for part in parts)),
            False,
            *_needed(parts),
        )

    def repeated(self) -> _Written:
        part = self.single()
        bounds = self.bounds()
        if bounds is None:
            return part
        if part.empty:
            raise self.problem("there is nothing to repeat")
        low, high = bounds
        cost = part.cost.times(low, high)
        if cost.size > MAX_SIZE:
            raise self.problem(f"the repetitions make the pattern larger than {MAX_SIZE}")
        if self.peek() == "?":
            # Lazy or greedy makes no difference for whether a pattern matches.
            self.take()
        if self.peek() and self.peek() in "*+?":
            raise self.problem("there is nothing to repeat")
        if (low, high) == (1, 1):
            return part
        if high == 0 or (low == 0 and not part.cost.wide):
            return _NOTHING
        if not part.cost.wide:
            # A position that matches once matches again. PostgreSQL handles such loops very badly.
            return part
        sign = _sign(low, high)
        needs = part.needs if low else ""
        return _Written(f"(?:{part.re2}){sign}", f"(?:{part.postgresql}){sign}", cost, needs=needs)

    def bounds(self) -> tuple[int, int | None] | None:
        """Parse a quantifier: (minimum, maximum or None for any number); None without one."""
        sign = self.peek()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in simple:
            self.take()
            return simple[sign]
        if sign != "{":
            return None
        end = self.source.find("}", self.at)
        inside = self.source[self.at + 1 : end] if end > 0 else ""
        low, comma, high = inside.partition(",")
        digits = f"{low}{high}"
        if not low or not (digits.isascii() and digits.isdigit()):
            raise self.problem(
                "a repetition must be written as `{2}`, `{2,}` or `{2,5}`; write a literal "
                "`{` as `\\{`"
            )
        self.at = end + 1
        least = int(low)
        most = int(high) if high else (None if comma else least)
        if max(least, most or 0) > MAX_REPEAT:
            raise self.problem(f"a repetition can be at most {MAX_REPEAT} times")
        if most is not None and most < least:
            raise self.problem("the bounds of a repetition are in the wrong order")
        return least, most

    def single(self) -> _Written:
        character = self.take()
        if character == "(":
            return self.group()
        if character == "[":
            return self.bracket()
        if character == "\\":
            return self.escape()
        if character == ".":
            return self.any_of(ANY if "s" in self.options else complement(LINE_END))
        if character == "^":
            multi = "m" in self.options
            return _Written("(?m:^)" if multi else r"\A", "^" if multi else r"\A", ANCHOR, True, "")
        if character == "$":
            multi = "m" in self.options
            return _Written("(?m:$)" if multi else r"\z", "$" if multi else r"\Z", ANCHOR, True, "")
        if character in "*+?":
            self.at -= 1
            raise self.problem("there is nothing to repeat")
        if character in "{}]":
            self.at -= 1
            raise self.problem(f"write a literal `{character}` as `\\{character}`")
        return self.literal(ord(character))

    def group(self) -> _Written:
        if self.peek() == "?":
            if self.peek(2) == "?:":
                self.take(2)
            elif self.peek(2) == "?<" and self.peek(3) not in ("?<=", "?<!"):
                end = self.source.find(">", self.at)
                name = self.source[self.at + 2 : end] if end > 0 else ""
                if not name.isidentifier():
                    raise self.problem("a group name must consist of letters, digits and `_`")
                self.at = end + 1
            else:
                raise self.problem("look-around and flags in groups are not supported")
        inside = self.alternatives()
        if self.peek() != ")":
            raise self.problem("a group is not closed")
        self.take()
        return replace(
            inside, re2=f"(?:{inside.re2})", postgresql=f"(?:{inside.postgresql})", empty=False
        )

    # -- characters

    def literal(self, point: int) -> _Written:
        if "i" in self.options and len(same_case(point)) > 1:
            return self.any_of([(p, p) for p in same_case(point)], 1)
        self.kinds.add(chr(point))
        text = chr(point)
        return _Written(quoted(point), quoted(point, postgresql=True), only=text, needs=text)

    def any_of(self, ranges: Ranges, weight: int | None = None) -> _Written:
        written = _Written(*set_of(ranges))
        self.kinds.add(written.re2)
        arcs = weight or self.weight
        written.cost = Cost(1, arcs, arcs, written=max(len(ranges), 1))
        return written

    def escape(self) -> _Written:
        letter = self.peek()
        if letter in ("b", "B"):
            self.take()
            self.not_an_edge |= letter == "B"
            return _Written(f"\\{letter}", "\\y" if letter == "b" else "\\Y", ANCHOR, True, "")
        found = self.escaped()
        return self.any_of(found) if isinstance(found, list) else self.literal(found)

    def escaped(self) -> Ranges | int:
        """Parse what follows a backslash: a class, or one character."""
        letter = self.take()
        if not letter:
            raise self.problem("a backslash ends the pattern")
        if letter.lower() in CLASSES:
            ranges = CLASSES[letter.lower()]
            return ranges if letter.islower() else complement(ranges)
        if letter in CONTROLS:
            return CONTROLS[letter]
        if letter == "x":
            return self.hexadecimal(2)
        if letter == "u":
            return self.hexadecimal(4)
        if letter.isalnum() or letter == "_":
            self.at -= 1
            raise self.problem(f"`\\{letter}` is not supported")
        return ord(letter)

    def hexadecimal(self, length: int) -> int:
        digits = self.take(length)
        # `int` also accepts a sign, whitespace and the digits of all scripts.
        known = len(digits) == length and set(digits) <= set(hexdigits)
        point = int(digits, 16) if known else -1
        if point < 1 or 0xD800 <= point <= 0xDFFF:
            raise self.problem(f"expected {length} hexadecimal digits of a character")
        return point

    def bracket(self) -> _Written:
        negated = self.peek() == "^"
        if negated:
            self.take()
        ranges: Ranges = []
        while self.peek() != "]":
            if not self.peek():
                raise self.problem("a `[` is not closed")
            first = self.member()
            if self.peek() != "-" or self.peek(2) in ("-]", "-"):
                ranges.extend(first if isinstance(first, list) else [(first, first)])
                continue
            self.take()
            last = self.member()
            if isinstance(first, list) or isinstance(last, list) or last < first:
                raise self.problem("a range must go from one character to a later one")
            ranges.append((first, last))
        self.take()
        if "i" in self.options:
            ranges = any_case(ranges)
        return self.any_of(complement(ranges) if negated else ranges)

    def member(self) -> Ranges | int:
        character = self.take()
        if character != "\\":
            return ord(character)
        if self.peek() == "b":
            self.take()
            return 0x08
        if self.peek() == "B":
            raise self.problem("`\\B` is not supported")
        return self.escaped()


def _needed(parts: Sequence[_Written]) -> tuple[str | None, str]:
    """Return `only` and `needs` of consecutive parts.

    `needs` is the longest text, and the last one of several, because repetitions at the beginning
    are more likely to be in every text.
    """
    run, longest, several = "", "", False
    for part in parts:
        if part.only is not None:
            run += part.only
            continue
        several = True
        longest = max(part.needs, run, longest, key=len)
        run = ""
    return None if several else run, max(run, longest, key=len)


def _sign(low: int, high: int | None) -> str:
    if high is None:
        return {0: "*", 1: "+"}.get(low, f"{{{low},}}")
    return "?" if (low, high) == (0, 1) else f"{{{low},{high}}}"
