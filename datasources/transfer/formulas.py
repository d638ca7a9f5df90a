"""Keeps spreadsheets from reading text in CSV files as formulas, with any delimiter.

A text that begins like a formula gets an apostrophe in front, see `cells`. A spreadsheet that is
set to semicolons also begins a new cell after each semicolon in a text, and ignores quotes in the
middle of a line. So an apostrophe is added after each such character as well, if the rest begins
like a formula. `bare` removes it in exactly these places.
"""

from __future__ import annotations

import re

# Characters that spreadsheets take for the beginning of a formula, or skip in front of one.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
BEGINNINGS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
# Quotes between a delimiter and the beginning of a formula, which spreadsheets remove.
_QUOTES = "[\"']*"
_SIGN = f"[{_SIGNS}]"
# In a file that is delimited by commas, a text with a comma is quoted, and every reader that
# splits at commas respects the quotes. Numbers, as in `47.3,-8.5`, are not guarded.
_SIGN_BEHIND_COMMA = f"(?:(?![+-][0-9.]){_SIGN})"
_DELIMITER, _COMMA = "(?<=[;\t|\r\n])", "(?<=,)"
_UNGUARDED = re.compile(
    f"{_DELIMITER}(?={_QUOTES}{_SIGN})|{_COMMA}(?={_QUOTES}{_SIGN_BEHIND_COMMA})"
)
_GUARDED = re.compile(
    f"{_DELIMITER}'(?={_QUOTES}{_SIGN})|{_COMMA}'(?={_QUOTES}{_SIGN_BEHIND_COMMA})"
)
_IN_JSON = re.compile(
    f"(?:{_DELIMITER}({_QUOTES})(?={_SIGN})|{_COMMA}({_QUOTES})(?={_SIGN_BEHIND_COMMA}))(.)"
)


def guarded(text: str) -> str:
    """Return a text with an apostrophe after each delimiter that a formula could follow."""
    return _UNGUARDED.sub("'", text)


def bare(text: str) -> str:
    """Return the text that was passed to `guarded`."""
    return _GUARDED.sub("", text)


def guarded_json(text: str) -> str:
    """Return JSON with the same value, in which no formula follows a delimiter.

    Signs in its texts are written as escapes, such as `\\u003d` for `=`.
    """
    return _IN_JSON.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return f"{match[1] or match[2] or ''}\\u{ord(match[3]):04x}"
