"""The site as an app, for the command that loads the demo."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """An app without models, with one command."""

    name = "project"
    label = "rowkeeper_project"
    verbose_name = "Site"
