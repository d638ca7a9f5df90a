"""All names that a script can use without defining them.

Left out on purpose: functions that give access to objects (`getattr`, `type`, `vars`, `dir`, `id`,
`hash`, `callable`, `super`, `object`), make code (`eval`, `exec`, `compile`), reach outside
(`open`, `input`, `__import__`) or chain iterators in C (`map`, `filter`, `iter`, `next`), and
values that JSON does not have.
"""

from __future__ import annotations

from typing import Final

# The parameters of the function whose body is the script, and the function that looks things up.
PARAMETERS: Final = ("type", "user", "query", "entry", "entries")
INPUTS: Final = (*PARAMETERS, "DataSources")

FUNCTIONS: Final = (
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "isinstance", "len"),
    *("list", "max", "min", "now", "now_ms", "print", "range", "reversed", "round", "set"),
    *("sorted", "str", "sum", "tuple", "zip"),
)
EXCEPTIONS: Final = (
    *("Exception", "ArithmeticError", "AssertionError", "AttributeError", "IndexError"),
    *("KeyError", "LookupError", "NameError", "TypeError", "ValueError", "ZeroDivisionError"),
)
KNOWN_NAMES: Final = frozenset((*INPUTS, *FUNCTIONS, *EXCEPTIONS))

# The walls of the process, with the texts that the system checks show.
WALLS: Final = {
    "user": "a user without privileges",
    "descriptors": "no open files",
    "memory": "limited memory",
    "cpu": "limited CPU time",
    "files": "no files",
    "processes": "no other processes",
    "core": "no core dumps",
    "privileges": "no new privileges",
    "parent": "exit with the web server",
    "seccomp": "few system calls (seccomp)",
    "audit": "audit of Python events",
}

_OUTSIDE = "is not available in scripts"
_OPENS = "is not available in scripts, because it would give access to internals"
UNKNOWN_NAMES: Final = {
    "null": "is `None` in Python",
    "undefined": "is `None` in Python; a missing column is false",
    "true": "is `True` in Python",
    "false": "is `False` in Python",
    "NaN": "is not a JSON value",
    "Date": "is not Python: write `now_ms()`, or `now()` for text",
    "datetime": "does not exist: write `now()` for text, or `now_ms()`",
    "time": "does not exist: write `now()` for text, or `now_ms()`",
    "JSON": "is not Python, and is not needed: values are Python values",
    "Array": "is not Python: write `isinstance(query, list)`",
    "Object": "is not Python: records have `keys()`, `values()` and `items()`",
    "String": "is not Python: write `str(...)`",
    "Number": "is not Python: write `int(...)` or `float(...)`",
    "console": "is not Python: write `print(...)`",
    "Fliplet": "does not exist: write `DataSources(...)`",
    "map": "does not exist: write `[f(x) for x in list]`",
    "filter": "does not exist: write `[x for x in list if f(x)]`",
    "next": "does not exist: write a loop, or use an item of a list",
    "iter": "does not exist: write a loop",
    "frozenset": "does not exist: use `set`",
    "bytes": "does not exist: use text",
    "printed": "cannot be read: printed text is shown in the trace",
    "hasattr": 'does not exist: write `"Column" in record`',
    **dict.fromkeys(("open", "input", "exit", "quit", "breakpoint", "help", "os", "sys"), _OUTSIDE),
    **dict.fromkeys(("eval", "exec", "compile", "globals", "locals", "vars", "dir"), _OPENS),
    **dict.fromkeys(("getattr", "setattr", "delattr", "object", "super", "id", "callable"), _OPENS),
}
