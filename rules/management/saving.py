"""What the commands that save rules share: who saves, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from datasources.models import DataSource
from rules.advice import in_lines
from rules.checks import check
from rules.revisions import MAX_NOTE
from rules.saving import rules_of
from rules.told import change


def add_arguments(parser: CommandParser) -> None:
    """`--check`, `--note` and `--user`."""
    parser.add_argument("--check", action="store_true", help="say what would change; save nothing")
    parser.add_argument("--note", default="", help="why, for the history")
    parser.add_argument(
        "--user",
        metavar="USERNAME",
        help="who saves: scripts look things up with this user's rights; without it, in nothing",
    )


def saver(options: dict[str, Any]) -> Any:
    """The user of `--user`, or None. Raises `CommandError`."""
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


def tell(source: DataSource, rules: Sequence[Any], write: Callable[[str], Any]) -> bool:
    """Write what these rules change, and what they may not mean; false where that is nothing."""
    lines = change(source, rules_of(source), rules)
    for line in lines:
        write(f"{source.name}: {line}")
    found = check(rules, source)
    for line in in_lines(each for each in found if each.severity == "warning") if lines else []:
        write(f"{source.name}: warning: {line}")
    return bool(lines)
