"""Saves data sources. This is the only place that does, so that a definition always takes effect:
who can sign in, and what is secret.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.dispatch import Signal

from ..conf import setting
from ..database import hashing
from ..database.connection import atomic, database
from ..definition import (
    declared_of,
    login_of,
    problem_with_indexed,
    problem_with_more_columns,
    secret_columns,
)
from ..indexes.build import build_later
from ..indexes.marks import problem_with_marks
from ..models import DataSource, check_columns, check_definition, new_tag
from . import passwords, registry
from .normalization import compose_stored

# Sent when a data source gets a name, with `source`, and the name `before` (None for a new one). A
# receiver raises `ValidationError` to refuse the name.
naming = Signal()


def save(source: DataSource, build: bool = True) -> None:
    """Validate and save a data source, and apply its definition. Raises `ValidationError`.

    A column that becomes the password column is secret from now on, and the passwords in it that
    are plain text are hashed. Indexes are built later; with `build=False`, the caller builds them.
    """
    source.full_clean(exclude=["app", "owner"])
    # Django does not run validators for empty values, and `[]` is not a valid definition.
    check_columns(source.columns)
    check_definition(source.definition)
    hashing.begin()
    with atomic():
        if source.pk is not None:
            registry.lock(source.pk)
            stored = DataSource.objects.only(
                "name", "secret_columns", "indexes", "columns", "indexed_columns"
            ).get(pk=source.pk)
            name: str | None = stored.name
            before, source.indexes = stored.secret_columns, stored.indexes
            columns, marked = stored.columns, stored.indexed_columns
        else:
            before, columns, marked, name = [], [], [], None
        if source.name != name:
            naming.send(DataSource, source=source, before=name)
        login = login_of(source.definition)
        kept = passwords.still_held(source.pk, before) if source.pk else []
        source.secret_columns = secret_columns(kept, source.definition)
        if login:
            for column in (login.email_column, login.password_column):
                if column not in source.columns:
                    source.columns = [*source.columns, column]
            source.written_columns = declared_of(
                source.written_columns, [login.email_column, login.password_column]
            )
        left = frozenset(source.columns)
        source.written_columns = [name for name in source.written_columns if name in left]
        problem = problem_with_more_columns(columns, source.columns, setting("MAX_COLUMN_NAMES"))
        if problem:
            raise ValidationError({"columns": problem})
        _check_indexed(source, marked)
        source.rules_tag = new_tag()
        source.save()
        if build and set(source.indexed_columns) != set(source.indexes):
            build_later(source.pk)
        if login:
            compose_stored(database(), source.pk, login.email_column)
            passwords.hash_plain(source.pk, login.password_column)


def _check_indexed(source: DataSource, before: list[str]) -> None:
    """Raise `ValidationError` for a column that cannot be marked as indexed.

    `before` are the columns that were marked.
    """
    marked = source.indexed_columns
    problem = problem_with_indexed(marked, source.columns, source.secret_columns)
    problem = problem or problem_with_marks(source.pk, before, marked)
    if problem:
        raise ValidationError(problem)
