"""`exportentries SOURCE [FILE] [--format csv|xlsx] [--ids]`: export entries to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.errors import Failure
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.management.naming import source_named
from rowkeeper.datasources.transfer.export import Export
from rowkeeper.datasources.transfer.table import FORMATS


class Command(SiteCommand):
    """Writes to a file, or to standard output; a file is written completely, or not at all."""

    help = "Exports the entries of a data source, without secret columns, as CSV or XLSX."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments that the module's docstring lists."""
        parser.add_argument("source", help="the data source, by ID or by name")
        parser.add_argument("file", nargs="?", type=Path, help="default: standard output")
        parser.add_argument("--format", choices=FORMATS, help="default: from the file name, or csv")
        parser.add_argument(
            "--ids", action="store_true", help="include the IDs of entries, in the column $id"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the export. Raises `CommandError`."""
        export = Export(source_named(options["source"]), options["ids"])
        path: Path | None = options["file"]
        kind = options["format"] or ("xlsx" if path and path.suffix.lower() == ".xlsx" else "csv")
        try:
            if path is not None:
                _write_file(export, kind, path)
            elif kind == "csv":
                self._print(export)
            else:
                with TemporaryFile() as place:
                    _write(export, kind, place)
                    place.seek(0)
                    copyfileobj(place, sys.stdout.buffer)
        except Failure as error:
            raise CommandError(error.message) from None
        except OSError as error:
            raise CommandError(f"`{path}` cannot be written: {error.strerror}") from None

    def _print(self, export: Export) -> None:
        """Write UTF-8 with the file's own line endings, if the output stream accepts bytes."""
        binary = getattr(getattr(self.stdout, "_out", None), "buffer", None)
        for text in export.as_csv():
            if binary is None:
                self.stdout.write(text, ending="")
            else:
                binary.write(text.encode())


def _write_file(export: Export, kind: str, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            _write(export, kind, file)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write(export: Export, kind: str, file: IO[bytes]) -> None:
    if kind == "xlsx":
        export.as_xlsx(file)
        return
    for text in export.as_csv():
        file.write(text.encode())
