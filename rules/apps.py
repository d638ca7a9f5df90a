"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig

try:
    from datasources.siblings import SiblingCheck
except ImportError as error:
    from accounts.siblings import hidden_datasources

    raise hidden_datasources() from error


class RulesConfig(SiblingCheck, AppConfig):
    """Ordered access rules and the REST API."""

    name = "rules"
    label = "rowkeeper_rules"
    verbose_name = "Access rules"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Rules that are saved one by one are checked like a list."""
        from accounts import uses

        from . import credentials, naming, saving
        from .sandbox import checks  # noqa: F401  (registers the system checks)

        saving.connect()
        naming.connect()
        uses.register(credentials.uses_of_token)
