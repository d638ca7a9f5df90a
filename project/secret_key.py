"""The secret key of an installation that was given none: made once, kept in a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def kept_secret(path: Path) -> str:
    """The secret in the file at `path`, which is made if it is not there.

    Processes that start side by side all get the same one: it is written to a file of its
    own first and linked to its place, which fails for all but the first.
    Raises `ImproperlyConfigured` where the file can be neither read nor made.
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
    """Put a new secret at `path`, readable by its owner alone, unless another did just now."""
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
