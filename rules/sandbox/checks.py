"""System checks: which walls protect this machine from scripts.

`manage.py check` checks the settings and the platform; `check --deploy` also starts a worker, and
reports its walls.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured

from .limits import Limits, current_limits
from .process import NotStarted, Worker
from .worker.names import WALLS


@register()
def check_scripts(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check that the limits of scripts are valid, and that workers can exist on this platform."""
    try:
        current_limits()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="rowkeeper.E010")]
    if find_spec("resource") is None:
        return [
            Warning(
                f"Scripts cannot run on `{sys.platform}`, which has no limits for processes. "
                "Requests that need a script rule are answered with 503.",
                id="rowkeeper.W010",
            )
        ]
    return []


@register(deploy=True)
def check_walls(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check which walls a worker has when it is started now."""
    try:
        limits = current_limits()
    except ImproperlyConfigured:
        return []  # reported by the check above
    try:
        return messages_of_walls(walls_of_a_worker(limits))
    except NotStarted as error:
        return [
            Error(
                f"No worker for scripts could be started: {error}.",
                hint="Requests that need a script rule are answered with 503. To use another "
                'interpreter, set ROWKEEPER["SCRIPTS"]["PYTHON"].',
                id="rowkeeper.E011",
            )
        ]


def walls_of_a_worker(limits: Limits) -> set[str]:
    """Start a worker, and return the names of its walls. Raises `NotStarted`."""
    worker = Worker(limits)
    try:
        worker.await_walls(time.monotonic() + limits.start_seconds)
        return set(worker.walls)
    finally:
        worker.kill()
        worker.reap()


def messages_of_walls(standing: set[str]) -> list[CheckMessage]:
    """Messages about the walls that a worker has, and about those that it lacks."""
    stand = [said for name, said in WALLS.items() if name in standing]
    missing = [said for name, said in WALLS.items() if name not in standing]
    found: list[CheckMessage] = [
        Info(
            f"Protection of the workers that run scripts: {'; '.join(stand)}.", id="rowkeeper.I010"
        )
    ]
    if missing:
        found.append(
            Warning(
                f"Protection that the workers lack on this machine: {'; '.join(missing)}.",
                hint="All of it is available on Linux on x86-64 and ARM64, where a process can "
                "filter its own system calls.",
                id="rowkeeper.W011",
            )
        )
    return found
