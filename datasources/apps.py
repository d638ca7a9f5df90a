"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, pre_migrate

from .siblings import SiblingCheck


class DataSourcesConfig(SiblingCheck, AppConfig):
    """Data sources and entries."""

    name = "datasources"
    label = "rowkeeper_datasources"
    verbose_name = "Rowkeeper"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers of signals, and register the system checks."""
        from . import checks, checks_schema, db, serving  # noqa: F401  (registers the system checks)
        from .functions import register
        from .indexing.build import after_delete, before_migrate
        from .indexing.wanted import wake
        from .models import DataSource
        from .pgfunctions import after_migrate
        from .rights import forget_deleted

        db.install()
        serving.install(prepare_sqlite=register, after_request=wake)
        pre_migrate.connect(before_migrate, sender=self, dispatch_uid="rowkeeper-marked-indexes")
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="rowkeeper-functions")
        post_delete.connect(forget_deleted, sender=DataSource, dispatch_uid="rowkeeper-rights")
        post_delete.connect(after_delete, sender=DataSource, dispatch_uid="rowkeeper-indexes")
