"""What is said where Python finds no `datasources` of ours, which then cannot say it itself."""

from __future__ import annotations

from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured


def hidden_datasources() -> ImproperlyConfigured:
    """The error for it, with the place of the package that is in the way, and what to do."""
    spec = find_spec("datasources")
    if spec is None or not spec.origin:
        return ImproperlyConfigured(
            "Rowkeeper's package `datasources` cannot be found: install rowkeeper again."
        )
    return ImproperlyConfigured(
        "Rowkeeper's package `datasources` is hidden by another one of that name, found at "
        f"{spec.origin}. Rename that package (its AppConfig can keep `label = 'datasources'`, so "
        "that no table or migration changes), or uninstall the distribution that brought it."
    )
