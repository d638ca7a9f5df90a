"""`revertrules SOURCE [REVISION] [--check]`: restore the rules of an earlier revision."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.validation import MAX_INTEGER
from rowkeeper.rules.management import saving
from rowkeeper.rules.management.referring import data_source
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.rules import RulesInvalid, save_rules


class Command(SiteCommand):
    """Restoring creates a new revision, which is checked like any other save."""

    help = "Saves the rules of an earlier revision again, and prints the changes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("source", help="the data source, by ID or by name")
        parser.add_argument(
            "revision",
            nargs="?",
            type=int,
            help=("the number of the revision (default: the previous one)"),
        )
        saving.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore the rules. Raises `CommandError` if that is not possible."""
        by = saving.saver(options)
        with atomic():
            source = data_source(options["source"])
            revision = _revision(source, options["revision"])
            changes = saving.print_changes(source, revision.rules, self.stdout.write)
            taken = saving.scripts_to_take_over(
                options, by, source, revision.rules, self.stdout.write
            )
            if (changes or taken) and not options["check"]:
                _save(source, revision, by, options["note"], taken)
                saving.warn_of_scripts(source, self.stdout.write)
        if not (changes or taken):
            self.stdout.write(f"the rules of revision {revision.number} are already in force")
        elif not options["check"]:
            self.stdout.write(f"the rules of revision {revision.number} are in force again")


def _revision(source: DataSource, number: int | None) -> Revision:
    kept = Revision.objects.filter(data_source=source).order_by("-number")
    if number is None:
        found = kept.filter(number__lt=source.revision).first()
    else:
        found = kept.filter(number=number).first() if 0 <= number <= MAX_INTEGER else None
    if found is None:
        known = ", ".join(str(each) for each in kept.values_list("number", flat=True)[:10])
        which = "earlier revision" if number is None else f"revision {number}"
        raise CommandError(f"there is no {which}; the revisions are: {known or 'none'}")
    return found


def _save(source: DataSource, revision: Revision, by: Any, note: str, taken: list[str]) -> None:
    try:
        save_rules(
            source,
            revision.rules,
            by,
            origin=Revision.Origin.COMMAND,
            note=note,
            reverts=revision.number,
            take_over=taken,
        )
    except (RulesInvalid, PermissionMissing) as error:
        raise CommandError(f"nothing was saved: {error.message}") from None
