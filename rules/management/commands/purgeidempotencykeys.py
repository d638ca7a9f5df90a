"""`purgeidempotencykeys`: delete idempotency keys that are more than a day old."""

from __future__ import annotations

from typing import Any

from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.rules.access.idempotency import purge


class Command(SiteCommand):
    """For a daily job. Writes delete some old keys too, so that the table stays small."""

    help = "Deletes stored idempotency keys that are more than a day old."

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete expired keys, and print how many were deleted."""
        self.stdout.write(f"deleted {purge()} keys")
