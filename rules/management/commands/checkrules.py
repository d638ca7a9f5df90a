"""`checkrules [SOURCE ...]`: validates the rules that are stored, and warns of what looks wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from datasources.models import DataSource
from rules.advice import advice_for
from rules.management.referring import data_source
from rules.saving import problems_with, rules_of


class Command(BaseCommand):
    """Prints one line for each error and warning; the exit code is 1 where there is an error."""

    help = "Validates the stored rules of all data sources, or of those named (number or name)."

    def add_arguments(self, parser: CommandParser) -> None:
        """See the module's docstring."""
        parser.add_argument("source", nargs="*", help="a data source, by number or by name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check them. Raises `CommandError` where there are errors."""
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
            raise CommandError("there are stored rules that are not valid", returncode=1)

    def _check(self, chosen: Iterable[DataSource]) -> tuple[int, int, int]:
        checked = errors = warnings = 0
        for source in chosen:
            problems = problems_with(rules_of(source), source.columns, source.secret_columns)
            advice = advice_for(source)
            for kind, lines in (("error", [str(p) for p in problems]), ("warning", advice)):
                for line in lines:
                    self.stdout.write(f"{source.name} ({source.pk}): {kind}: {line}")
            checked, errors, warnings = (
                checked + 1,
                errors + len(problems),
                warnings + len(advice),
            )
        return checked, errors, warnings


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
