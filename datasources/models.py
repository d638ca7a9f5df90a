"""The models: data sources and their entries."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from .database.connection import alias, atomic
from .definition import declared_of, problem_with_columns, problem_with_definition
from .query.column_names import is_path
from .values.codec import RowEncoder
from .values.source_names import problem_with_source_name
from .values.validation import holds_nested_list, lower, printable, problem_with_row

# Names that in rules mean users who did not sign in against a data source.
RESERVED_NAMES = frozenset({"django"})


def new_tag() -> str:
    """Return a text that no other state of any data source's rules has had."""
    return uuid.uuid4().hex


def check_name(name: str) -> None:
    """Raise `ValidationError` for a name that cannot be stored, or used in a URL."""
    problem = problem_with_source_name(name)
    if problem:
        raise ValidationError(f"the name {problem}")
    if lower(name) in RESERVED_NAMES:
        raise ValidationError(
            f"the name `{printable(name)}` is reserved: in rules, it refers to another kind of user"
        )


def check_columns(columns: object) -> None:
    """Raise `ValidationError` for a value that is not a list of distinct column names."""
    problem = problem_with_columns(columns)
    if problem:
        raise ValidationError(problem)


def check_definition(definition: object) -> None:
    """Raise `ValidationError` for a value that is not the definition of a data source."""
    problem = problem_with_definition(definition)
    if problem:
        raise ValidationError(problem)


def check_row(row: object) -> None:
    """Raise `ValidationError` for a value that cannot be stored as a row."""
    problem = problem_with_row(row)
    if problem:
        raise ValidationError(problem)


def is_name_taken(source: DataSource) -> bool:
    """Whether another data source has the name of this one, which would prevent saving it."""
    return DataSource.objects.filter(name=source.name).exclude(pk=source.pk).exists()


class DataSource(models.Model):
    """A named table of JSON rows, with ordered access rules (in `rules.models`)."""

    name = models.CharField(max_length=255, unique=True, validators=[check_name])
    type = models.CharField(max_length=64, blank=True, default="")
    columns = models.JSONField(default=list, blank=True, validators=[check_columns])
    # The columns that exist only because entries were written with them, not declared by anyone.
    written_columns = models.JSONField(default=list, blank=True, validators=[check_columns])
    definition = models.JSONField(default=dict, blank=True, validators=[check_definition])
    # Columns that have or once had passwords; see `definition.secret_columns`.
    secret_columns = models.JSONField(default=list, blank=True, editable=False)
    # Columns that an administrator wants an index for, and the state of each index, with other data
    # that `indexes.build` stores.
    indexed_columns = models.JSONField(default=list, blank=True, validators=[check_columns])
    indexes = models.JSONField(default=dict, blank=True, editable=False)
    app = models.ForeignKey(
        "rowkeeper_accounts.App",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="data_sources",
        help_text="The app of the people who sign in against this data source.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    # Increases with every change of the rules; the number that people see and compare.
    revision = models.PositiveBigIntegerField(default=0, editable=False)
    # Changes with every change of the rules, even if a rollback made a revision be used twice: the
    # key of compiled rules.
    rules_tag = models.CharField(max_length=32, default=new_tag, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "data source"
        indexes = [models.Index(fields=["type", "id"], name="rowkeeper_source_type")]
        permissions = [
            ("change_rules_datasource", "Can change the access rules of a data source"),
            ("write_scripts_datasource", "Can put scripts into the access rules of a data source"),
            ("simulate_datasource", "Can try out the access rules of a data source"),
            ("view_log_datasource", "Can see the decision log of a data source"),
            ("share_datasource", "Can give others permissions on a data source"),
            ("set_login_datasource", "Can choose the data sources that people sign in against"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def declared_columns(self) -> list[str]:
        """The columns that an administrator declared, in their order."""
        return declared_of(self.columns, self.written_columns)

    @property
    def nameable_columns(self) -> list[str]:
        """The columns that rules and requests can name; with dots, only the declared ones."""
        declared = frozenset(self.declared_columns)
        return [name for name in self.columns if not is_path(name, declared)]

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the entries first, by one statement, because Django would read all of them."""
        with atomic():
            entries = self.entries.all()
            count = entries.count()
            entries._raw_delete(alias())
            total, by_model = super().delete(*args, **kwargs)
        return total + count, {**by_model, Entry._meta.label: count}


class Entry(models.Model):
    """One row of a data source. Read and written through `datasources.store`."""

    data_source = models.ForeignKey(
        DataSource, on_delete=models.CASCADE, related_name="entries", db_index=False
    )
    data = models.JSONField(default=dict, encoder=RowEncoder, validators=[check_row])
    order = models.BigIntegerField(default=0)
    # Whether a list contains a list directly somewhere in the row, so that containment cannot find
    # its members. `save` and the store keep this up to date.
    nested = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "entries"
        indexes = [
            models.Index(fields=["data_source", "id"], name="rowkeeper_entry_source"),
            models.Index(
                fields=["data_source"],
                condition=models.Q(nested=True),
                name="rowkeeper_entry_nested",
            ),
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the entry, with `nested` in line with the row."""
        self.nested = holds_nested_list(self.data)
        super().save(*args, **kwargs)


class WantedIndex(models.Model):
    """An index that recent queries would have used; see `indexes.advice`."""

    data_source = models.ForeignKey(DataSource, on_delete=models.CASCADE, related_name="+")
    column = models.CharField(max_length=255)
    kind = models.CharField(max_length=20)
    times = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["data_source", "column", "kind"], name="rowkeeper_wanted_index"
            )
        ]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} of {self.column}"
