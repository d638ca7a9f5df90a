"""Load the demo into the database: create what is missing, and change nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password

from rowkeeper.accounts.errors import CredentialInvalid
from rowkeeper.accounts.models import ApiToken, App, LoginSession
from rowkeeper.accounts.providers import login_session
from rowkeeper.accounts.tokens import SESSION_PREFIX, digest, new_secret
from rowkeeper.datasources import store
from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.repository.rules import save_rules

from . import credentials as keeping

HERE = Path(__file__).parent
APP = "Demo"
ADMIN = "admin"
TOKEN = "demo"  # noqa: S105  (the token's name)
# The user of the example commands.
BOB = "bob@acme.com"


@dataclass(frozen=True, slots=True)
class Demo:
    """The loaded demo, as it is shown. A secret that has been changed since is None."""

    people: tuple[str, ...]
    people_password: str | None
    admin_password: str | None
    api_token: str | None
    api_token_id: int
    app_id: int
    session: str | None


def load(path: Path) -> Demo:
    """Create what is missing, in one transaction. `path` is the file with the secrets."""
    kept = keeping.read(path)
    # First, since a secret that is only in the database could never be shown.
    keeping.write(path, kept)
    with atomic():
        app = App.objects.get_or_create(name=APP)[0]
        admin_password = _admin(kept.admin_password)
        token = _token(kept.api_token, app)
        for name in ("employees", "staff"):
            _data_source(_example(name), app)
        users = _users(app, kept.people_password)
        session = _session(users, kept.session)
    if session != kept.session:
        keeping.write(path, replace(kept, session=session or ""))
    return Demo(
        people=tuple(row["Email"] for row in _example("users")["entries"]),
        people_password=_if_still(users, kept.people_password),
        admin_password=admin_password,
        api_token=kept.api_token if token.revoked_at is None else None,
        api_token_id=token.pk,
        app_id=app.pk,
        session=session,
    )


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found


# -- the site's own users and tokens


def _admin(password: str) -> str | None:
    """Create the site's administrator. Returns the password, or None if it has been changed."""
    model: Any = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: ADMIN}).first()
    if user is None:
        model._default_manager.create_superuser(ADMIN, "", password)
        return password
    return password if user.check_password(password) else None


def _token(secret: str, app: App) -> ApiToken:
    """The API token with that secret, with the administrator's permissions."""
    found = ApiToken.objects.filter(digest=digest(secret)).first()
    if found is not None:
        return found
    model: Any = get_user_model()
    return ApiToken.objects.create(
        name=TOKEN,
        digest=digest(secret),
        hint=secret[-4:],
        app=app,
        user=model._default_manager.get(**{model.USERNAME_FIELD: ADMIN}),
    )


# -- data sources


def _data_source(example: dict[str, Any], app: App, password: str = "") -> Source:
    """The data source of an example, which is created with its entries and rules if missing."""
    found = DataSource.objects.filter(name=example["name"]).first()
    if found is not None:
        return registry.source_of(found)
    model = DataSource(
        name=example["name"],
        columns=example["columns"],
        definition=example.get("definition", {}),
        app=app,
    )
    saving.save(model)
    source = registry.source_of(model)
    _insert(source, example["entries"], password)
    save_rules(model, example["rules"])
    return registry.source_of(model)


def _users(app: App, password: str) -> Source:
    """The sign-in data source, with all users of the example in it."""
    example = _example("users")
    source = _data_source(example, app, password)
    if source.login is not None:
        column = source.login.email_column
        missing = [
            row
            for row in example["entries"]
            if not store.login_rows(source.id, source.login, row["Email"])
        ]
        _insert(source, [{**row, column: row["Email"]} for row in missing], password)
    return source


def _insert(source: Source, rows: list[dict[str, Any]], password: str) -> None:
    if not rows:
        return
    secret = {source.login.password_column: password} if source.login else {}
    with store.writing(source, dict.fromkeys(key for row in rows for key in (*row, *secret))):
        store.insert(source, [{**row, **secret} for row in rows])


def _bob(source: Source) -> tuple[int, dict[str, Any]] | None:
    rows = store.login_rows(source.id, source.login, BOB) if source.login else []
    return rows[0] if len(rows) == 1 else None


def _if_still(source: Source, password: str) -> str | None:
    """The password of the demo's users, or None if Bob's has been changed."""
    bob = _bob(source)
    if bob is None or source.login is None:
        return None
    encoded = bob[1].get(source.login.password_column)
    return password if isinstance(encoded, str) and check_password(password, encoded) else None


def _session(source: Source, secret: str) -> str | None:
    """The token of a session of Bob's: the stored one if it is valid, otherwise a new one."""
    bob = _bob(source)
    mark = (
        None
        if bob is None or source.login is None
        else login_session.fingerprint(source.login, bob[1])
    )
    if bob is None or mark is None:
        return None
    try:
        if secret and login_session.caller_of(secret).identity.entry_id == bob[0]:
            return secret
    except CredentialInvalid:
        pass
    secret = new_secret(SESSION_PREFIX)
    LoginSession.objects.create(
        digest=digest(secret), data_source_id=source.id, entry_id=bob[0], fingerprint=mark
    )
    return secret
