"""The functions that rewritten code calls for every attribute, item, loop and write.

Types are compared exactly: a type that is not listed has no attributes, items or members. Objects
that a script can reach have no more attributes than those listed here.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from RestrictedPython.Guards import guarded_iter_unpack_sequence, guarded_unpack_sequence

from .callables import Generator, plain
from .values import ABSENT, Missing, Record, described

BROKEN_MEMORY: Final = "used more memory than allowed"
BROKEN_RECURSION: Final = "exceeded the maximum recursion depth"

_DICT: Final = frozenset(
    ("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values")
)
# `format` and `format_map` give access to objects; `encode`, `translate` and `maketrans` are for
# bytes.
_STR: Final = frozenset(
    (
        *("capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "index"),
        *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower"),
        *("isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower"),
        *("lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex"),
        *("rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip"),
        *("swapcase", "title", "upper", "zfill"),
    )
)
_LIST: Final = frozenset(
    (
        *("append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove"),
        *("reverse", "sort"),
    )
)
_SET: Final = frozenset(
    (
        *("add", "clear", "copy", "difference", "difference_update", "discard", "intersection"),
        *("intersection_update", "isdisjoint", "issubset", "issuperset", "pop", "remove"),
        *("symmetric_difference", "symmetric_difference_update", "union", "update"),
    )
)
METHODS: Final[dict[type, frozenset[str]]] = {
    dict: _DICT,
    Record: _DICT,
    str: _STR,
    list: _LIST,
    set: _SET,
    tuple: frozenset(("count", "index")),
    float: frozenset(("is_integer",)),
}
_VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()), type({}.items()))
WITH_ITEMS: Final = frozenset((list, tuple, str, dict, range))
ITERABLE: Final = frozenset((*WITH_ITEMS, Record, set, Generator, *_VIEWS))

# JavaScript's names, and what to write in Python instead.
_JAVASCRIPT: Final = {
    "length": "`len(...)`",
    "push": "`append(...)`",
    "includes": "`x in ...`",
    "indexOf": "`index(...)` or `find(...)`",
    "toLowerCase": "`lower()`",
    "toUpperCase": "`upper()`",
    "trim": "`strip()`",
    "startsWith": "`startswith(...)`",
    "endsWith": "`endswith(...)`",
    "every": "`all(... for x in list)`",
    "some": "`any(... for x in list)`",
    "map": "`[... for x in list]`",
    "filter": "`[x for x in list if ...]`",
    "forEach": "`for x in list:`",
    "toString": "`str(...)`",
    "format": 'an f-string: `f"{x}"`',
}


def get_attribute(thing: Any, name: str) -> Any:
    """`thing.name` without a call. For a record this is a column, never a method."""
    kind = type(thing)
    if kind is Record:
        value = dict.get(thing, name, ABSENT)
        return Missing(name) if value is ABSENT else value
    return plain(_method(kind, thing, name))


def get_method(thing: Any, name: str) -> Any:
    """`thing.name` in `thing.name(...)`. A column takes precedence over a method of that name."""
    kind = type(thing)
    if kind is Record:
        value = dict.get(thing, name, ABSENT)
        if value is not ABSENT:
            return value
    return _method(kind, thing, name)


def _method(kind: type, thing: Any, name: str) -> Any:
    if name in METHODS.get(kind, ()):
        return getattr(thing, name)
    raise AttributeError(_no_attribute(kind, thing, name))


def _no_attribute(kind: type, thing: Any, name: str) -> str:
    if kind is Missing:
        return f"`{name}` of {described(thing)}, which is missing"
    if thing is None:
        return f"`{name}` of `None`"
    if kind is Record:
        return f"a record has no method `{name}`"
    if name in _JAVASCRIPT:
        return f"`{kind.__name__}` has no `{name}`; in Python it is {_JAVASCRIPT[name]}"
    if kind is dict:
        return f'`dict` has no `{name}`; write an item as `[...]["{name}"]`'
    return f"`{kind.__name__}` has no `{name}` for scripts"


def get_item(thing: Any, key: Any) -> Any:
    """`thing[key]`."""
    kind = type(thing)
    if kind is Record:
        value = dict.get(thing, key, ABSENT)
        return Missing(key) if value is ABSENT else value
    if kind in WITH_ITEMS:
        return thing[key]
    raise TypeError(_not(thing, "items"))


def iterate(thing: Any) -> Iterator[Any]:
    """The iterator of a `for` loop."""
    if type(thing) in ITERABLE:
        return iter(thing)
    raise TypeError(_not(thing, "members to iterate over"))


def contains(item: Any, container: Any) -> bool:
    """`item in container`. A missing column is in no container."""
    kind = type(container)
    if kind not in ITERABLE:
        raise TypeError(_not(container, "members"))
    if type(item) is Missing:
        return False
    return item in container


def _not(thing: Any, what: str) -> str:
    if type(thing) is Missing:
        return f"{described(thing)} is missing; it has no {what}"
    return f"`{'None' if thing is None else type(thing).__name__}` has no {what}"


# -- writing


class _RecordWriter:
    """The write target for a record."""

    __slots__ = ("_record",)
    _record: Record

    def __init__(self, record: Record) -> None:
        object.__setattr__(self, "_record", record)

    def __setattr__(self, name: str, value: Any) -> None:
        dict.__setitem__(self._record, name, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) is not str:
            raise TypeError("the name of a column must be text")
        dict.__setitem__(self._record, key, value)

    def __delattr__(self, name: str) -> None:
        dict.pop(self._record, name, None)

    def __delitem__(self, key: Any) -> None:
        dict.pop(self._record, key, None)


class _ItemWriter:
    """The write target for a list or dict: items only."""

    __slots__ = ("_thing",)
    _thing: Any

    def __init__(self, thing: Any) -> None:
        object.__setattr__(self, "_thing", thing)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__delattr__(name)

    def __delattr__(self, name: str) -> None:
        if type(self._thing) is list:
            raise TypeError(f"setting `{name}` of a list has no effect; set it on each row")
        raise TypeError(f'`{name}` of a dict; write an item as `[...]["{name}"]`')

    def __setitem__(self, key: Any, value: Any) -> None:
        self._thing[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._thing[key]


def writer(thing: Any) -> Any:
    """The object to write to in place of the thing itself."""
    kind = type(thing)
    if kind is Record:
        return _RecordWriter(thing)
    if kind is list or kind is dict:
        return _ItemWriter(thing)
    raise TypeError(f"{_not(thing, 'parts that can be set')}")


_IN_PLACE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "|=": operator.ior,
    "&=": operator.iand,
    "^=": operator.ixor,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
}


def in_place(op: str, left: Any, right: Any) -> Any:
    """The value of `left` after `left op right`."""
    return _IN_PLACE[op](left, right)


def change_attribute(op: str, thing: Any, name: str, value: Any) -> None:
    """`thing.name += value`, and the other operators."""
    setattr(writer(thing), name, in_place(op, get_attribute(thing, name), value))


def change_item(op: str, thing: Any, key: Any, value: Any) -> None:
    """`thing[key] += value`, and the other operators."""
    writer(thing)[key] = in_place(op, get_item(thing, key), value)


def apply(function: Any, /, *arguments: Any, **named: Any) -> Any:
    """`function(*arguments, **named)`."""
    return function(*arguments, **named)


def guards(limit_broken: Callable[[str], Any]) -> dict[str, Any]:
    """The guards by the names that rewritten code uses.

    `limit_broken` ends the process and the run. Scripts cannot catch that.
    """

    def caught() -> None:
        error = sys.exc_info()[1]
        if isinstance(error, MemoryError):
            limit_broken(BROKEN_MEMORY)
        if isinstance(error, RecursionError):
            limit_broken(BROKEN_RECURSION)

    return {
        "_getattr_": get_attribute,
        "_method_": get_method,
        "_getitem_": get_item,
        "_getiter_": iterate,
        "_in_": contains,
        "_write_": writer,
        "_inplacevar_": in_place,
        "_change_attribute_": change_attribute,
        "_change_item_": change_item,
        "_apply_": apply,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_caught_": caught,
        "_function_": plain,
        "_generator_": Generator,
    }
