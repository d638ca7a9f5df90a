"""`importrules PATH ... [--check]`: save rules from files of `exportrules`, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from rowkeeper.accounts.errors import PermissionMissing
from rowkeeper.datasources.catalog import registry
from rowkeeper.datasources.database.connection import atomic
from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.describe.history import change, first_changes
from rowkeeper.rules.management import saving
from rowkeeper.rules.models import Revision
from rowkeeper.rules.repository.conflicts import RulesChanged, require_revision
from rowkeeper.rules.repository.files import Directory, from_text
from rowkeeper.rules.repository.rules import RulesInvalid, problems_for, rules_of, save_rules


class Command(SiteCommand):
    """Checks all files first. If one has a problem, none is saved."""

    help = (
        "Saves the rules in the given files, or in all *.json files of the given folders, and "
        "prints the changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("path", nargs="+", help="a file, or a folder with files")
        saving.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Import the files. Raises `CommandError` if one of them has a problem."""
        by = saving.saver(options)
        with atomic():
            found = self._read(options["path"], by)
            changed = []
            for source, rules, revision in found:
                registry.lock(source.pk)
                if revision is not None and change(source, rules_of(source), rules):
                    _hold_to(source, revision)
                is_other = saving.print_changes(source, rules, self.stdout.write)
                taken = saving.scripts_to_take_over(options, by, source, rules, self.stdout.write)
                if is_other or taken:
                    changed.append((source, rules, taken))
            if not options["check"]:
                for source, rules, taken in changed:
                    self._save(source, rules, by, options["note"], taken)
                    saving.warn_of_scripts(source, self.stdout.write)
        verb = "would change" if options["check"] else "changed"
        self.stdout.write(f"{len(found)} read, {len(changed)} {verb}")

    def _read(self, paths: list[str], by: Any) -> list[tuple[DataSource, list[Any], int | None]]:
        directory = Directory.now()
        found: dict[int, tuple[DataSource, list[Any], int | None]] = {}
        problems: list[str] = []
        for path in _files(paths):
            try:
                source, rules, revision = _one(path, directory, by)
            except Malformed as error:
                problems.extend(f"{path}: {line}" for line in error.message.split("\n"))
                continue
            if source.pk in found:
                problems.append(f"{path}: another file has rules for `{source.name}`")
            found[source.pk] = source, rules, revision
        if problems:
            raise CommandError("\n".join([*problems, "nothing was saved"]))
        # In one order, so that concurrent imports wait for each other instead of deadlocking.
        return [found[key] for key in sorted(found)]

    def _save(
        self, source: DataSource, rules: list[Any], by: Any, note: str, taken: list[str]
    ) -> None:
        try:
            save_rules(
                source,
                rules,
                by,
                origin=Revision.Origin.COMMAND,
                note=note,
                typed=False,
                take_over=taken,
            )
        except (RulesInvalid, PermissionMissing) as error:
            raise CommandError(f"{source.name}: {error.message}\nnothing was saved") from None


def _files(paths: list[str]) -> Iterator[Path]:
    for name in paths:
        path = Path(name)
        if path.is_dir():
            yield from sorted(path.glob("*.json"))
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"there is no file or folder {name}")


def _hold_to(source: DataSource, revision: int) -> None:
    """Raise `CommandError` if the rules are no longer those that the file is based on."""
    try:
        require_revision(source, revision, first_changes)
    except RulesChanged as error:
        lines = [f"{source.name}: {error.message}", *(f"  {line}" for line in error.changes)]
        raise CommandError("\n".join([*lines, "export them again"])) from None


def _one(path: Path, directory: Directory, by: Any) -> tuple[DataSource, list[Any], int | None]:
    """Read the rules of one file, for `by` to save.

    Raises `Malformed` with all problems, one on each line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"cannot be read: {error}") from None
    read = from_text(text, directory)
    source = DataSource.objects.filter(name=read.name).first()
    if source is None:
        raise Malformed(f"there is no data source `{read.name}`")
    unknown = {(problem.rule, problem.path) for problem in read.problems}
    try:
        invalid = problems_for(by, source, read.rules)
    except PermissionMissing as error:
        raise Malformed(error.message) from None
    others = [each for each in invalid if (each.rule, each.path) not in unknown]
    if read.problems or others:
        raise Malformed("\n".join(map(str, [*read.problems, *others])))
    return source, read.rules, read.revision
