"""The cases of `tests/cases/hostile_inputs.json`, as requests: for the tests and the benchmark.

`values` are refused by whatever reads JSON, and stand in turn at every one of the `places`; `cases`
are requests of their own. What a body holds is JSON, with these in it:

    "~"                                 in a place: the value; in a nest: what is inside
    {"~raw": text}                      the text as it is, which need not be JSON
    {"~text": "ab", "times": 3}         "ababab", with `before` and `after`
    {"~list": "a{n}", "times": 3}       ["a0", "a1", "a2"]; "{n}" alone is a number, "{-n}" too
    {"~object": "c{n}", "times": 3}     {"c0": 1, "c1": 1, "c2": 1}, or `of` another value
    {"~nest": ["~"], "times": 3}        [[[1]]], or another value `in` it

`told`: what the message has to name. `finds`: what a select finds of `rows(3)`. `each row`: more
than a list to look in is asked of each row, which takes its time where there are many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "cases" / "hostile_inputs.json"
# Method and path of each kind of request; {source}, {entry} and {people} are numbers.
TO = {
    "query": ("POST", "data-sources/{source}/data/query"),
    "insert": ("PUT", "data-sources/{source}/data"),
    "update": ("PUT", "data-sources/{source}/data/{entry}"),
    "bulk": ("POST", "data-sources/{source}/data"),
    "commit": ("POST", "data-sources/{source}/commit"),
    "authorize": ("POST", "session/authorize"),
    "create": ("POST", "data-sources"),
    "save": ("PUT", "data-sources/{source}"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One request, and what is to be answered."""

    says: str
    method: str
    path: str
    # As the file has it: the text of some is a megabyte, which is made when it is sent.
    holds: Any
    inside: str
    status: tuple[int, ...]
    told: str = ""
    finds: list[str] | None = None
    each_row: bool = False

    @property
    def body(self) -> bytes:
        """What is sent; empty where there is nothing to be."""
        return b"" if self.holds is None else written(self.holds, self.inside).encode()

    def path_in(self, numbers: dict[str, int]) -> str:
        """The path, with the numbers of the data source and its first entry."""
        path = self.path
        for name, number in numbers.items():
            path = path.replace(f"{{{name}}}", str(number))
        return path


def rows(count: int) -> list[dict[str, Any]]:
    """What is stored where the cases are asked. The texts are those that patterns backtrack on."""
    return [
        {"A": f"a{n}", "N": n, "L": [n, n + 1], "O": {"x": n}, "T": "a" * 40 + "!"}
        for n in range(count)
    ]


def places() -> list[dict[str, Any]]:
    """Where a value may stand."""
    found: list[dict[str, Any]] = _read()["places"]
    return found


def at_place(place: dict[str, Any]) -> Iterator[Case]:
    """Each value that nothing takes, at one place."""
    method, path = TO[place["to"]]
    for value in _read()["values"]:
        inside = written(value["value"])
        says = f"{value['says']} in {place['says']}"
        yield Case(says, method, path, place["body"], inside, (400,), value["told"])


def cases() -> list[Case]:
    """The requests of their own."""
    return [_case(one) for one in _read()["cases"]]


def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def _case(one: dict[str, Any]) -> Case:
    method, path = TO[one["to"]] if "to" in one else (one["method"], one["path"])
    status = one["status"]
    return Case(
        one["says"],
        method,
        path if isinstance(path, str) else "".join(map(_text, path)),
        one.get("body"),
        "1",
        tuple(status) if isinstance(status, list) else (status,),
        one.get("told", ""),
        one.get("finds"),
        one.get("each row", False),
    )


# -- bodies


def written(value: Any, inside: str = "1", number: int = 0) -> str:
    """The JSON text of a body; `inside` is the text of what stands at "~"."""
    if value == "~":
        return inside
    if value in ("{n}", "{-n}"):
        return str(number if value == "{n}" else -number)
    if isinstance(value, str):
        return json.dumps(value.replace("{n}", str(number)), ensure_ascii=False)
    if isinstance(value, list):
        return f"[{','.join(written(item, inside, number) for item in value)}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    for kind, write in _KINDS.items():
        if kind in value:
            return str(write(value, inside))
    items = (
        f"{written(key.replace('~', ''), '', number)}:{written(item, inside, number)}"
        for key, item in value.items()
    )
    return f"{{{','.join(items)}}}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value.get("before", "") + value["~text"] * value["times"] + value.get("after", ""))


def _raw(value: dict[str, Any], inside: str) -> str:
    return _text(value["~raw"])


def _long(value: dict[str, Any], inside: str) -> str:
    return json.dumps(_text(value))


def _list(value: dict[str, Any], inside: str) -> str:
    return f"[{','.join(written(value['~list'], inside, n) for n in range(value['times']))}]"


def _object(value: dict[str, Any], inside: str) -> str:
    key, of = _text(value["~object"]), value.get("of", 1)
    items = (f"{written(key, '', n)}:{written(of, inside, n)}" for n in range(value["times"]))
    return f"{{{','.join(items)}}}"


def _nest(value: dict[str, Any], inside: str) -> str:
    # The text around the place, so often; the place is a text that stands nowhere else.
    before, _, after = written(value["~nest"], "\0").partition("\0")
    core = written(value["in"], inside) if "in" in value else inside
    return str(before * value["times"] + core + after * value["times"])


_KINDS = {"~raw": _raw, "~text": _long, "~list": _list, "~object": _object, "~nest": _nest}
