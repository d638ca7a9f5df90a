"""Caches: all of them in `datasources.caching`, each with a bound."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

import project.warmup  # noqa: F401
import rowkeeper
from rowkeeper.accounts import verified_email
from rowkeeper.accounts.providers import api_token, login_session
from rowkeeper.datasources import caching, conf
from rowkeeper.datasources.caching import Cache, OwnedCache
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.compiler import projection, sqlite_functions, where
from rowkeeper.datasources.database import connection
from rowkeeper.datasources.query.regex import compile as regex
from rowkeeper.datasources.query.select import Projection
from rowkeeper.rules.api import middleware, schema

# Where else something is held by key. The first is another program; the second are the failures of
# scripts, which are no copy of anything.
ELSEWHERE = {"rules/sandbox/worker/main.py", "rules/sandbox/strikes.py"}
CALLABLES = [name for name in sorted(dir(os)) if callable(getattr(os, name)) and name[0] != "_"]
# Calls with arguments that differ with the number.
FILL: dict[str, Callable[[int], Any]] = {
    "rowkeeper.accounts.providers.api_token._sql": lambda n: api_token._sql(
        "sqlite", "", f",{n}", ""
    ),
    "rowkeeper.accounts.providers.login_session._sql": lambda n: login_session._sql(
        "sqlite", "", f",{n}", ""
    ),
    "rowkeeper.accounts.providers.login_session._login": lambda n: login_session._login(
        "{}", json.dumps([str(n)])
    ),
    "rowkeeper.accounts.verified_email.hook": lambda n: verified_email.hook(f"os.{CALLABLES[n]}"),
    "rowkeeper.datasources.catalog.registry._join_sql": lambda n: registry._join_sql(f"c{n}", ""),
    "rowkeeper.datasources.compiler.projection.kept_text": lambda n: projection._kept_text(
        where.POSTGRESQL, Projection(frozenset({str(n)})), ("id",), True
    ),
    "rowkeeper.datasources.compiler.sqlite_functions.short_operand": lambda n: (
        sqlite_functions._short_operand(str(n))
    ),
    "rowkeeper.datasources.compiler.sqlite_functions.long_operand": lambda n: (
        sqlite_functions._long_operand(str(n))
    ),
    "rowkeeper.datasources.compiler.sqlite_functions.short_elem": lambda n: (
        sqlite_functions._short_elem('["A"]', f'{{"$eq": {n}}}')
    ),
    "rowkeeper.datasources.compiler.sqlite_functions.long_elem": lambda n: (
        sqlite_functions._long_elem('["A"]', f'{{"$eq": {n}}}')
    ),
    "rowkeeper.datasources.compiler.where._path_array": lambda n: where._path_array((str(n),)),
    "rowkeeper.datasources.compiler.where._path_list": lambda n: where._path_list((str(n),)),
    "rowkeeper.datasources.query.regex.compile.compile_regex": lambda n: regex.compile_regex(
        f"{n}"
    ),
    "rowkeeper.datasources.query.regex.compile._engine": lambda n: regex._engine(f"{n}"),
    "rowkeeper.rules.api.middleware._match": lambda n: middleware._match(
        None, f"/v1/data-sources/{n}/data"
    ),
    "rowkeeper.rules.api.schema.document": lambda n: schema.document(f"/v{n}/"),
    "rowkeeper.rules.api.schema._text": lambda n: schema._text(f"/v{n}/", "json"),
}
# What they are called with comes from the code and the settings, and is less than the bound.
FEW: dict[str, Callable[[], Any]] = {
    "rowkeeper.accounts.client._warn_of_undeclared_proxy": lambda: None,
    "rowkeeper.datasources.conf.setting": lambda: [conf.setting(name) for name in conf.DEFAULTS],
    "rowkeeper.datasources.database.connection.is_joined": lambda: [
        connection.is_joined(model) for model in apps.get_models()
    ],
    "rowkeeper.datasources.database.connection.is_shared": lambda: [
        connection.is_shared(model) for model in apps.get_models()
    ],
    "rowkeeper.datasources.database.connection.features": lambda: None,
    "rowkeeper.datasources.indexes.postgresql_functions.statements": lambda: None,
    "rowkeeper.datasources.permissions.by_user_id._gives_rights": lambda: None,
    "rowkeeper.datasources.permissions.by_user_id._statement": lambda: None,
    "rowkeeper.datasources.query.regex.charsets._families": lambda: None,
    "rowkeeper.datasources.query.regex.charsets._runs": lambda: None,
    "rowkeeper.datasources.store.statements.dialect": lambda: None,
}


class Owner:
    """Something that owns values."""


@pytest.fixture
def named() -> Any:
    """The caches, empty both before and after the change."""
    caching.clear_all()
    yield caching.caches()
    caching.clear_all()


def test_each_cache_holds_no_more_than_its_bound(named: dict[str, Any], db: None) -> None:
    ours = {name for name, one in named.items() if isinstance(one, Cache | OwnedCache)}
    assert named.keys() - ours == {*FILL, *FEW}
    for name, one in named.items():
        full = True
        if isinstance(one, Cache):
            for n in range(one.maxsize + 3):
                one.put(n, n)
        elif isinstance(one, OwnedCache):
            owners = [Owner() for _ in range(one.owners + 3)]
            for owner in owners:
                for n in range(one.of_each + 3):
                    one.put(owner, n, n)
        elif name in FILL:
            for n in range(one.maxsize + 3):
                FILL[name](n)
        else:
            FEW[name]()
            full = False
        assert len(one) == one.maxsize if full else len(one) <= one.maxsize, name


def test_values_of_an_owner_go_with_it() -> None:
    cache: OwnedCache[Owner, int, str] = OwnedCache("", 10, 10)
    owner = Owner()
    cache.put(owner, 1, "one")
    assert (cache.get(owner, 1), len(cache)) == ("one", 1)
    del owner
    assert len(cache) == 0
    assert cache.hits_and_misses() == (1, 0)


def test_the_least_recently_used_goes_first() -> None:
    cache: Cache[int, str] = Cache("", 2)
    cache.put(1, "one")
    cache.put(2, "two")
    assert cache.get(1) == "one"
    cache.put(3, "three")
    assert (cache.get(1), cache.get(2), cache.get(3)) == ("one", None, "three")
    assert cache.hits_and_misses() == (3, 1)
    cache.forget(1)
    assert cache.values() == ["three"]


def test_nothing_else_caches() -> None:
    """Caches are made of these, so none is made anywhere else."""
    made = re.compile(
        r"\b(lru_cache|OrderedDict|Weak\w+Dictionary)\b|functools import .*\bcache\b", re.ASCII
    )
    found = set()
    for app in ("accounts", "datasources", "rules"):
        root = Path(rowkeeper.__file__).parent / app
        for path in root.rglob("*.py"):
            if made.search(path.read_text(encoding="utf-8")):
                found.add(f"{app}/{path.relative_to(root)}")
    assert found == {"datasources/caching.py", *ELSEWHERE}
