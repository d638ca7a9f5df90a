"""Three packages of common names, `datasources`, `accounts` and `rules`, are installed together.

Where a project has a package of the same name, Python finds only one of the two; this says so
at start-up, before an import fails somewhere else.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

PACKAGES = ("datasources", "accounts", "rules")
_HOME = Path(__file__).resolve().parent.parent


def foreign(package: str) -> str | None:
    """Where a package of one of our names comes from, if it is not ours; else None."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return "nowhere (it cannot be imported)"
    folder = Path(spec.origin).resolve().parent
    return None if folder == _HOME / package else str(folder)


def conflict_message(package: str, place: str) -> str:
    """What a developer is told about a package that is not ours, and what to do."""
    return (
        f"Rowkeeper's package `{package}` is hidden by another one of that name, found at {place}. "
        f"Rename that package (its AppConfig can keep `label = '{package}'`, so that no table or "
        "migration changes), or uninstall the distribution that brought it."
    )


class SiblingCheck:
    """For our AppConfigs: refuses to start beside a package that takes the place of ours."""

    def __init__(self, app_name: str, app_module: Any) -> None:
        for package in PACKAGES:
            place = foreign(package)
            if place:
                raise ImproperlyConfigured(conflict_message(package, place))
        super().__init__(app_name, app_module)  # type: ignore[call-arg]
