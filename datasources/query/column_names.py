"""What a name in a request means: a column, or a path into the value of one.

Every clause that names columns uses this module, so that all of them read a name in the same way. A
name with dots is a path, unless an administrator declared a column of exactly that name. Columns
that exist only because an entry was written with them are not declared: no write can change what a
name means.

`declared` is `Source.declared` in each function.
"""

from __future__ import annotations

from collections.abc import Container

# The prefix for the row itself: `data.Name` is the column `Name`.
ROW_PREFIX = "data."


def is_path(name: str, declared: Container[str]) -> bool:
    """Return whether a name is a path into the value of a column."""
    return "." in name and name not in declared


def path_of(name: str, declared: Container[str]) -> tuple[str, ...]:
    """Return the path of keys that the key of a where means; one key for a column.

    Here `data.` is not optional, but a key like any other.
    """
    return tuple(name.split(".")) if is_path(name, declared) else (name,)


def row_path_of(name: str, declared: Container[str]) -> tuple[str, ...]:
    """Return the path of keys that a name in a pipeline means; `data.` in front is optional."""
    bare = name.removeprefix(ROW_PREFIX)
    if bare not in declared and name in declared:
        return (name,)
    return path_of(bare, declared)


def column_of(name: str, declared: Container[str]) -> str:
    """Return the column that a name means in a clause that takes only columns.

    `data.` in front is optional: `data.X` means the column `X`, unless `data.X` is declared and `X`
    is not.
    """
    bare = name.removeprefix(ROW_PREFIX)
    return name if name in declared and bare not in declared else bare
