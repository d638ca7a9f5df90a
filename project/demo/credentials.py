"""The demo's secrets: random for each installation, and kept in a file to be shown again."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rowkeeper.accounts.tokens import API_PREFIX, new_secret

# Letters and digits that cannot be mistaken for each other; 16 of them have more than 90 bits.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class DemoCredentials:
    """The secrets shown at each start. `session` is the token of a session, or "" without one."""

    admin_password: str
    people_password: str
    api_token: str
    session: str = ""


def read(path: Path) -> DemoCredentials:
    """The secrets in the file. Those that are missing or unreadable are generated."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    made = asdict(DemoCredentials(_password(), _password(), new_secret(API_PREFIX)))
    for field in fields(DemoCredentials):
        value = found.get(field.name)
        if isinstance(value, str) and value:
            made[field.name] = value
    return DemoCredentials(**made)


def write(path: Path, kept: DemoCredentials) -> None:
    """Write the file, readable by its owner only. It is replaced as a whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(kept), indent=2) + "\n")
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))
