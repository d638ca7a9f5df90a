"""Stores files between upload and confirmation, in a private folder, for a limited time.

Each file is for one user and one data source. Its name in the folder is random; the name that the
user gave it is only displayed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from time import monotonic, time
from typing import Any

from ..conf import setting
from ..errors import NotFound
from .job import Job
from .problems import Unreadable
from .table import Reading

_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
# How many of a user's newest files are kept.
_KEPT = 5
_PROGRESS_SECONDS = 0.3


class Gone(NotFound):
    """The upload does not exist, belongs to another user, or has expired; all look the same."""

    def __init__(self) -> None:
        super().__init__("this upload has expired: upload the file again")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded, and what to do with it."""

    id: str
    name: str
    job: Job

    # -- files that are stored with it

    def claim(self) -> None:
        """Claim the upload, so that it cannot be confirmed twice. Raises `Gone`."""
        try:
            self._neighbor("json").rename(self._neighbor("claimed"))
        except FileNotFoundError:
            raise Gone from None

    def release(self) -> None:
        """Undo `claim`, because nothing was imported."""
        with suppress(FileNotFoundError):
            self._neighbor("claimed").rename(self._neighbor("json"))

    def forget(self) -> None:
        """Delete all files of the upload."""
        _forget(self.id)

    def keep_preview(self, preview: dict[str, Any]) -> None:
        """Store the result of the preview."""
        _replace(self._neighbor("preview"), preview)

    def kept_preview(self) -> dict[str, Any] | None:
        """Return the stored result of a preview, or None."""
        return _json_in(self._neighbor("preview"))

    def progress(self, step: str) -> Progress:
        """Return a callback that stores the progress of a step, for `noted_progress`."""
        return Progress(self._neighbor("progress"), step)

    def noted_progress(self) -> dict[str, Any]:
        """Return the progress of the step that is running now."""
        return _json_in(self._neighbor("progress")) or {}

    def _neighbor(self, kind: str) -> Path:
        return self.job.path.with_suffix(f".{kind}")


class Progress:
    """A callback that is called with the fraction that is done (or None) and the number of rows."""

    def __init__(self, path: Path, step: str) -> None:
        self._path, self._step, self._last = path, step, 0.0

    def __call__(self, fraction: float | None, rows: int) -> None:
        if monotonic() - self._last > _PROGRESS_SECONDS:
            self._last = monotonic()
            _replace(self._path, {"step": self._step, "fraction": fraction, "rows": rows})


def keep(
    chunks: Iterable[bytes], name: str, user_id: Any, source_id: int, job_fields: dict[str, Any]
) -> Upload:
    """Store a file and what to do with it. Raises `Unreadable` if there is no space for it."""
    sweep(str(user_id))
    upload_id = secrets.token_hex(32)
    path = folder() / f"{upload_id}.data"
    try:
        with _private(path) as file:
            for chunk in chunks:
                file.write(chunk)
        about = {"user": str(user_id), "source": source_id, "name": name, "job": job_fields}
        _replace(path.with_suffix(".json"), about)
    except OSError:
        _forget(upload_id)
        raise Unreadable("there is not enough space to store the file at the moment") from None
    return Upload(upload_id, name, _job(path, job_fields))


def find(upload_id: str, user_id: Any, source_id: int) -> Upload:
    """Return the upload of this user for this data source. Raises `Gone`."""
    if not _ID.fullmatch(upload_id):
        raise Gone
    path = folder() / f"{upload_id}.data"
    about = _json_in(path.with_suffix(".json")) or _json_in(path.with_suffix(".claimed"))
    if about is None or (about["user"], about["source"]) != (str(user_id), source_id):
        raise Gone
    if not path.exists() or _age(path) > _lifetime():
        _forget(upload_id)
        raise Gone
    return Upload(upload_id, about["name"], _job(path, about["job"]))


def sweep(user_id: str) -> None:
    """Delete files that are too old, and all but the newest files of one user."""
    own: list[tuple[float, str]] = []
    for path in _files():
        age = _age(path)
        if age > _lifetime():
            path.unlink(missing_ok=True)
        elif path.suffix == ".json" and (_json_in(path) or {}).get("user") == user_id:
            own.append((age, path.stem))
    for _, upload_id in sorted(own)[_KEPT - 1 :]:
        _forget(upload_id)


def folder() -> Path:
    """Return the folder of the files. Raises `Unreadable` if others can access it."""
    configured = setting("IMPORT_DIR")
    if configured:
        path = Path(configured)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    path = Path(gettempdir()) / f"rowkeeper-imports-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    foreign = hasattr(os, "geteuid") and (found.st_uid != user or found.st_mode & 0o077)
    if not stat.S_ISDIR(found.st_mode) or foreign:
        raise Unreadable(
            f"`{path}` is accessible to other users of this machine; set `IMPORT_DIR` to a "
            "folder that is not"
        )
    return path


def _job(path: Path, fields: dict[str, Any]) -> Job:
    reading = {**fields["reading"], "text_columns": frozenset(fields["reading"]["text_columns"])}
    return Job(path, fields["mode"], fields["key"], Reading(**reading))


def job_fields(mode: str, key: str | None, reading: Reading) -> dict[str, Any]:
    """Return what to do with a file, in the form that is stored with it."""
    return {
        "mode": mode,
        "key": key,
        "reading": {
            "format": reading.format,
            "delimiter": reading.delimiter,
            "recognize": reading.recognize,
            "text_columns": sorted(reading.text_columns),
        },
    }


def _lifetime() -> float:
    return float(setting("IMPORT_MINUTES")) * 60


def _age(path: Path) -> float:
    try:
        return time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _files() -> Iterator[Path]:
    return (path for path in folder().iterdir() if _ID.fullmatch(path.stem))


def _forget(upload_id: str) -> None:
    for kind in ("json", "claimed", "preview", "progress", "data"):
        (folder() / f"{upload_id}.{kind}").unlink(missing_ok=True)


def _private(path: Path) -> Any:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _replace(path: Path, value: dict[str, Any]) -> None:
    """Write a file atomically, because other processes may read it at the same time."""
    written = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    with _private(written) as file:
        file.write(json.dumps(value).encode())
    written.replace(path)


def _json_in(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found
