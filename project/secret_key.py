"""The secret key of an installation that has none in its settings: made once, kept in a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def kept_secret(path: Path) -> str:
    """The secret in the file at `path`, which is created if it does not exist.

    Processes that start at the same time all get the same secret: it is written to a separate file
    first, which is then linked to `path`. Only the first link succeeds.

    Raises `ImproperlyConfigured` if the file can be neither read nor created.
    """
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"no secret key: set `SECRET_KEY` ({error})") from error
    if len(secret) < 50:
        raise ImproperlyConfigured(f"`{path}` holds no secret key: remove it, or set `SECRET_KEY`")
    return secret


def _make(path: Path) -> None:
    """Put a new secret at `path`, readable by its owner only, unless another process just did."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(64) + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
