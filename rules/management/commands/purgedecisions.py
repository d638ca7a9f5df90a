"""`purgedecisions`: delete expired decisions from the decision log. For a daily job."""

from __future__ import annotations

from typing import Any

from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.rules.decision_log.writer import purge
from rowkeeper.rules.models import LoggedDecision, LoggedRefusal


class Command(SiteCommand):
    """Deletes by `DECISION_LOG_DAYS` and `DECISION_LOG_ROWS`."""

    help = "Deletes the decisions that exceed the age or the number in the settings."

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete expired decisions, and print how many were deleted."""
        before = _count()
        purge()
        gone = before - _count()
        self.stdout.write(f"deleted {max(gone, 0)} of {before} decisions")


def _count() -> int:
    return LoggedDecision.objects.count() + LoggedRefusal.objects.count()
