"""Run as a process with the settings of this package: revokes, and asks a replica that lags.

Prints JSON. For each way to have access: the statuses before the revocation, while the replica
still holds what was revoked, and after it has caught up.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import django

PASSWORD = "correct horse"
READ = {"type": ["select"], "allow": "all"}
SCRIPT = "return {'granted': len(DataSources('Staff').find()) > 0}"


class Way(NamedTuple):
    """A way to have access, and how it is taken away."""

    name: str
    ask: Callable[[], int]
    revoke: Callable[[], Any]


def copy() -> None:
    """Make the replica what the primary is now."""
    from django.db import connections

    connections.close_all()
    primary, replica = os.environ["PRIMARY_URL"], os.environ["REPLICA_URL"]
    if primary.startswith("sqlite"):
        names = [str(connections[name].settings_dict["NAME"]) for name in ("primary", "replica1")]
        with closing(sqlite3.connect(names[0])) as old, closing(sqlite3.connect(names[1])) as new:
            old.backup(new)
        return
    import psycopg

    server, _, name = replica.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        template = primary.rpartition("/")[2]
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())


def send(client: Any, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """The response of the API, read to its end."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = "" if body is None else json.dumps(body)
    response = client.generic(method, f"/v1/{path}", data, "application/json", headers=headers)
    response.getvalue()
    return response


class Site:
    """An administrator, who makes data sources and changes their rules over the API."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User

        self.client = self.signed_in(User.objects.create_superuser("boss"))

    @staticmethod
    def signed_in(user: Any) -> Any:
        from django.test import Client

        client = Client()
        client.force_login(user)
        return client

    def made(self, name: str, rules: Any, **more: Any) -> int:
        """A data source with one row; its id."""
        body = {"name": name, "columns": ["Name"], "accessRules": rules, **more}
        body.setdefault("entries", [{"Name": "Ann"}])
        response = send(self.client, "POST", "data-sources", body)
        assert response.status_code == 201, response.content
        return int(response.json()["dataSource"]["id"])

    def put_rules(self, key: int, rules: Any) -> None:
        response = send(self.client, "PUT", f"data-sources/{key}", {"accessRules": rules})
        assert response.status_code == 200, response.content


def reading(client: Any, key: int, token: str = "") -> Callable[[], int]:
    """Asks for the rows of a data source; the status."""
    path = f"data-sources/{key}/data"
    return lambda: int(send(client, "GET", path, token=token).status_code)


def managing(client: Any, key: int, token: str = "") -> Callable[[], int]:
    """Asks for a data source itself, which is a matter of permissions; the status."""
    path = f"data-sources/{key}"
    return lambda: int(send(client, "GET", path, token=token).status_code)


def by_rules_and_tokens(site: Site) -> Iterator[Way]:
    from django.contrib.auth.models import User
    from django.test import Client
    from guardian.shortcuts import assign_perm

    from rowkeeper.accounts import tokens
    from rowkeeper.datasources.models import DataSource

    everyone = site.made("Everyone", [READ])
    yield Way("rules", reading(Client(), everyone), lambda: site.put_rules(everyone, []))

    token, secret = tokens.create_api_token("token")
    named = site.made("Token", [{**READ, "allow": {"tokens": [token.pk]}}])
    yield Way("token", reading(Client(), named, secret), lambda: tokens.revoke(token))

    other, other_secret = tokens.create_api_token("other")
    ruled = site.made("Token ruled", [{**READ, "allow": {"tokens": [other.pk]}}])
    yield Way(
        "rules for a token",
        reading(Client(), ruled, other_secret),
        lambda: site.put_rules(ruled, [{**READ, "allow": {"tokens": [other.pk + 999]}}]),
    )

    owner = User.objects.create_user("owner")
    managed = site.made("Managed", [])
    model = DataSource.objects.get(pk=managed)
    assign_perm("rowkeeper_datasources.view_datasource", owner, model)
    owned = tokens.create_api_token("owned", user=owner)[1]
    yield Way(
        "token of a user",
        managing(Client(), managed, owned),
        lambda: User.objects.filter(pk=owner.pk).update(is_active=False),
    )


def by_people(site: Site) -> Iterator[Way]:
    from django.contrib.auth.models import Group, User
    from django.test import Client

    from rowkeeper.datasources.models import Entry

    people = site.made(
        "People",
        [],
        columns=["Email", "Role", "Password"],
        definition={"login": {"emailColumn": "Email", "passwordColumn": "Password"}},
        entries=[
            {"Email": f"{name}@example.com", "Role": "Editor", "Password": PASSWORD}
            for name in ("role", "row", "logout")
        ],
    )
    editors = {**READ, "allow": {"user": {"Role": {"equals": "Editor"}}}}
    edited = site.made("Edited", [editors])
    entries = {row.data["Email"]: row for row in Entry.objects.filter(data_source_id=people)}
    secrets = {}
    for email in entries:
        where = {"Email": email, "Password": PASSWORD}
        body = {"passport": "dataSource", "dataSourceId": people, "where": where}
        answer = send(Client(), "POST", "session/authorize", body).json()
        secrets[email.partition("@")[0]] = answer["session"]["auth_token"]
    role, row = entries["role@example.com"], entries["row@example.com"]
    yield Way(
        "role of a person",
        reading(Client(), edited, secrets["role"]),
        lambda: Entry.objects.filter(pk=role.pk).update(data={**role.data, "Role": "Guest"}),
    )
    yield Way("row of a person", reading(Client(), edited, secrets["row"]), row.delete)
    yield Way(
        "session of a person",
        reading(Client(), edited, secrets["logout"]),
        lambda: send(Client(), "POST", "session/logout", token=secrets["logout"]),
    )

    group = Group.objects.create(name="Editors")
    grouped = site.made(
        "Grouped", [{**READ, "allow": {"user": {"Groups": {"contains": "Editors"}}}}]
    )
    member, idle, gone = (User.objects.create_user(name) for name in ("member", "idle", "gone"))
    group.user_set.add(member, idle, gone)
    yield Way(
        "group of a user",
        reading(site.signed_in(member), grouped),
        lambda: group.user_set.remove(member),
    )
    yield Way(
        "user that is disabled",
        reading(site.signed_in(idle), grouped),
        lambda: User.objects.filter(pk=idle.pk).update(is_active=False),
    )
    client = site.signed_in(gone)
    again = Client(headers={"Cookie": f"sessionid={client.cookies['sessionid'].value}"})
    yield Way("session of a user", reading(again, grouped), client.logout)


def by_permissions(site: Site) -> Iterator[Way]:
    from django.contrib.auth.models import Permission, User
    from guardian.shortcuts import assign_perm, remove_perm

    from rowkeeper.datasources.models import DataSource

    view = "rowkeeper_datasources.view_datasource"
    shared = site.made("Shared", [])
    model = DataSource.objects.get(pk=shared)
    single, wide, writer = (User.objects.create_user(name) for name in ("one", "all", "writer"))
    assign_perm(view, single, model)
    yield Way(
        "permission on a data source",
        managing(site.signed_in(single), shared),
        lambda: remove_perm(view, single, model),
    )
    permission = Permission.objects.get(codename="view_datasource")
    wide.user_permissions.add(permission)
    yield Way(
        "permission on all",
        managing(site.signed_in(wide), shared),
        lambda: wide.user_permissions.remove(permission),
    )

    staff = DataSource.objects.get(pk=site.made("Staff", []))
    scripted = site.made("Scripted", [])
    for right in ("view", "change_rules", "write_scripts"):
        source = DataSource.objects.get(pk=scripted)
        assign_perm(f"rowkeeper_datasources.{right}_datasource", writer, source)
    assign_perm(view, writer, staff)
    client = site.signed_in(writer)
    body = {"accessRules": [{"script": SCRIPT}]}
    assert send(client, "PUT", f"data-sources/{scripted}", body).status_code == 200
    yield Way(
        "permission of a script's writer",
        reading(site.client, scripted),
        lambda: remove_perm(view, writer, staff),
    )


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from rowkeeper.rules.decision_log.journal import journal

    journal.background = False
    settings.ROWKEEPER["DECISION_LOG_GRANTS"] = 0
    call_command("check", databases=["primary"], fail_level="WARNING")
    call_command("migrate", database="primary", verbosity=0)
    copy()
    site = Site()
    ways = [*by_rules_and_tokens(site), *by_people(site), *by_permissions(site)]
    copy()
    seen = {way.name: [way.ask(), way.ask()] for way in ways}
    for way in ways:
        way.revoke()
    for way in ways:
        seen[way.name] += [way.ask(), way.ask()]
    copy()
    for way in ways:
        seen[way.name] += [way.ask(), way.ask()]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
