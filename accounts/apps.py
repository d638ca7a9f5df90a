"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in

try:
    from datasources.siblings import SiblingCheck
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
        """Register the system checks, and take back the attempts of sign-ins that succeed."""
        from . import checks  # noqa: F401
        from .backends import take_back

        user_logged_in.connect(take_back, dispatch_uid="rowkeeper-sign-in-limits")
