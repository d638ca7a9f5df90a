"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, pre_migrate


class DataSourcesConfig(AppConfig):
    """Data sources and entries."""

    name = "rowkeeper.datasources"
    label = "rowkeeper_datasources"
    verbose_name = "Rowkeeper"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers of signals, and register the system checks."""
        from .checks import schema, settings  # noqa: F401  (registers the system checks)
        from .compiler.sqlite_functions import register
        from .database import connection, signals
        from .indexes.advice import wake
        from .indexes.build import after_delete, before_migrate
        from .indexes.postgresql_functions import after_migrate
        from .models import DataSource
        from .permissions.rights import forget_deleted

        connection.install()
        signals.install(prepare_sqlite=register, after_request=wake)
        pre_migrate.connect(before_migrate, sender=self, dispatch_uid="rowkeeper-marked-indexes")
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="rowkeeper-functions")
        post_delete.connect(forget_deleted, sender=DataSource, dispatch_uid="rowkeeper-rights")
        post_delete.connect(after_delete, sender=DataSource, dispatch_uid="rowkeeper-indexes")
