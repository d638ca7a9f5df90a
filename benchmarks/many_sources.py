"""Many data sources, and long lists of rules: the time must be linear at most.

    python -m benchmarks.many_sources [--database postgres://…] [--sqlite] [--sources 5000]

It measures `GET data-sources` with 20 and with 5,000 data sources, all of them and a page of 20,
for a caller with the site-wide right and for one with a right on each; and `PUT data-sources/:id`
with 10 and with 200 rules. It makes a database of its own, and drops it. The exit code is 1 if

- all of n data sources take more than n / 20 times as long as 20 do;
- a page of 20 among them takes more than 3 times as long as all of 20;
- 200 rules take more than 20 times as long as 10.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from .ground import database

FEW, PAGE = 20, 3.0
RULES = (10, 200)
# Below this, in seconds, a ratio says more about the machine than about the code.
FLOOR = 0.002


def prepare() -> dict[str, Any]:
    """The callers: headers by what they may see."""
    import django

    django.setup()
    from django.contrib.auth.models import Permission, User
    from django.core.management import call_command

    from rowkeeper.accounts.tokens import create_api_token

    call_command("migrate", verbosity=0)
    site_wide, each = User.objects.create_user("site"), User.objects.create_user("each")
    codes = ("view_datasource", "change_rules_datasource")
    site_wide.user_permissions.set(Permission.objects.filter(codename__in=codes))
    return {
        user.username: (user, {"Auth-token": create_api_token(user.username, user=user)[1]})
        for user in (site_wide, each)
    }


def add(count: int, user: Any) -> int:
    """So many more data sources, with a right of the user on each; the id of the first."""
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType
    from guardian.models import UserObjectPermission

    from rowkeeper.datasources.models import DataSource

    start = DataSource.objects.count()
    made = DataSource.objects.bulk_create(
        DataSource(name=f"Source {at}", type=f"type {at % 5}", columns=["A", "B", "C"])
        for at in range(start, start + count)
    )
    kind = ContentType.objects.get_for_model(DataSource)
    right = Permission.objects.get(codename="view_datasource", content_type=kind)
    UserObjectPermission.objects.bulk_create(
        UserObjectPermission(permission=right, content_type=kind, object_pk=str(each.pk), user=user)
        for each in made
    )
    return int(made[0].pk)


def seconds(ask: Callable[[], Any], rounds: int) -> float:
    """The median time of a request that has to succeed."""
    times = []
    for at in range(rounds + 1):
        began = time.perf_counter()
        response = ask()
        assert response.status_code == 200, response.content
        if at:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def lists(callers: dict[str, Any], rounds: int) -> dict[str, float]:
    from django.test import Client

    client = Client(headers={"Host": "localhost"})
    found = {}
    asked = {"all": "", "page": f"?limit={FEW}", "type": "?type=type 3&limit=4"}
    for name, (_, headers) in callers.items():
        for what, query in asked.items():
            found[f"{name}, {what}"] = seconds(
                lambda query=query, headers=headers: client.get(
                    f"/v1/data-sources{query}", headers=headers
                ),
                rounds,
            )
    return found


def saves(callers: dict[str, Any], source: int, rounds: int) -> list[float]:
    """The time that it takes to save lists of rules of these lengths."""
    from django.test import Client

    client = Client(headers={"Host": "localhost"})
    headers, found = callers["site"][1], []
    for count in RULES:
        lists = [
            [rule(at, turn) for at in range(count)]
            # Another list each time, as the same one is not saved.
            for turn in range(rounds + 1)
        ]
        found.append(
            seconds(
                lambda lists=lists: client.put(
                    f"/v1/data-sources/{source}",
                    {"accessRules": lists.pop()},
                    content_type="application/json",
                    headers=headers,
                ),
                rounds,
            )
        )
    return found


def rule(at: int, turn: int) -> dict[str, Any]:
    return {
        "name": f"Rule {at}, {turn}",
        "type": ["select", "update"],
        "allow": {"user": {"Role": {"equals": f"Role {at}"}}},
        "require": [{"A": {"equals": "{{user.[Email]}}"}}],
        "exclude": ["B"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432")
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--sources", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with database(options.database, options.sqlite):
        callers = prepare()
        first = add(FEW, callers["each"][0])
        few = lists(callers, options.rounds)
        add(options.sources - FEW, callers["each"][0])
        many = lists(callers, options.rounds)
        short, long = saves(callers, first, options.rounds)
    failed = 0
    for what, before in few.items():
        bound = options.sources / FEW if what.endswith("all") else PAGE
        failed += tell(what, before, many[what], bound)
    failed += tell(f"{RULES[0]} and {RULES[1]} rules", short, long, RULES[1] / RULES[0])
    return int(failed > 0)


def tell(what: str, before: float, after: float, bound: float) -> bool:
    ratio = after / max(before, FLOOR)
    print(
        f"{what:<22} {before * 1000:8.1f} ms {after * 1000:8.1f} ms  {ratio:6.1f} times, "
        f"at most {bound:g}"
    )
    return ratio > bound


if __name__ == "__main__":
    sys.exit(main())
