"""System checks: what would go wrong later, said at start-up with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections

from .conf import DEFAULTS, setting
from .siblings import PACKAGES


def packages_of_two(found: Mapping[str, Sequence[str]]) -> list[CheckMessage]:
    """An error for each of our packages whose files two distributions have written."""
    return [
        Error(
            f"The package `{package}` was installed by two distributions: "
            f"{', '.join(sorted(set(found[package])))}. The one installed last has overwritten "
            "files of the other.",
            hint="Uninstall the other distribution and reinstall rowkeeper.",
            id="rowkeeper.E001",
        )
        for package in PACKAGES
        if len(set(found.get(package, ()))) > 1
    ]


def apps_of_the_same_label(labels: Mapping[str, str]) -> list[CheckMessage]:
    """A warning for each app that is labelled like one of our packages."""
    return [
        Warning(
            f"The app `{labels[package]}` has the label `{package}`, the name of a package of "
            "Rowkeeper.",
            hint=f"Nothing collides as long as no package of yours is named `{package}`; "
            f"Rowkeeper's own label is `rowkeeper_{package}`.",
            id="rowkeeper.W001",
        )
        for package in PACKAGES
        if package in labels
    ]


@register()
def check_names(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Are our packages ours?"""
    labels = {config.label: config.name for config in apps.get_app_configs()}
    return packages_of_two(packages_distributions()) + apps_of_the_same_label(labels)


@register()
def check_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Does `ROWKEEPER` hold known settings only?"""
    unknown = sorted(set(getattr(settings, "ROWKEEPER", {})) - set(DEFAULTS))
    return [
        Error(
            f"`ROWKEEPER` has no setting `{name}`.",
            hint=f"There are {', '.join(sorted(DEFAULTS))}.",
            id="rowkeeper.E002",
        )
        for name in unknown
    ]


@register(deploy=True)
def check_cache(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Can counters of sign-in attempts be pushed out of the cache by others?"""
    config = settings.CACHES.get(setting("CACHE"), {})
    local = str(config.get("BACKEND", "")).endswith(".LocMemCache")
    kept = config.get("OPTIONS", {}).get("MAX_ENTRIES", config.get("MAX_ENTRIES", 300))
    if not local or int(kept) >= 10_000:
        return []
    return [
        Warning(
            f"The cache of the sign-in limits keeps {kept} entries: whoever has many addresses "
            "can push counters out of it, and guess on.",
            hint='Give it OPTIONS {"MAX_ENTRIES": 200000}, or name another in ROWKEEPER["CACHE"].',
            id="rowkeeper.W002",
        )
    ]


@register()
def check_database(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Is the database one that the query language is written for?"""
    vendor = connections["default"].vendor
    if vendor in ("sqlite", "postgresql"):
        return []
    return [
        Error(
            f"Rowkeeper keeps entries on SQLite or PostgreSQL; this database is `{vendor}`.",
            id="rowkeeper.E003",
        )
    ]
