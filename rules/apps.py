"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class RulesConfig(AppConfig):
    """Ordered access rules and the REST API."""

    name = "rowkeeper.rules"
    label = "rowkeeper_rules"
    verbose_name = "Access rules"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the signals that validate rules saved one by one, and register uses of tokens."""
        from rowkeeper.accounts import token_uses

        from .analysis import site_credentials
        from .api import checks as api_checks  # noqa: F401  (registers the system checks)
        from .repository import naming, rules
        from .sandbox import checks  # noqa: F401  (registers the system checks)

        rules.connect()
        naming.connect()
        token_uses.register(site_credentials.uses_of_token)
