"""Names of data sources: which ones are valid, and what exactly is wrong with an invalid one.

Two names that look alike must not be two data sources, because rules and people refer to them by
name. So a name has no invisible characters, except joiners in scripts that need them.
"""

from __future__ import annotations

import unicodedata

from .validation import problem_with_text

ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER = "\u200c", "\u200d"
JOINERS = frozenset({ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER})
IDEOGRAPHIC_SPACE = "\u3000"
# Scripts in which a joiner has no visible effect: the first words of Unicode's character names.
_NOT_JOINED = frozenset(
    {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "GEORGIAN", "ETHIOPIC", "CHEROKEE"}
    | {"THAI", "LAO", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"}
    | {"YI", "FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC", "ZERO"}
)
# The combining class of a virama, after which a joiner selects the form of a letter, even at the
# end of a word (RFC 5892, appendix A).
_VIRAMA = 9


def problem_with_source_name(name: str) -> str | None:
    """Return what is wrong with the name of a data source, to follow "the name"; or None."""
    problem = problem_with_text(name)
    if problem:
        return problem
    for at, word in ((0, "begins"), (len(name) - 1, "ends")):
        end = name[at : at + 1]
        if end.isspace() or (end in JOINERS and not _is_behind_virama(name, at)):
            return f"{word} with {_called(end)}; leave it out"
    for at, character in enumerate(name):
        problem = _problem_with(name, at, character)
        if problem:
            return problem
    if "/" in name:
        return "contains a `/`, which is not possible in a URL of the API"
    return None


def _problem_with(name: str, at: int, character: str) -> str | None:
    if character.isprintable() or character == IDEOGRAPHIC_SPACE:
        return None
    if character in JOINERS:
        if _is_behind_virama(name, at):
            return None
        if _is_joined(name[at - 1 :: -1]) and _is_joined(name[at + 1 :]):
            return None
        return (
            f"contains {_called(character)}, which is invisible here, so that another name "
            "could look the same; leave it out"
        )
    kind = unicodedata.category(character)
    if kind == "Zs":
        return f"contains {_called(character)}, which looks like a space; use a space instead"
    if kind in ("Cc", "Zl", "Zp"):
        return f"contains the control character {_called(character)}; leave it out"
    if kind == "Cf":
        return f"contains {_called(character)}, which is invisible; leave it out"
    return (
        f"contains {_called(character)}, which is not a character of the supported Unicode version"
    )


def _is_behind_virama(name: str, at: int) -> bool:
    return at > 0 and unicodedata.combining(name[at - 1]) == _VIRAMA


def _is_joined(rest: str) -> bool:
    """Whether the character next to a joiner is an emoji, or in a script with joined forms.

    Combining marks belong to the letter that they modify, so they are skipped.
    """
    for character in rest:
        if unicodedata.category(character) not in ("Mn", "Mc", "Me"):
            first = unicodedata.name(character, "ZERO").split(" ")[0]
            return not character.isascii() and first not in _NOT_JOINED
    return False


def _called(character: str) -> str:
    """Return a character the way people look it up: `U+200B (ZERO WIDTH SPACE)`."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")
