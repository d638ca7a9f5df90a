"""The simulator says what the API does: random rules, people, rows and requests, asked over HTTP
under the stored rules, and simulated under the same rules before anybody saves them.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection, transaction

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.admin.simulator import _simulated
from rowkeeper.rules.repository.rules import save_rules
from rowkeeper.rules.simulator.request import parse_request
from tests.engine.test_updates_soundness import random_place, wanted
from tests.reference import random_cases as make
from tests.reference import reading
from tests.reference.random_cases import COLUMNS, SEED
from tests.reference.reading_writes import Who
from tests.support import calls
from tests.support.calls import Api, Place, place
from tests.support.people import sign_in_source

# In each stage of CI, which differ in their seed; over so many data sources.
CASES = int(os.environ.get("SIMULATOR_CASES", "340"))
PLACES = 10
OPERATIONS = ["select", "select", "insert", "update", "update", "delete", "commit"]

pytestmark = pytest.mark.django_db


class World:
    """A data source with random rows, a data source of people, and those who ask."""

    def __init__(self, rnd: Random, number: int) -> None:
        self.rnd = rnd
        found = random_place(rnd, rnd.choice(["select", "insert", "update", "delete"]))
        self.rules = [*found.rules, *(make.rule(rnd, o) for o in ("insert", "update", "delete"))]
        rnd.shuffle(self.rules)
        people = [
            {key: value for key, value in (make.user(rnd) or {}).items() if key != "Email"}
            for _ in range(3)
        ]
        rows = [{**row, "Email": address} for row, address in zip(people, "abc", strict=True)]
        self.people = sign_in_source(f"People {number}", rows)
        self.rows = rows
        self.there: Place = place(
            [], [make.row(rnd) for _ in range(6)], f"Things {number}", [*COLUMNS, "extra"]
        )
        save_rules(self.there.model, self.rules)
        self.tokens = [calls.bare_token(), calls.bare_token()]
        self.sessions = [calls.session(self.people, address) for address in "abc"]

    def who(self) -> tuple[dict[str, Any], Api, Who]:
        """Somebody: for the simulator, for the API, and for those who make requests up."""
        dice = self.rnd.random()
        if dice < 0.15:
            return {"kind": "anonymous"}, calls.anonymous(), Who(None)
        if dice < 0.35:
            token, api = self.rnd.choice(self.tokens)
            return {"kind": "token", "token": token.pk}, api, Who(None, None, token.pk)
        at = self.rnd.randrange(3)
        who = {"kind": "row", "source": self.people.pk, "name": "abc"[at]}
        return who, self.sessions[at], Who(self.rows[at])

    def row(self, who: Who, operation: str) -> dict[str, Any]:
        found = make.row(self.rnd) if make.chance(self.rnd, 0.4) else {}
        if make.chance(self.rnd, 0.8):
            found |= wanted(_Rules(self.rules), who, operation, self.rnd)  # type: ignore[arg-type]
        return found

    def where(self, who: Who, operation: str) -> dict[str, Any]:
        if make.chance(self.rnd, 0.2):
            return make.where(self.rnd)
        rules = [rule for rule in self.rules if operation in rule["type"]]
        wants = []
        for item in reading.required(self.rnd.choice(rules)) if rules else []:
            if isinstance(item, str):
                wants.append(item)
            elif reading.rendered(item[2], who.user) is not reading.UNMET:
                wants.append((item[0], item[1], reading.rendered(item[2], who.user)))
        return make.implying(self.rnd, wants)

    def entry(self) -> int:
        ids = self.there.ids
        return self.rnd.choice([*ids, *ids, ids[-1] + 1_000_000])


class _Rules:
    """What `wanted` looks at."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self.rules, self.secret, self.columns = rules, [], None


def requests(world: World, number: int) -> Iterator[tuple[dict[str, Any], Api, tuple[Any, ...]]]:
    """What the simulator is asked, and who asks the API for the same in which way."""
    rnd = world.rnd
    data, url = world.there.data, world.there.url
    for _ in range(number):
        asks_as, api, who = world.who()
        operation = rnd.choice(OPERATIONS)
        asked: dict[str, Any] = {"as": asks_as, "operation": operation}
        body: Any = None
        by_id = make.chance(rnd, 0.4) or operation == "update"
        if operation == "insert":
            body, how = world.row(who, "insert"), ("PUT", data)
        elif operation == "commit":
            body, how = commit(world, who), ("POST", f"{url}/commit")
        elif by_id:
            asked["entry"] = world.entry()
            method = {"select": "GET", "update": "PUT", "delete": "DELETE"}[operation]
            how = (method, f"{data}/{asked['entry']}")
            body = world.row(who, "update") if operation == "update" else None
        else:
            how = ("POST", f"{data}/query")
            body = {"type": operation, "where": world.where(who, operation)}
            if operation == "select" and make.chance(rnd, 0.3):
                body["order"] = [[rnd.choice(COLUMNS), "ASC"]]
            if operation == "select" and make.chance(rnd, 0.2):
                body |= rnd.choice([{"countOnly": True}, {"attributes": [rnd.choice(COLUMNS)]}])
        asked["body"] = "" if body is None else json.dumps(body)
        yield asked, api, (*how, body)


def commit(world: World, who: Who) -> dict[str, Any]:
    rnd = world.rnd
    entries: list[dict[str, Any]] = []
    if make.chance(rnd, 0.6):
        entries.append({"data": world.row(who, "insert")})
    if make.chance(rnd, 0.6):
        entries.append({"id": world.entry(), "data": world.row(who, "update")})
    gone = [world.entry()] if make.chance(rnd, 0.3) else []
    taken = {entry.get("id") for entry in entries}
    return {
        "entries": entries,
        "delete": [key for key in gone if key not in taken],
        "append": make.chance(rnd, 0.8),
        "extend": make.chance(rnd, 0.5),
        "returnEntries": False,
    }


def really(api: Api, how: tuple[Any, ...]) -> tuple[int, Any]:
    """What the API answers; what it wrote is undone."""
    with transaction.atomic():
        answer = api(*how)
        transaction.set_rollback(True)
    return answer.status, json.loads(answer.text)


def comparable(operation: str, told: Any) -> Any:
    """Of an answer, what does not only come to be by writing."""
    if not isinstance(told, dict) or "type" in told:
        return told
    if operation == "insert":
        return told["data"], told["dataSourceId"]
    if operation == "update":
        return told["id"], told["data"], told["createdAt"]
    return None if operation == "commit" else told


@pytest.mark.parametrize("number", range(PLACES))
def test_the_simulator_says_what_the_api_does(number: int) -> None:
    cache.clear()
    rnd = Random(f"{SEED} {number} {connection.vendor} {sys.version_info[:2]}")
    world = World(rnd, number)
    boss = User.objects.create_superuser("boss")
    model = DataSource.objects.get(pk=world.there.model.pk)
    before = world.there.stored
    # Not yet saved when they are tried.
    rules = json.dumps(world.rules)
    seen: Counter[int] = Counter()
    for asked, api, how in requests(world, CASES // PLACES):
        status, told = really(api, how)
        found = _simulated(boss, model, parse_request({**asked, "rules": rules}))
        assert "problems" not in found, found
        case = (world.rules, asked, told, found)
        assert found["status"] == status, case
        if asked["operation"] != "commit" or status >= 400:
            simulated = json.loads(found["body"])
            assert comparable(asked["operation"], simulated) == comparable(
                asked["operation"], told
            ), case
        assert found["granted"] is (status == 200), case
        seen[status] += 1
    assert world.there.stored == before
    assert set(seen) <= {200, 400, 401, 404} and (seen[400] or seen[401]), seen
