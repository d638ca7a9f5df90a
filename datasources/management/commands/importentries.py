"""`importentries SOURCE FILE [--mode ...] [--key COLUMN] [--check]`: import entries of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.catalog.registry import Source
from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.management.naming import source_named
from rowkeeper.datasources.transfer.apply import carry_out
from rowkeeper.datasources.transfer.job import Job
from rowkeeper.datasources.transfer.plan import MODES
from rowkeeper.datasources.transfer.preview import Preview, in_words, preview
from rowkeeper.datasources.transfer.problems import Refused
from rowkeeper.datasources.transfer.table import FORMATS, Reading

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


class Command(SiteCommand):
    """Prints what was done, or would be done with `--check`.

    If there is a problem, nothing is imported, and the exit code is 1.
    """

    help = (
        "Imports a CSV or XLSX file into a data source. If a row has an error, nothing is imported."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments that the module's docstring lists."""
        parser.add_argument("source", help="the data source, by ID or by name")
        parser.add_argument("file", type=Path, help="a CSV file in UTF-8, or an XLSX workbook")
        parser.add_argument(
            "--format", choices=FORMATS, help=("default: from the content of the file")
        )
        parser.add_argument("--mode", choices=MODES, default="append", help="default: append")
        parser.add_argument(
            "--key",
            metavar="COLUMN",
            help=("the column by which a row finds its entry; default: $id"),
        )
        parser.add_argument(
            "--text",
            metavar="COLUMN",
            action="append",
            default=[],
            help="a column whose values are always text; can be repeated",
        )
        parser.add_argument(
            "--all-text", action="store_true", help="import every cell of a CSV file as text"
        )
        parser.add_argument(
            "--delimiter",
            choices=_DELIMITERS,
            help=("the delimiter of a CSV file; default: detected"),
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help=("print what would change, without changing anything"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import the file, or preview it. Raises `CommandError`."""
        source = source_named(options["source"])
        job = Job(options["file"], options["mode"], options["key"], _reading(options))
        if not job.path.is_file():
            raise CommandError(f"there is no file `{job.path}`")
        try:
            if options["check"]:
                self._check(job, source)
            else:
                self.stdout.write(in_words(carry_out(job, source.id)))
        except Refused as error:
            self._refuse([str(problem) for problem in error.problems])
        except Failure as error:
            raise CommandError(error.message) from None

    def _check(self, job: Job, source: Source) -> None:
        found = preview(job, source)
        for note in found.notes:
            self.stdout.write(f"note: {note}")
        if found.problems:
            self._refuse(found.problems)
        self.stdout.write(in_words(found))
        if found.new_columns:
            self.stdout.write(f"new columns: {', '.join(found.new_columns)}")
        for line in _examples(found):
            self.stdout.write(line)

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems:
            self.stderr.write(problem)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        raise CommandError(f"nothing was imported: {count}")


def _reading(options: dict[str, Any]) -> Reading:
    return Reading(
        format=options["format"],
        delimiter=_DELIMITERS.get(options["delimiter"]),
        recognize=not options["all_text"],
        text_columns=frozenset(options["text"]),
    )


def _examples(found: Preview) -> list[str]:
    """Return the first entries that would change, by column, or that would be deleted."""
    lines = [
        f"entry {example.id}, {each.column}: {each.before.text} -> {each.after.text}"
        for example in found.updated
        for each in example.differences
    ]
    return [*lines, *(f"entry {example.id}: deleted" for example in found.deleted)]
