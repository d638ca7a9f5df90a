"""The site as an app of its own, for the command that loads the demo."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """No models, one command."""

    name = "project"
    label = "rowkeeper_project"
    verbose_name = "Site"
