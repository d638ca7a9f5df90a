"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig

try:
    from datasources.package_conflicts import SiblingCheck
except ImportError as error:
    from .siblings import hidden_datasources

    raise hidden_datasources() from error


class AccountsConfig(SiblingCheck, AppConfig):
    """Apps, API tokens and login sessions."""

    name = "accounts"
    label = "rowkeeper_accounts"
    verbose_name = "Apps and access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and listen to how sign-ins end."""
        from . import (
            backends,
            checks,  # noqa: F401
        )

        backends.connect()
