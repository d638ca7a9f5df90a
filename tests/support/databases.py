"""Databases that a test makes for other processes, of the kind that the tests run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from django.db import connection


@contextmanager
def empty_databases(folder: Path, *kinds: str) -> Iterator[dict[str, str]]:
    """The address of a new database for each kind. On SQLite they are files in the folder."""
    if connection.vendor == "sqlite":
        yield {kind: f"sqlite:///{folder / kind}.sqlite3" for kind in kinds}
        return
    import psycopg

    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    names = {kind: f"rowkeeper_{kind}_{uuid4().hex[:12]}" for kind in kinds}
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        try:
            for name in names.values():
                admin.execute(f'CREATE DATABASE "{name}"'.encode())
            yield {kind: f"{server}/{name}" for kind, name in names.items()}
        finally:
            for name in names.values():
                admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
