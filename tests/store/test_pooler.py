"""The site behind PgBouncer in transaction mode: each transaction may have another connection."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from tests.support.servers import free_port, running

ROOT = Path(__file__).parents[2]
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
DATABASE_URL = os.environ.get("DATABASE_URL", "")
pytestmark = [
    # It asks a database, though not that of the other tests.
    pytest.mark.django_db,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"] or not PGBOUNCER,
        reason="needs PostgreSQL and PgBouncer",
    ),
]
CONFIG = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
unix_socket_dir =
logfile = {folder}/pgbouncer.log
"""


class Site:
    """The site, asked over HTTP."""

    def __init__(self, port: int, token: str) -> None:
        self.address, self.token = f"http://127.0.0.1:{port}/v1", token

    def __call__(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {"Auth-token": token or self.token, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.address}/{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        for _ in range(40):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                said = f"{method} {path}: {error.code} {error.read()!r}"
                # Only so many long answers are sent at once; clients are asked to try again.
                assert error.code == 503, said
            time.sleep(0.25)
        raise AssertionError(said)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site on a database of its own, with PgBouncer between."""
    import psycopg

    folder = tmp_path_factory.mktemp("pooler")
    url = urlsplit(DATABASE_URL)
    name = f"rowkeeper_pooler_{os.getpid()}"
    env = {**os.environ, "SECRET_KEY": "x" * 50, "DJANGO_SETTINGS_MODULE": "project.settings"}
    direct = {**env, "DATABASE_URL": url._replace(path=f"/{name}").geturl()}
    listen, port = free_port(), free_port()
    pooled = url._replace(netloc=f"{url.username}@127.0.0.1:{listen}", path=f"/{name}").geturl()
    pooled_env = {**env, "DATABASE_URL": pooled, "DATABASE_POOLER": "1"}
    manage = [sys.executable, "manage.py"]
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(DATABASE_URL, autocommit=True))
        server.execute(f"CREATE DATABASE {name}")
        stack.callback(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
        subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=direct, check=True)
        config = folder / "pgbouncer.ini"
        config.write_text(
            CONFIG.format(host=url.hostname, port=url.port or 5432, listen=listen, folder=folder)
        )
        (folder / "users.txt").write_text(f'"{url.username}" ""\n')
        as_user = {}
        if os.geteuid() == 0:  # PgBouncer refuses to run as root.
            as_user = {"user": pwd.getpwnam("nobody").pw_uid}
            for path in (folder, *folder.parents[:3]):
                path.chmod(0o777 if path == folder else 0o755)
        stack.enter_context(
            running(listen, str(PGBOUNCER), str(config), **as_user, stderr=subprocess.DEVNULL)
        )
        subprocess.run(
            [*manage, "createsuperuser", "--noinput", "--username", "root", "--email", "a@b.com"],
            cwd=ROOT,
            env={**pooled_env, "DJANGO_SUPERUSER_PASSWORD": "correct horse"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        made = subprocess.run(
            [*manage, "createtoken", "root", "--user", "root"],
            cwd=ROOT,
            env=pooled_env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        token = max(made.split(), key=len)
        stack.enter_context(
            running(
                port,
                *(sys.executable, "-m", "gunicorn", "project.wsgi", "--no-control-socket"),
                *("--bind", f"127.0.0.1:{port}", "--threads", "8", "--log-level", "warning"),
                cwd=ROOT,
                env=pooled_env,
            )
        )
        yield Site(port, token)


def test_eight_threads_share_three_connections(site: Site) -> None:
    rule = {"type": ["select", "insert", "update", "delete"], "allow": "loggedIn"}
    source = site(
        "POST",
        "data-sources",
        {
            "name": "People",
            "columns": ["Email", "Password", "Number"],
            "definition": {"login": {"emailColumn": "Email", "passwordColumn": "Password"}},
            "accessRules": [{**rule, "include": ["Email", "Password", "Number"]}],
            "entries": [{"Email": f"a{n}@acme.com", "Password": "correct horse"} for n in range(8)],
        },
    )["dataSource"]
    notes = {"name": "Notes", "columns": ["Text", "Number"], "accessRules": [rule]}
    reference = f"data-sources/{site('POST', 'data-sources', notes)['dataSource']['id']}"
    script = "return {'granted': bool(DataSources('Notes').count())}"
    scripted = {"name": "Scripted", "columns": ["A"], "accessRules": [{"script": script}]}
    site("POST", "data-sources", scripted)

    def work(number: int) -> None:
        where = {"Email": f"a{number}@acme.com", "Password": "correct horse"}
        sign_in = {"passport": "dataSource", "dataSourceId": source["id"], "where": where}
        token = site("POST", "session/authorize", sign_in)["session"]["auth_token"]

        def ask(method: str, path: str, body: Any = None) -> Any:
            return site(method, f"{reference}/{path}", body, token)

        rows = [{"data": {"Text": f"note {n}", "Number": number}} for n in range(1_500)]
        ask("POST", "commit", {"entries": rows, "append": True, "returnEntries": False})
        mine = {"where": {"Number": number}}
        for _ in range(15):
            assert len(ask("POST", "data/query", {**mine, "limit": 50})["entries"]) == 50
            assert ask("POST", "data/query", {**mine, "countOnly": True}) == {"count": 1_500}
        found = {**mine, "where": {"Number": number, "Text": {"$regex": "9$"}}}
        assert len(ask("POST", "data/query", found)["entries"]) == 150
        streamed = [row for row in ask("GET", "data")["entries"] if row["data"]["Number"] == number]
        assert len(streamed) == 1_500
        entry = ask("PUT", "data", {"Text": "new", "Number": number})
        assert ask("PUT", f"data/{entry['id']}", {"Text": "newer"})["data"]["Text"] == "newer"
        assert "entries" in site("GET", "data-sources/Scripted/data", None, token)
        deleted = ask("POST", "data/query", {"type": "delete", **mine})
        assert deleted == {"deletedCount": 1_501}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_without_the_variable_the_site_says_what_is_wrong(site: Site) -> None:
    """`options` in the connection's start is what PgBouncer refuses first."""
    env = {**os.environ, "DATABASE_POOLER": "1", "SECRET_KEY": "x" * 50}
    env["DATABASE_URL"] = "postgres://a@b/c?options=-c%20jit%3Doff"
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "which a pooler does not pass on" in done.stderr
