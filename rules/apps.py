"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

try:
    from datasources.siblings import SiblingCheck
except ImportError as error:
    raise ImproperlyConfigured(
        "Rowkeeper's package `datasources` is missing, or hidden by another package of that name: "
        'rename that package, or add "datasources" to INSTALLED_APPS beside "accounts" and "rules".'
    ) from error


class RulesConfig(SiblingCheck, AppConfig):
    """Ordered access rules and the REST API."""

    name = "rules"
    label = "rowkeeper_rules"
    verbose_name = "Access rules"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Rules that are saved one by one are checked like a list."""
        from .saving import connect

        connect()
