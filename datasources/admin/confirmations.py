"""Questions that the admin asks before it saves a change that is easily made by mistake.

A page shows the question with a checkbox, and what was typed. The value of the checkbox is a digest
of this change, so that it cannot confirm a different one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .. import store
from ..definition import Login, login_of
from ..models import DataSource
from ..query.column_names import is_path
from ..values.codec import canonical
from ..values.validation import printable

# The name of the checkbox.
FIELD = "meant"
NOTHING_SAVED = (
    "nothing was saved yet: read what this change does at the top of the page, and confirm it there"
)
_DEFINED = ("login", "views")
# The most names that get a line each.
_MAX_NAMES = 20
# How many new names are compared, with how many existing ones, and the most characters of each.
_MAX_GUESSES, _MAX_CANDIDATES, _MAX_GUESSED = 3, 200, 40


@dataclass(frozen=True, slots=True)
class Question:
    """What a change does, one line for each effect, and a digest of the change."""

    lines: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, lines: Sequence[str], change: Any) -> Question:
        """Return a question. `change` is a JSON value that identifies the change on this site."""
        text = canonical([list(lines), change])
        return cls(tuple(lines), hashlib.sha256(text.encode()).hexdigest())

    def is_answered(self, sent: Mapping[str, Any]) -> bool:
        """Whether a form was sent with the checkbox of this question, or there is no question."""
        return not self.lines or sent.get(FIELD) == self.digest


# -- an entry


def entry_lines(
    source_columns: Sequence[str],
    declared: frozenset[str],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
) -> list[str]:
    """Return the effects of saving a row: values that are deleted, and columns that are created.

    `before` is the row as the form showed it, None for a new entry.
    """
    lost = [name for name in before or () if name not in after]
    known = {*source_columns, *(before or ())}
    new = [name for name in after if name not in known]
    lines = [
        f"`{printable(name)}` is missing from the row: its value will be deleted from this entry."
        for name in lost[:_MAX_NAMES]
    ]
    lines += [_new_column(name, declared) for name in new[:_MAX_NAMES]]
    left = max(len(lost) - _MAX_NAMES, 0) + max(len(new) - _MAX_NAMES, 0)
    return [*lines, *([f"… and {left} more columns."] if left else [])]


def guesses(columns: Sequence[str], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each new column whose name is similar to that of an existing one.

    Only the first few new names are compared, and no long ones, because comparing takes time.
    """
    known = frozenset(columns)
    new = [name for name in after if name not in known and len(name) <= _MAX_GUESSED]
    likes = ((name, _like(name, columns)) for name in new[:_MAX_GUESSES])
    return [
        f"Did you mean `{like}` instead of `{printable(name)}`?" for name, like in likes if like
    ]


def _like(name: str, columns: Sequence[str]) -> str | None:
    """Return the column whose name is most similar to a short name, if there is one."""
    short = [column for column in columns if len(column) <= _MAX_GUESSED][:_MAX_CANDIDATES]
    found = get_close_matches(name, short, 1, 0.75) if len(name) <= _MAX_GUESSED else []
    return found[0] if found else None


def _new_column(name: str, declared: frozenset[str]) -> str:
    dots = ""
    if is_path(name, declared):
        dots = (
            " From then on, the name refers to this column, and not to a path into another column."
        )
    return f"`{printable(name)}` is new: it will become a column of the data source.{dots}"


# -- the columns and the definition of a data source


def column_lines(held: Mapping[str, int], added: Sequence[str]) -> list[str]:
    """Return the effects of removing columns from the list.

    `held` has the number of entries that still have each of them; `added` are the new names in the
    list.
    """
    lines = []
    for name, count in list(held.items())[:_MAX_NAMES]:
        entries = "1 entry still has" if count == 1 else f"{count} entries still have"
        lines.append(
            f"`{printable(name)}` is removed from the columns, but {entries} a value for it and "
            "will keep the value. The API still shows it to everyone whose rule shows it. The "
            "admin's table of entries and “Who can do what” no longer list it."
        )
    if len(held) > _MAX_NAMES:
        lines.append(f"… and {len(held) - _MAX_NAMES} more columns.")
    if lines and added:
        names = ", ".join(f"`{printable(name)}`" for name in added[:_MAX_NAMES])
        lines.append(f"This does not rename a column: {names} will be empty in all entries.")
    return lines


def definition_lines(
    before: DataSource, after: Mapping[str, Any], columns: Sequence[str] | None = None
) -> list[str]:
    """Return the effects of a new definition on sign-in, and its probable misspellings.

    `columns` are those that the same save stores, if they are not the stored ones.
    """
    lines = [
        f"`{printable(key)}` has no meaning in a definition. Did you mean `{like[0]}`?"
        for key in list(after)[:_MAX_CANDIDATES]
        if key not in _DEFINED
        and key not in before.definition
        and len(key) <= _MAX_GUESSED
        and (like := get_close_matches(key.casefold(), _DEFINED, 1, 0.7))
    ]
    return [*lines, *_login_lines(before, after, before.columns if columns is None else columns)]


def _login_lines(
    source: DataSource, definition: Mapping[str, Any], columns: Sequence[str]
) -> list[str]:
    old, new = login_of(source.definition), login_of(definition)
    if old == new:
        return []
    if new is None:
        return [
            f"Nobody will be able to sign in against `{printable(source.name)}` any more, and "
            "everybody who is signed in against it will be signed out."
        ]
    email, password = f"`{printable(new.email_column)}`", f"`{printable(new.password_column)}`"
    if old is None:
        return [
            f"People will be able to sign in against `{printable(source.name)}`: every entry is "
            f"an account with the email address in {email} and the password in {password}. "
            f"Passwords in plain text will be hashed, and {password} will be hidden from "
            "everyone.",
            *_column_effects(source, (new.email_column, new.password_column), columns),
        ]
    lines = _replaced_columns(source, old, new, columns)
    added = [name for name in new.session_columns if name not in old.session_columns]
    if added:
        names = ", ".join(f"`{printable(name)}`" for name in added[:_MAX_NAMES])
        lines.append(f"The response to a sign-in will contain the person's {names}.")
    dropped = [name for name in old.session_columns if name not in new.session_columns]
    if dropped:
        names = ", ".join(f"`{printable(name)}`" for name in dropped[:_MAX_NAMES])
        lines.append(f"The response to a sign-in will no longer contain the person's {names}.")
    return lines


def _replaced_columns(
    source: DataSource, old: Login, new: Login, columns: Sequence[str]
) -> list[str]:
    """Return the effects of changing the address or password column on users who sign in."""
    lines, changed = [], []
    if old.email_column != new.email_column:
        changed.append(new.email_column)
        lines.append(
            f"People will sign in with the email address in `{printable(new.email_column)}` "
            f"instead of `{printable(old.email_column)}`."
        )
    if old.password_column != new.password_column:
        changed.append(new.password_column)
        lines.append(
            f"People will sign in with the password in `{printable(new.password_column)}` "
            f"instead of `{printable(old.password_column)}`. Passwords in plain text will be "
            f"hashed, and `{printable(new.password_column)}` will be hidden from everyone."
        )
    if not changed:
        return []
    return [
        *lines,
        *_column_effects(source, changed, columns),
        f"Everybody who is signed in against `{printable(source.name)}` will be signed out, "
        "unless the old and the new column have the same value for them.",
    ]


def _column_effects(source: DataSource, names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return which of these sign-in columns are new, and how many entries have no text in them."""
    lines = []
    for name in names:
        if name not in columns:
            like = _like(name, columns)
            guess = f" Did you mean `{like}`?" if like else ""
            lines.append(f"`{printable(name)}` is not a column yet, and will be added.{guess}")
    total, texts = store.text_counts(source.pk, names)
    for name in names:
        lacking = total - texts[name]
        if lacking:
            lines.append(
                f"{lacking} of {total} entries have no text in `{printable(name)}`: they cannot "
                "sign in."
            )
    return lines
