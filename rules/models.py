"""Access rules as they are stored: one row a rule, each property as it was written."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from datasources.errors import Malformed
from datasources.jsontext import dumps, loads
from datasources.models import DataSource


class Unreadable:
    """Stored text that is no JSON of a rule's property. No validator takes it for a value."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"unreadable text of {len(self.text)} characters"


class WrittenJSONField(models.TextField):  # type: ignore[type-arg]
    """JSON kept as it was written: jsonb would sort the keys of a requirement."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        """What was stored. SQL's NULL alone is a property that the rule does not have."""
        if value is None:
            return None
        try:
            found = loads(value)
        except Malformed:
            return Unreadable(value)
        return Unreadable(value) if found is None else found

    def get_prep_value(self, value: Any) -> str | None:
        """The JSON text; None stands for a property that the rule does not have."""
        if isinstance(value, Unreadable):
            return value.text
        return None if value is None else dumps(value)

    def value_to_string(self, obj: models.Model) -> Any:
        """The JSON text, for fixtures."""
        return self.get_prep_value(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """From a fixture's JSON text."""
        return self.from_db_value(value, None, None) if isinstance(value, str) else value


class AccessRule(models.Model):
    """One rule of a data source's ordered list. Written by `rules.saving` alone."""

    data_source = models.ForeignKey(DataSource, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField()
    name = WrittenJSONField(null=True)
    enabled = WrittenJSONField(null=True)
    type = WrittenJSONField(null=True)
    allow = WrittenJSONField(null=True)
    include = WrittenJSONField(null=True)
    exclude = WrittenJSONField(null=True)
    require = WrittenJSONField(null=True)
    app_id = WrittenJSONField(null=True, db_column="app_ids")
    script = WrittenJSONField(null=True)
    # Who wrote the script, and so which data sources it may look things up in; None: in none.
    script_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )

    class Meta:
        ordering = ["data_source", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["data_source", "position"], name="rowkeeper_rule_position"
            )
        ]

    def __str__(self) -> str:
        return f"rule {self.position} of {self.data_source}"
