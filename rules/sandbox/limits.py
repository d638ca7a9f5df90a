"""The limits of scripts: these defaults, overridden by `ROWKEEPER["SCRIPTS"]` in the settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from rowkeeper.datasources.conf import setting


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of scripts. The settings have these names in upper case."""

    # -- for one run
    # Seconds of wall-clock time, including look-ups.
    seconds: float = 3.0
    # The number of look-ups, and of the rows in each.
    lookups: int = 50
    lookup_rows: int = 1_000
    # Address space of a worker in MiB, of which Python itself needs about 40.
    memory_megabytes: int = 384
    # Bytes of one message to the worker (including the result of a look-up) and from it.
    input_bytes: int = 16_000_000
    output_bytes: int = 16_000_000
    # Values in the output, counted by its brackets and commas. A message takes many times its bytes
    # as objects in the web process.
    output_values: int = 1_000_000
    # Entries of one delete that a script decides on.
    delete_entries: int = 10_000
    # Characters of `print` that are kept for the trace.
    print_characters: int = 10_000

    # -- for the pool, of which each process of the web server has one
    # Workers, which is the number of scripts that run at once.
    workers: int = 4
    # Requests that may wait for a worker, and the seconds that they wait if all are busy.
    queue: int = 16
    wait_seconds: float = 0.5
    # Seconds that a new worker may take to start.
    start_seconds: float = 10.0
    # A worker is replaced after this many runs, and after this many seconds.
    worker_runs: int = 1_000
    worker_seconds: float = 600.0
    # CPU seconds in the lifetime of a worker. It stops a worker that no process supervises any
    # more.
    cpu_seconds: int = 60
    # The `nice` value of workers, which gives the web server priority.
    nice: int = 5
    # The Python interpreter, if `sys.executable` is not one (in a server that embeds Python).
    python: str | None = None


def limits_from(given: dict[str, Any]) -> Limits:
    """The limits of the settings. Raises `ImproperlyConfigured` for an unknown or invalid one."""
    known = {field.name.upper(): field for field in fields(Limits)}
    for name, value in given.items():
        if name not in known:
            raise ImproperlyConfigured(
                f"`ROWKEEPER['SCRIPTS']` has no setting `{name}`; the settings are "
                f"{', '.join(sorted(known))}"
            )
        if name != "PYTHON" and not _is_number(value, whole="int" in str(known[name].type)):
            raise ImproperlyConfigured(
                f"`ROWKEEPER['SCRIPTS']['{name}']` is `{value!r}`, expected a number above 0"
            )
    return Limits(**{name.lower(): value for name, value in given.items()})


def _is_number(value: object, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return value >= 0


_read: tuple[dict[str, Any], Limits] | None = None


def current_limits() -> Limits:
    """The limits in the current settings; parsed again only if they have changed."""
    global _read
    given = setting("SCRIPTS")
    if _read is None or _read[0] != given:
        _read = (dict(given), limits_from(given))
    return _read[1]
