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
    "user": "a user without rights",
    "descriptors": "no open files",
    "memory": "bounded memory",
    "cpu": "bounded computing",
    "files": "no files",
    "processes": "no other processes",
    "core": "no core dumps",
    "privileges": "no new privileges",
    "parent": "an end with the web server",
    "seccomp": "few system calls (seccomp)",
    "audit": "an alarm at whatever Python reports",
}

_OUTSIDE = "is out of reach of scripts"
_OPENS = "is not for scripts: it would open what they may not see"
UNKNOWN_NAMES: Final = {
    "null": "is `None` in Python",
    "undefined": "is `None` in Python; a column that is missing is false",
    "true": "is `True` in Python",
    "false": "is `False` in Python",
    "NaN": "is no value of JSON",
    "Date": "is not Python: write `now_ms()`, or `now()` for text",
    "datetime": "is not there: write `now()` for text, or `now_ms()`",
    "time": "is not there: write `now()` for text, or `now_ms()`",
    "JSON": "is not Python, and not needed: values are Python's",
    "Array": "is not Python: write `isinstance(query, list)`",
    "Object": "is not Python: records have `keys()`, `values()` and `items()`",
    "String": "is not Python: write `str(...)`",
    "Number": "is not Python: write `int(...)` or `float(...)`",
    "console": "is not Python: write `print(...)`",
    "Fliplet": "is not here: write `DataSources(...)`",
    "map": "is not there: write `[f(x) for x in list]`",
    "filter": "is not there: write `[x for x in list if f(x)]`",
    "next": "is not there: write a loop, or take an item of a list",
    "iter": "is not there: write a loop",
    "frozenset": "is not there: use `set`",
    "bytes": "is not there: use text",
    "printed": "cannot be read: what is printed goes to the trace",
    "hasattr": 'is not there: write `"Column" in record`',
    **dict.fromkeys(("open", "input", "exit", "quit", "breakpoint", "help", "os", "sys"), _OUTSIDE),
    **dict.fromkeys(("eval", "exec", "compile", "globals", "locals", "vars", "dir"), _OPENS),
    **dict.fromkeys(("getattr", "setattr", "delattr", "object", "super", "id", "callable"), _OPENS),
}
