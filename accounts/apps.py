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


class AccountsConfig(SiblingCheck, AppConfig):
    """Apps, API tokens and login sessions."""

    name = "accounts"
    label = "rowkeeper_accounts"
    verbose_name = "Apps and access"
    default_auto_field = "django.db.models.BigAutoField"
