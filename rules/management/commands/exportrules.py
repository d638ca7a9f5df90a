"""`exportrules [SOURCE ...] [--output DIR]`: write rules as files for git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.management.referring import data_source
from rowkeeper.rules.repository.files import Directory, file_names, to_text
from rowkeeper.rules.repository.rules import rules_of


class Command(SiteCommand):
    """Writes one file for each data source. Equal rules result in equal text on every site."""

    help = (
        "Writes the rules of all data sources, or of the given ones, to files that use names "
        "instead of IDs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("source", nargs="*", help="the data source, by ID or by name")
        parser.add_argument(
            "--with-revision",
            action="store_true",
            help="also write the revision: `importrules` then rejects the file if the rules "
            "have changed since",
        )
        parser.add_argument(
            "--output",
            metavar="DIR",
            help=(
                "the folder for the files; without it, the rules of a single data source are "
                "printed"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files. Raises `CommandError` without `--output`, unless it is a single file."""
        names, folder = options["source"], options["output"]
        sources = [data_source(name) for name in names]
        if not names:
            sources = list(DataSource.objects.order_by("name"))
        if folder is None and len(sources) != 1:
            raise CommandError("--output is required unless there is exactly one data source")
        directory, files = Directory.now(), file_names()
        for source in sources:
            text = to_text(source, rules_of(source), directory, options["with_revision"])
            if folder is None:
                self.write_json(text)
                continue
            path = Path(folder) / files[source.name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            self.stdout.write(str(path))
