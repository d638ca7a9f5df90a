"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Apps, API tokens and login sessions."""

    name = "rowkeeper.accounts"
    label = "rowkeeper_accounts"
    verbose_name = "Apps and access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and connect the signals of sign-ins."""
        from . import (
            backends,
            checks,  # noqa: F401
        )

        backends.connect()
