"""The grammar of templates: our own parser, which runs before any library sees the text.

Only `{{user.SEG.SEG}}` and `{{{user.SEG.SEG}}}` are supported; everything else in Handlebars is
refused by name. The parser reads the text once, so that its time is linear in the length.
"""

from __future__ import annotations

import unicodedata
from typing import NoReturn

MAX_CHARACTERS = 2_000
MAX_EXPRESSIONS = 20
MAX_SEGMENTS = 5

SUPPORTED = "write `{{user.Email}}`, `{{user.[First Name]}}` or `{{user.Address.City}}`"

UNSUPPORTED = {
    "#": "a block",
    "/": "the end of a block",
    "^": "an inverted block",
    ">": "a partial",
    "!": "a comment",
    "~": "white-space control",
    "&": "an unescaped expression with `&` (templates never escape values)",
    "(": "a sub-expression",
    "@": "a data variable",
    ".": "a path relative to something other than the user",
    "*": "a decorator",
}
"""What the first character inside the braces says about Handlebars that we do not take."""

Path = tuple[str, ...]
"""The keys below `user`, outermost first."""

_SHOWN = 40
"""So many of the user's characters are quoted in a message."""


class TemplateError(ValueError):
    """A template that is not supported. The message says what, where and what to write instead."""


def read_template(text: str) -> list[str | Path]:
    """Return the runs of text and the paths of `text`, in order; raise TemplateError."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(
            f"the template has {len(text)} characters, expected at most {MAX_CHARACTERS}"
        )
    parts: list[str | Path] = []
    at = expressions = 0
    while (start := text.find("{{", at)) >= 0:
        _add_literal(parts, text, at, start)
        expressions += 1
        if expressions > MAX_EXPRESSIONS:
            _refuse(text, start, f"is expression number {expressions} of at most {MAX_EXPRESSIONS}")
        path, at = _read_expression(text, start)
        parts.append(path)
    _add_literal(parts, text, at, len(text))
    return parts


def _add_literal(parts: list[str | Path], text: str, at: int, end: int) -> None:
    stray = text.find("}}", at, end)
    if stray >= 0:
        _refuse(text, stray, "does not close an expression")
    # In Handlebars a backslash escapes the braces, so that they are printed as text.
    if end < len(text) and text.endswith("\\", at, end):
        _refuse(text, end - 1, "is an escape sequence of Handlebars, which is not supported")
    if end > at:
        parts.append(text[at:end])


def _read_expression(text: str, start: int) -> tuple[Path, int]:
    """Read the expression at `start`. Returns its path, and the position after its braces."""
    inside = _skip(text, start, "{")
    braces = inside - start
    if braces > 3:
        _refuse(text, start, f"opens with {braces} braces, expected two or three")
    at = _skip(text, inside, " ")
    if not text.startswith("user.", at):
        _refuse(text, start, _why_not_user(text, start, at))
    path, at = _read_path(text, start, at + len("user"))
    at = _skip(text, at, " ")
    closing = _skip(text, at, "}") - at
    if closing == braces:
        return path, at + closing
    if closing:
        _refuse(text, start, f"opens with {braces} braces and closes with {closing}")
    if text.find("}}", at) < 0:
        _refuse(text, start, "is not closed")
    _refuse(text, at, "is not allowed in an expression")


def _read_path(text: str, start: int, at: int) -> tuple[Path, int]:
    segments: list[str] = []
    while text.startswith(".", at):
        if len(segments) == MAX_SEGMENTS:
            _refuse(text, start, f"has more than {MAX_SEGMENTS} segments below `user`")
        segment, at = _read_segment(text, start, at + 1)
        segments.append(segment)
    return tuple(segments), at


def _read_segment(text: str, start: int, at: int) -> tuple[str, int]:
    if text.startswith("[", at):
        return _read_bracket(text, start, at + 1)
    end = at
    while end < len(text) and _in_word(text[end]):
        end += 1
    if end == at:
        _refuse(
            text,
            start,
            "has an empty or unquoted name in its path; write names with spaces or special "
            "characters in brackets",
        )
    if text[at:end] == "this":
        _refuse(text, start, "has `this` in its path; write a column with that name in brackets")
    return text[at:end], end


def _read_bracket(text: str, start: int, at: int) -> tuple[str, int]:
    end = text.find("]", at)
    if end < 0:
        _refuse(text, at - 1, "opens a bracket that is not closed")
    if end == at:
        _refuse(text, start, "has empty brackets, expected a column name")
    for place in range(at, end):
        if not _in_bracket(text[place]):
            _refuse(
                text,
                start,
                f"has {_shown(text[place])} in brackets; `[`, `\\` and control characters are "
                "not allowed there",
            )
    return text[at:end], end + 1


def _in_word(character: str) -> bool:
    """Digits, and letters with their combining marks, which many scripts need."""
    return character in "_-" or unicodedata.category(character) in _WORD_CATEGORIES


def _in_bracket(character: str) -> bool:
    # A lone surrogate is not a character, and no column name contains one.
    return character not in "[\\" and unicodedata.category(character) not in ("Cc", "Cs")


_WORD_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd"})


def _skip(text: str, at: int, character: str) -> int:
    while text.startswith(character, at):
        at += 1
    return at


def _why_not_user(text: str, start: int, at: int) -> str:
    if text.find("}}", at) < 0:
        return "is not closed"
    kind = UNSUPPORTED.get(text[at])
    if kind:
        return f"is {kind}, which is not supported"
    if text.startswith("user", at) and text[at + 4] in " }":
        return "refers to the whole user, expected one of its columns"
    return "is not a value of the user"


def _refuse(text: str, at: int, problem: str) -> NoReturn:
    end = text.find("}}", at)
    quoted = text[at:] if end < 0 else text[at : _skip(text, end, "}")]
    raise TemplateError(f"{_shown(quoted)} at character {at + 1} {problem}; {SUPPORTED}")


def _shown(words: str) -> str:
    """Quote the user's text on one line, shortened, with unprintable characters escaped."""
    cut = words[:_SHOWN] + ("…" if len(words) > _SHOWN else "")
    return "`" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) + "`"
