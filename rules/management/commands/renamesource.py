"""`renamesource SOURCE NAME [--change-rules]`: rename a data source."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError

from rowkeeper.datasources.catalog import registry, saving
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.rules.management.referring import data_source
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.naming import check_rename, rename_in_rules, tested


class Command(SiteCommand):
    """Lists the rules that test the old name as `Source`; changes them with `--change-rules`."""

    help = "Renames a data source. With --change-rules, also changes the rules that test its name."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("source", help="the data source, by ID or by name")
        parser.add_argument("name", help="its new name")
        parser.add_argument(
            "--change-rules",
            action="store_true",
            help="change the name in the rules that test it as `Source`",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Rename the data source. Raises `CommandError` if that fails or needs `--change-rules`."""
        try:
            with atomic():
                self._rename(options["source"], options["name"], options["change_rules"])
        except ValidationError as error:
            raise CommandError(f"nothing was saved: {'; '.join(error.messages)}") from None
        except IntegrityError:
            raise CommandError("there is already a data source with that name") from None
        except Failure as error:
            raise CommandError(f"nothing was saved: {error.message}") from None

    def _rename(self, reference: str, name: str, change_rules: bool) -> None:
        source = data_source(reference)
        registry.lock(source.pk)
        source.refresh_from_db()
        old = source.name
        has_login = bool(source.definition.get("login"))
        if has_login and old != name:
            for each in tested(old):
                self.stdout.write(f"tests the name: {each}")
        source.name = name
        how = "Add `--change-rules`"
        is_tested = has_login and old != name
        found = check_rename(source, old, None, change_rules, how) if is_tested else []
        saving.save(source)
        rename_in_rules(found, old, name, None, Revision.Origin.COMMAND)
        self.stdout.write(f"`{old}` is now called `{name}`")
