"""`sqlitecheck [--vacuum]`: check the SQLite database, and make its file small."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.database.connection import connection
from rowkeeper.datasources.management.base import SiteCommand

from ...database.connection import features
from ...database.features import SQLITE


class Command(SiteCommand):
    """Prints what is wrong with the database; the exit code is 1 if anything is.

    The program `sqlite3` can do neither after a column is marked as indexed, because its index
    calls a function that only Rowkeeper's connections have.
    """

    help = (
        "Checks the SQLite database and its indexes. The program `sqlite3` cannot do that once a "
        "column is marked as indexed, because it lacks Rowkeeper's functions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments that the module's docstring lists."""
        parser.add_argument(
            "--vacuum",
            action="store_true",
            help="rewrite the file without the space of deleted rows; writes wait in the meantime",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the database, and then vacuum it. Raises `CommandError`."""
        if features() is not SQLITE:
            raise CommandError(
                "the database is not SQLite; for PostgreSQL, use `VACUUM` and the program "
                "`pg_amcheck`"
            )
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA integrity_check")
            problems = [row[0] for row in cursor.fetchall() if row[0] != "ok"]
            cursor.execute("PRAGMA foreign_key_check")
            problems += [
                f"a row of {table} (rowid {row}) refers to a row of {parent} that does not exist"
                for table, row, parent, _ in cursor.fetchall()
            ]
            if problems:
                raise CommandError("\n".join(problems), returncode=1)
            self.stdout.write("the database is intact")
            if options["vacuum"]:
                cursor.execute("VACUUM")
                self.stdout.write("the file was rewritten")
