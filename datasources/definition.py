"""The definition of a data source: its sign-in and its views.

`{"login": {"emailColumn": "Email", "passwordColumn": "Password", "sessionColumns": ["Name"]}}`
makes it a sign-in data source; `views` are filters with a name. Pure Python: raw JSON stops here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .query.views import problem_with_views
from .values.validation import MAX_DEPTH, nests_deeper, printable, problem_with_name, same

# The most columns of a data source; for a single row see `values.validation.MAX_COLUMNS`.
MAX_COLUMNS = 2_000
# The most indexed columns; each makes every write slower.
MAX_INDEXED = 20


@dataclass(frozen=True, slots=True)
class Login:
    """How users sign in against a data source."""

    email_column: str
    password_column: str
    session_columns: tuple[str, ...] = ()


def declared_of(columns: Sequence[str], written: Sequence[str]) -> list[str]:
    """Return the columns that an administrator declared.

    `written` are the columns that exist only because entries were written with them.
    """
    made = frozenset(written)
    return [name for name in columns if name not in made]


def problem_with_columns(columns: object) -> str | None:
    """Return why a value is not a list of distinct column names, or None."""
    if not isinstance(columns, list):
        return '`columns` must be a list of names, such as ["Email", "Name"]'
    if len(columns) > MAX_COLUMNS:
        return f"there are {len(columns)} columns; at most {MAX_COLUMNS} are allowed"
    seen: set[str] = set()
    for name in columns:
        problem = problem_with_name(name)
        if problem:
            return f"the column `{printable(name)}` {problem}"
        if name in seen:
            return f"the column `{printable(name)}` is listed twice"
        seen.add(name)
    return None


def problem_with_more_columns(
    before: Sequence[str], after: Sequence[str], most_bytes: int
) -> str | None:
    """Return why a data source cannot get more columns, or None.

    A data source has at most `MAX_COLUMNS` columns, whose names have at most `most_bytes` bytes
    in UTF-8 together. One that already exceeds these limits keeps its columns.
    """
    known = set(before)
    new = [name for name in after if name not in known]
    if not new:
        return None
    if len(after) > MAX_COLUMNS:
        return (
            f"the data source would have more than {MAX_COLUMNS} columns; the first new one is "
            f"`{printable(new[0])}`"
        )
    size = _bytes_of(after)
    if size > most_bytes and size > _bytes_of(before):
        return (
            f"the names of the data source's columns would have {size} bytes in total; at most "
            f"{most_bytes} are allowed; the first new one is `{printable(new[0])}`"
        )
    return None


def _bytes_of(names: Sequence[str]) -> int:
    return sum(len(name.encode()) for name in names)


def problem_with_indexed(
    indexed: object, columns: Sequence[str], secret: Sequence[str]
) -> str | None:
    """Return why columns cannot be marked as indexed, or None."""
    problem = problem_with_columns(indexed)
    if problem or not isinstance(indexed, list):
        return problem
    if len(indexed) > MAX_INDEXED:
        return f"there are {len(indexed)} indexed columns; at most {MAX_INDEXED} are allowed"
    for name in indexed:
        if name not in columns:
            return f"`{printable(name)}` is not one of the columns"
        if name in secret:
            return f"`{printable(name)}` contains passwords, which cannot be searched"
    return None


def problem_with_definition(definition: object) -> str | None:
    """Return why a value is not a valid definition, or None. Unknown keys are allowed and kept."""
    if not isinstance(definition, dict):
        return "`definition` must be an object"
    if nests_deeper(definition, MAX_DEPTH):
        return f"`definition` is nested deeper than {MAX_DEPTH} levels"
    login, views = definition.get("login"), definition.get("views")
    problem = None if login is None else _problem_with_login(login)
    return problem or (None if views is None else problem_with_views(views))


def _problem_with_login(login: object) -> str | None:
    if not isinstance(login, dict):
        return (
            '`login` must be an object such as {"emailColumn": "Email", "passwordColumn": '
            '"Password"}'
        )
    unknown = set(login) - {"emailColumn", "passwordColumn", "sessionColumns"}
    if unknown:
        return f"`login` has no property `{printable(min(unknown))}`"
    for key in ("emailColumn", "passwordColumn"):
        if key not in login:
            return f"`login` needs `{key}`"
        problem = problem_with_name(login[key])
        if problem:
            return f"`login.{key}` {problem}"
    if login["emailColumn"] == login["passwordColumn"]:
        return "`login.emailColumn` and `login.passwordColumn` are the same column"
    problem = problem_with_columns(login.get("sessionColumns", []))
    return f"`login.sessionColumns`: {problem}" if problem else None


def login_of(definition: object) -> Login | None:
    """Return the sign-in of a definition; None if it has none, or a sign-in that is not valid."""
    login = definition.get("login") if isinstance(definition, dict) else None
    if login is None or _problem_with_login(login) is not None:
        return None
    return Login(
        login["emailColumn"], login["passwordColumn"], tuple(login.get("sessionColumns", ()))
    )


def changes_login(before: object, after: object) -> bool:
    """Whether a new definition changes the sign-in.

    That needs a permission of its own, because it makes it possible to impersonate any user.
    """
    return not same(_raw_login(before), _raw_login(after))


def _raw_login(definition: object) -> object:
    return definition.get("login") if isinstance(definition, dict) else None


def secret_columns(before: Sequence[str], definition: object) -> list[str]:
    """Return the columns that are hidden from everyone under a new `definition`.

    A column that was secret stays secret, because it still has hashes, until it is cleared, which
    `catalog.saving.save` takes care of.
    """
    login = login_of(definition)
    now = [login.password_column] if login else []
    return [*before, *(column for column in now if column not in before)]
