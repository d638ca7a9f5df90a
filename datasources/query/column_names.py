"""What a name in a request means: a column, or a path into the value of one.

Every clause that names columns asks here, so that all of them read a name in the same way. A name
with dots is a path, unless an administrator declared a column of exactly that name. A column that
only a write of an entry made is not declared: no write changes what a name means.

`declared` is `Source.declared` in each function.
"""

from __future__ import annotations

from collections.abc import Container

# In front of a name, the row itself: `data.Name` is the column `Name`.
ROW_PREFIX = "data."


def is_path(name: str, declared: Container[str]) -> bool:
    """Return whether a name is a path into the value of a column."""
    return "." in name and name not in declared


def path_of(name: str, declared: Container[str]) -> tuple[str, ...]:
    """Return the keys that the key of a where leads through; one key for a column.

    Here `data.` is a key like any other.
    """
    return tuple(name.split(".")) if is_path(name, declared) else (name,)


def row_path_of(name: str, declared: Container[str]) -> tuple[str, ...]:
    """Return the keys that a name in a pipeline leads through, where `data.` is optional."""
    bare = name.removeprefix(ROW_PREFIX)
    if bare not in declared and name in declared:
        return (name,)
    return path_of(bare, declared)


def column_of(name: str, declared: Container[str]) -> str:
    """Return the column that a name means in a clause that takes columns only, where `data.` is
    optional. `data.X` means the column `X`, unless `data.X` is declared and `X` is not.
    """
    bare = name.removeprefix(ROW_PREFIX)
    return name if name in declared and bare not in declared else bare
