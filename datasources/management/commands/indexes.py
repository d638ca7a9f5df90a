"""`indexes [SOURCE] [--mark COLUMN] [--unmark COLUMN] [--build]`: the indexes of data sources."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.conf import setting
from rowkeeper.datasources.indexes.advice import RECENT_DAYS, advice
from rowkeeper.datasources.indexes.build import BuilderAtWork, build_in_turn
from rowkeeper.datasources.indexes.states import FAILED
from rowkeeper.datasources.indexes.status import statuses
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.management.naming import source_named
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.validation import printable

from ...database.connection import features


class Command(SiteCommand):
    """Prints which columns are indexed, and which indexes would have helped recent queries."""

    help = (
        "Prints which columns of a data source are marked as indexed, the state of each index, "
        "and which columns recent queries would have wanted indexed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments that the module's docstring lists."""
        parser.add_argument(
            "source",
            nargs="?",
            help=(
                "the data source, by ID or by name (default: all data sources with a marked column)"
            ),
        )
        parser.add_argument(
            "--mark", action="append", default=[], metavar="COLUMN", help="mark a column as indexed"
        )
        parser.add_argument(
            "--unmark",
            action="append",
            default=[],
            metavar="COLUMN",
            help=("remove the mark of a column"),
        )
        parser.add_argument(
            "--build",
            action="store_true",
            help="build the marked indexes that do not exist yet, while the site runs",
        )
        parser.add_argument(
            "--wait",
            type=int,
            default=600,
            metavar="SECONDS",
            help="how many seconds to wait for another build (default: 600)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Mark, build and print. Raises `CommandError`, also if an index could not be built."""
        if options["source"] is None:
            return self._all(options)
        source_id = source_named(options["source"]).id
        if options["mark"] or options["unmark"]:
            self._mark(source_id, options["mark"], options["unmark"])
        if options["build"]:
            self._build(source_id, options["wait"])
        source = DataSource.objects.get(pk=source_id)
        failed = self._print_state(source)
        if options["build"] and failed:
            raise CommandError("some indexes could not be built", returncode=1)

    def _all(self, options: dict[str, Any]) -> None:
        """Build and print the indexes of all data sources with marked columns.

        Raises `CommandError`.
        """
        if options["mark"] or options["unmark"]:
            raise CommandError("name the data source whose columns to mark or unmark")
        marked = DataSource.objects.exclude(indexed_columns=[]).order_by("pk")
        keys = list(marked.values_list("pk", flat=True))
        if options["build"]:
            # 0 is not a data source; it cleans up indexes that belong to no data source.
            for key in keys or [0]:
                self._build(key, options["wait"])
        failed = [source.name for source in marked if self._print_state(source)]
        if options["build"] and failed:
            raise CommandError("some indexes could not be built", returncode=1)

    def _mark(self, source_id: int, more: list[str], fewer: list[str]) -> None:
        source = DataSource.objects.get(pk=source_id)
        unknown = next((name for name in fewer if name not in source.indexed_columns), None)
        if unknown is not None:
            raise CommandError(f"the column `{printable(unknown)}` is not marked as indexed")
        kept = [name for name in source.indexed_columns if name not in fewer]
        source.indexed_columns = list(dict.fromkeys([*kept, *more]))
        try:
            saving.save(source, build=False)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None

    def _build(self, source_id: int, seconds: int) -> None:
        if setting("POOLER"):
            raise CommandError(
                "indexes cannot be built through a pooler: run this command with a "
                "`DATABASE_URL` that connects directly to PostgreSQL, and without "
                "`DATABASE_POOLER`"
            )
        try:
            build_in_turn(source_id, seconds)
        except BuilderAtWork:
            raise CommandError("another build held the lock too long") from None

    def _print_state(self, source: DataSource) -> bool:
        found = statuses(source)
        self.stdout.write(f"{source.name} ({source.pk})")
        for status in found:
            self.stdout.write(f"  {printable(status.column)}: {status}")
        if not found:
            self.stdout.write("  no column is marked as indexed")
        if features().has_whole_row_index:
            self.stdout.write("  tests for equality can use an index for every column")
        wanted = advice(source)
        if wanted:
            self.stdout.write(
                f"indexes that would have helped queries of the last {RECENT_DAYS} days"
            )
        for column, kinds in wanted:
            uses = ", ".join(f"{kind} ({times})" for kind, times in kinds)
            self.stdout.write(f"  {printable(column)}: {uses}")
        return any(status.state == FAILED for status in found)
