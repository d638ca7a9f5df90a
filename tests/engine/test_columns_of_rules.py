"""Which names a rule's columns open, against a plain reading: every path above and below them."""

from __future__ import annotations

import random
from itertools import product

import pytest

from rowkeeper.datasources.query.where import Field, parse_where
from rowkeeper.rules.engine.column_checks import first_hidden
from rowkeeper.rules.engine.columns import Columns, _above
from rowkeeper.rules.engine.requests import QueryRequest

SEED = 20261127
KEYS = ["a", "b", "data"]
NAMES = [".".join(keys) for length in (1, 2, 3, 4) for keys in product(KEYS, repeat=length)]


def touches(name: str, hidden: set[str]) -> bool:
    """One is the other, or a path below it."""
    return any(
        name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")
        for other in hidden
    )


def hides(name: str, include: set[str] | None, hidden: set[str]) -> bool:
    """Of a path, in each reading: `data.X` names `X` too."""
    column = name.split(".")[0]
    if include is not None and column not in include:
        return True
    if touches(name, hidden):
        return True
    if not name.startswith("data."):
        return False
    bare = name[5:]
    opened = include is None or any(bare == one or bare.startswith(f"{one}.") for one in include)
    return not opened or touches(bare, hidden)


def test_a_path_is_hidden_as_a_plain_reading_has_it() -> None:
    maker = random.Random(SEED)
    seen = set()
    for _ in range(400):
        include = None if maker.random() < 0.5 else {*maker.sample(NAMES, 3), "data", "a"}
        exclude, secret = ({*maker.sample(NAMES, maker.randint(0, 2))} for _ in range(2))
        columns = Columns.of(include, exclude, secret)
        hidden = secret if include is not None else secret | exclude
        for name in maker.sample(NAMES, 40):
            path = tuple(name.split("."))
            found = columns.hides_field(Field(name, path, "$eq", 1, path[0]))
            assert found is hides(name, include, hidden), (name, include, hidden)
            seen.add((found, include is None, len(path)))
    assert len(seen) > 12


def test_conditions_on_one_path_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    hides_field = Columns.hides_field
    monkeypatch.setattr(
        Columns, "hides_field", lambda self, item: asked.append(item) or hides_field(self, item)
    )
    columns = Columns.of(None, ["Salary"])
    where = {"$and": [{"A.b": {"$gt": n}} for n in range(500)] + [{"Salary": 1}]}
    assert first_hidden(columns, QueryRequest(parse_where(where)), []) == "Salary"
    # A column of that name, dots and all, is another one.
    both = parse_where({"$and": [{"A.b": 1}, {"A": {"b": 1}}]}, ["A.b"])
    assert first_hidden(Columns.of(["A.b"]), QueryRequest(both), []) == "A"
    assert len(asked) == 4


def test_a_long_name_takes_no_longer_than_it_is_long() -> None:
    """A client writes it; what it is compared with has few keys."""
    columns = Columns.of(None, ["Salary", "Home.City"])
    name = ".".join(["a"] * 5_000)
    assert _above(name, columns.deepest) == ["a", "a.a"]
    assert not columns.hides_field(Field(name, ("a",), "$eq", 1, "a"))
    assert columns.hides_field(Field("Home.City" + ".x" * 500, ("Home",), "$eq", 1, "Home"))
