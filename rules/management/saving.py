"""Shared code of the commands that save rules: who saves, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.site import check
from rowkeeper.rules.describe.advice import in_lines
from rowkeeper.rules.describe.history import change
from rowkeeper.rules.repository.authorship import scripts_of, without_writer
from rowkeeper.rules.repository.revisions import MAX_NOTE
from rowkeeper.rules.repository.rules import rules_and_writers, rules_of


def add_arguments(parser: CommandParser) -> None:
    """Add `--check`, `--note`, `--user` and `--take-over-scripts`."""
    parser.add_argument(
        "--check", action="store_true", help=("print what would change, without saving anything")
    )
    parser.add_argument("--note", default="", help="a note for the history")
    parser.add_argument(
        "--user",
        metavar="USERNAME",
        help="the user who saves; the default is the operator of the site",
    )
    parser.add_argument(
        "--take-over-scripts",
        action="store_true",
        help="print the scripts that the user of --user did not write, and let their look-ups "
        "use the permissions of that user; without it, each script keeps its writer, and "
        "scripts of an unknown writer cannot look anything up",
    )


def saver(options: dict[str, Any]) -> Any:
    """The user of `--user`, or None. Raises `CommandError`, also for a note that is too long."""
    if len(options["note"]) > MAX_NOTE:
        raise CommandError(f"--note has more than {MAX_NOTE} characters")
    name = options["user"]
    if name is None:
        return None
    users = get_user_model()._default_manager.filter(is_active=True)
    found = users.filter(**{get_user_model().USERNAME_FIELD: name}).first()
    if found is None:
        raise CommandError(f"--user: there is no active user `{name}`")
    return found


def scripts_to_take_over(
    options: dict[str, Any],
    by: Any,
    source: DataSource,
    rules: Sequence[Any],
    write: Callable[[str], Any],
) -> list[str]:
    """Print the scripts that the user of `--user` takes over, and return their texts.

    Raises `CommandError` for `--take-over-scripts` without `--user`.
    """
    if not options["take_over_scripts"]:
        return []
    if by is None:
        raise CommandError(
            "--take-over-scripts requires --user, because the scripts get the "
            "permissions of that user"
        )
    writers = rules_and_writers(source.pk)[1]
    texts = [text for text in scripts_of(rules) if writers.get(text) != by.pk]
    for number, text in enumerate(texts, 1):
        write(f"{source.name}: {by.get_username()} takes over script {number} of {len(texts)}:")
        for line in text.split("\n"):
            write(f"    {line}")
    return texts


def warn_of_scripts(source: DataSource, write: Callable[[str], Any]) -> None:
    """Warn of stored scripts without a known writer, whose look-ups are refused."""
    rules, writers, _ = rules_and_writers(source.pk)
    for problem in without_writer(rules, writers):
        write(f"{source.name}: warning: {problem}")


def print_changes(source: DataSource, rules: Sequence[Any], write: Callable[[str], Any]) -> bool:
    """Print what these rules change, and warnings about them. False if nothing changes."""
    lines = change(source, rules_of(source), rules)
    for line in lines:
        write(f"{source.name}: {line}")
    found = check(rules, source)
    for line in in_lines(each for each in found if each.severity == "warning") if lines else []:
        write(f"{source.name}: warning: {line}")
    return bool(lines)
