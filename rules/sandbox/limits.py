"""The one table of limits: `ROWKEEPER["SCRIPTS"]` in Django's settings, over these defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from rowkeeper.datasources.conf import setting


@dataclass(frozen=True, slots=True)
class Limits:
    """What scripts may use. The names in the settings are these, in capitals."""

    # -- of one run
    # Seconds of wall time, look-ups included.
    seconds: float = 3.0
    # Look-ups, and the rows of each.
    lookups: int = 50
    lookup_rows: int = 1_000
    # Address space of a worker, Python's own share of about 40 included.
    memory_megabytes: int = 384
    # Of what goes in (a look-up's answer is one message, too) and of what comes out.
    input_bytes: int = 16_000_000
    output_bytes: int = 16_000_000
    # Values in what comes out, by its brackets and commas: what the web process makes of a message
    # takes many times its bytes.
    output_values: int = 1_000_000
    # Entries of one delete.
    delete_entries: int = 10_000
    # Characters that `print` leaves in the trace.
    print_characters: int = 10_000

    # -- of the pool, which each process of the web server has for itself
    # Workers: that many scripts run at once.
    workers: int = 4
    # Requests that may wait for one, and for how many seconds while all are busy.
    queue: int = 16
    wait_seconds: float = 0.5
    # Seconds that a new worker may take to begin.
    start_seconds: float = 10.0
    # A worker is replaced after so many runs, and after so many seconds.
    worker_runs: int = 1_000
    worker_seconds: float = 600.0
    # CPU seconds in a worker's life: what stops one that nobody is left to stop.
    cpu_seconds: int = 60
    # By how much the web server goes before workers.
    nice: int = 5
    # The interpreter, where `sys.executable` is none (a server that embeds Python).
    python: str | None = None


def limits_from(given: dict[str, Any]) -> Limits:
    """The limits that the settings say. Raises `ImproperlyConfigured` for what is none."""
    known = {field.name.upper(): field for field in fields(Limits)}
    for name, value in given.items():
        if name not in known:
            raise ImproperlyConfigured(
                f"`ROWKEEPER['SCRIPTS']` has no `{name}`, only {', '.join(sorted(known))}"
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
    """The limits as the settings say now; read anew only where they have changed."""
    global _read
    given = setting("SCRIPTS")
    if _read is None or _read[0] != given:
        _read = (dict(given), limits_from(given))
    return _read[1]
