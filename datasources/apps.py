"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created
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
        from . import checks, checks_schema, db  # noqa: F401  (registers the system checks)
        from .indexing.build import after_delete, before_migrate
        from .models import DataSource
        from .pgfunctions import after_migrate
        from .rights import forget_deleted
        from .serving import connected, finished, started

        db.install()
        request_started.connect(started, dispatch_uid="rowkeeper-started")
        request_finished.connect(finished, dispatch_uid="rowkeeper-finished")
        connection_created.connect(connected, dispatch_uid="rowkeeper-connected")
        pre_migrate.connect(before_migrate, sender=self, dispatch_uid="rowkeeper-marked-indexes")
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="rowkeeper-functions")
        post_delete.connect(forget_deleted, sender=DataSource, dispatch_uid="rowkeeper-rights")
        post_delete.connect(after_delete, sender=DataSource, dispatch_uid="rowkeeper-indexes")
