"""`createtoken NAME [--app APP] [--user USERNAME]`: make an API token and show it once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from rowkeeper.accounts.models import App
from rowkeeper.accounts.tokens import create_api_token
from rowkeeper.datasources.management.base import SiteCommand
from rowkeeper.datasources.values.validation import join_some, printable


class Command(SiteCommand):
    """Prints two lines, `id: 7` and `token: rk_...`. The token cannot be shown again."""

    help = "Creates an API token and prints its ID and the token. The token cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("name", help="the name of the token in the admin")
        parser.add_argument("--app", help="the app that the token belongs to, by ID or by name")
        parser.add_argument(
            "--user", help="the user whose permissions the token has on the management endpoints"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the token and print it. Raises `CommandError` if an argument is not valid."""
        app = None if options["app"] is None else _app(options["app"])
        user = None if options["user"] is None else _user(options["user"])
        try:
            token, secret = create_api_token(options["name"].strip(), app=app, user=user)
        except ValidationError as error:
            raise CommandError(_in_one_line(error)) from None
        self.stdout.write(f"id: {token.pk}")
        self.stdout.write(f"token: {secret}")


def _app(reference: str) -> App:
    """The app with this id, or else with this name. Raises `CommandError` without one."""
    found = None
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        found = App.objects.filter(pk=int(reference)).first()
    found = found or App.objects.filter(name=reference).first()
    if found is None:
        rows = App.objects.order_by("pk").values_list("pk", "name")[:11]
        there = [f"{pk} `{printable(name)}`" for pk, name in rows]
        raise CommandError(
            f"there is no app `{reference}`, expected an ID or a name: "
            + (f"there are {join_some(there)}" if there else "there are no apps yet")
        )
    return found


def _user(username: str) -> Any:
    model = get_user_model()
    try:
        user = model._default_manager.get_by_natural_key(username)
    except model.DoesNotExist:
        raise CommandError(f"there is no user `{username}`") from None
    if not user.is_active:
        raise CommandError(f"the user `{username}` is not active, so the token would not be valid")
    return user


def _in_one_line(error: ValidationError) -> str:
    return "; ".join(
        f"`{field}`: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )
