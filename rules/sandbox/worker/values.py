"""The values that a script uses: records, and placeholders for columns that are missing."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from .callables import without_module

ABSENT: Final = object()


class Missing:
    """A column that a record does not have: false, equal to nothing, and otherwise an error.

    It cannot become text either: `f"{user.Team}%"` would be a pattern that matches everything.
    """

    __slots__ = ("_column",)

    def __init__(self, column: object) -> None:
        self._column = column

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


def _refuse(self: Missing, *arguments: object) -> NoReturn:
    raise TypeError(f"{described(self)} is missing")


for _operator in (
    *("lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv"),
    *("floordiv", "rfloordiv", "mod", "rmod", "pow", "rpow", "and", "rand", "or", "ror", "xor"),
    *("rxor", "neg", "pos", "abs", "invert", "int", "float", "index", "len", "iter", "contains"),
    *("getitem", "str", "repr", "format", "call", "round"),
):
    setattr(Missing, f"__{_operator}__", _refuse)


class Record(dict[str, Any]):
    """Columns and their values. Scripts can also use them as attributes: see `guards`."""

    __slots__ = ()

    def copy(self) -> Record:
        """A copy that is a record, too, so that it supports the same operations."""
        return Record(self)


without_module(Missing, "Missing")
without_module(Record, "Record")


def described(missing: Missing) -> str:
    """The missing column, in backquotes."""
    return f"`{missing._column}`"


def decoded(text: str | bytes) -> Any:
    """Decode JSON, with records for its objects."""
    return json.loads(text, object_pairs_hook=Record)


def encoded(value: Any) -> str:
    """Encode a value of a script as JSON. Raises `TypeError` or `ValueError` if it cannot be."""
    return _ENCODER.encode(value)


def _no_json(value: object) -> NoReturn:
    if isinstance(value, Missing):
        raise TypeError(f"{described(value)} is missing, which cannot be stored or searched for")
    raise TypeError(f"a `{type(value).__name__}` is not a JSON value")


_ENCODER: Final = json.JSONEncoder(allow_nan=False, default=_no_json)
