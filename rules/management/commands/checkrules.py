"""`checkrules [SOURCE ...]`: validate the stored rules, and warn about probable mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.lint import check_rules
from rowkeeper.rules.analysis.site import Site
from rowkeeper.rules.describe.advice import in_lines
from rowkeeper.rules.management.referring import data_source
from rowkeeper.rules.repository.rules import rules_of


class Command(SiteCommand):
    """Prints one line for each error and warning. The exit code is 1 if there is an error."""

    help = "Validates the stored rules of all data sources, or of those named (number or name)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("source", nargs="*", help="the data source, by ID or by name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the rules. Raises `CommandError` if there are errors."""
        names = options["source"]
        chosen = (
            [data_source(name) for name in names] if names else DataSource.objects.order_by("id")
        )
        checked, errors, warnings = self._check(chosen)
        self.stdout.write(
            f"{_counted(checked, 'data source')} checked: "
            f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"
        )
        if errors:
            raise CommandError("some stored rules are not valid", returncode=1)

    def _check(self, chosen: Iterable[DataSource]) -> tuple[int, int, int]:
        site = Site.now()
        checked = 0
        counts: Counter[str] = Counter()
        for source in chosen:
            checked += 1
            problems = check_rules(rules_of(source), site.around(source))
            for kind in ("error", "warning", "info"):
                found = [problem for problem in problems if problem.severity == kind]
                counts[kind] += len(found)
                for line in map(str, found) if kind == "error" else in_lines(found):
                    self.stdout.write(f"{source.name} ({source.pk}): {kind}: {line}")
        return checked, counts["error"], counts["warning"]


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
