"""Rules in Django's admin. Django imports this package, which registers its classes."""

from __future__ import annotations

from . import data_sources  # noqa: F401  (registers the admin of data sources)
