"""System checks that find problems at start-up, with hints what to do about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.db import DatabaseError, connections, router
from django.db.models import Model

from ..conf import DEFAULTS, setting
from ..database.connection import alias, connection, is_joined, is_own
from ..values.validation import join_some, printable


@register()
def check_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that `ROWKEEPER` has only known settings."""
    unknown = sorted(set(getattr(settings, "ROWKEEPER", {})) - set(DEFAULTS))
    return [
        Error(
            f"`ROWKEEPER` does not have a setting `{name}`.",
            hint=f"The settings are {', '.join(sorted(DEFAULTS))}.",
            id="rowkeeper.E002",
        )
        for name in unknown
    ]


@register(deploy=True)
def check_cache(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check that other entries cannot push counters of sign-in attempts out of the cache."""
    config = settings.CACHES.get(setting("CACHE"), {})
    local = str(config.get("BACKEND", "")).endswith(".LocMemCache")
    kept = config.get("OPTIONS", {}).get("MAX_ENTRIES", config.get("MAX_ENTRIES", 300))
    if not local or int(kept) >= 10_000:
        return []
    return [
        Warning(
            f"The cache of the sign-in limits holds {kept} entries: an attacker with many "
            "addresses can evict counters from it and continue to guess passwords.",
            hint=(
                'Set its OPTIONS to {"MAX_ENTRIES": 200000}, or name another cache in '
                'ROWKEEPER["CACHE"].'
            ),
            id="rowkeeper.W002",
        )
    ]


@register()
def check_database(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check that the query language supports the database."""
    names = sorted(name for name in connections if connections[name].vendor != "unknown")
    if alias() not in names:
        return [
            Error(
                f'`ROWKEEPER["DATABASE"]` is `{alias()}`, but `DATABASES` has no database with '
                "that name.",
                hint=f"Name one of {', '.join(f'`{name}`' for name in names)}: the one that "
                "accepts writes.",
                id="rowkeeper.E004",
            )
        ]
    vendor = connection.vendor
    if vendor in ("sqlite", "postgresql"):
        return routed_elsewhere()
    return [
        Error(
            f"Rowkeeper requires SQLite or PostgreSQL; this database is `{vendor}`.",
            id="rowkeeper.E003",
        )
    ]


def routed_elsewhere() -> list[CheckMessage]:
    """Return an error for each model that decisions depend on and a router puts elsewhere."""
    found: list[CheckMessage] = []
    for model in apps.get_models(include_auto_created=True):
        if not (is_own(model) or is_joined(model)):
            continue
        places = {router.db_for_write(model), router.db_for_read(model)}
        if router.allow_migrate_model(alias(), model):
            places.discard(alias())
        if places:
            found.append(_elsewhere(model, places))
    return found


def _elsewhere(model: type[Model], places: set[str]) -> Error:
    where = " and ".join(f"`{place}`" for place in sorted(places))
    problem = (
        f"to {where}"
        if places != {alias()}
        else ("to a database in which its tables are not migrated")
    )
    return Error(
        f"The database routers send `{model._meta.label}` {problem}; Rowkeeper reads its rules "
        f"from `{alias()}`.",
        hint='Set ROWKEEPER["DATABASE"] to the database that accepts writes, and keep users '
        "and permissions there.",
        id="rowkeeper.E005",
    )


@register(Tags.database)
def check_dotted_columns(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report declared columns with dots in their names, which hide paths of the same name.

    There is one message for each data source with such columns. Runs with `check --database`.
    """
    from ..models import DataSource

    if alias() not in (databases or ()):
        return []
    try:
        sources = list(DataSource.objects.only("name", "columns", "written_columns"))
    except DatabaseError:
        # The tables are not migrated yet.
        return []
    return [
        Info(
            f"The data source `{printable(source.name)}` declares columns with dots in their "
            f"names: {join_some([f'`{printable(name)}`' for name in dotted])}.",
            hint="Such a name refers to that column, and never to a path into the value of "
            "another column. If no administrator intended this, move the name to the "
            "columns added by writers on the data source's page in the admin.",
            id="rowkeeper.I001",
        )
        for source in sources
        if (dotted := [name for name in source.declared_columns if "." in name])
    ]


@register()
def check_time_zones(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that times are stored with their time zone."""
    if settings.USE_TZ:
        return []
    return [
        Error(
            "`USE_TZ` is `False`: times would be stored as local times but returned as UTC.",
            hint="Set `USE_TZ = True`. `TIME_ZONE` may be any zone.",
            id="rowkeeper.E006",
        )
    ]


@register(deploy=True)
def check_requests_are_buffered(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Check that a proxy reads whole requests before a thread works on them."""
    if setting("TRUSTED_PROXIES"):
        return []
    return [
        Warning(
            "No proxy is declared. A client that sends its request slowly holds a thread or a "
            "process of most servers, and a few such clients stop the site.",
            hint="Put the site behind a proxy that buffers requests, such as nginx, and set "
            'ROWKEEPER["TRUSTED_PROXIES"]. If your server buffers requests itself, as '
            "waitress does, silence this check.",
            id="rowkeeper.W006",
        )
    ]
