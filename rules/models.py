"""Access rules as they are stored: one row a rule, each property as it was written."""

from __future__ import annotations

import json
from typing import Any

from django.db import models

from datasources.jsontext import dumps
from datasources.models import DataSource


class WrittenJSONField(models.TextField):  # type: ignore[type-arg]
    """JSON kept as it was written: jsonb would sort the keys of a requirement."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        """What was stored; text that is no JSON comes out as the text, and is no valid rule."""
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError:
            return value

    def get_prep_value(self, value: Any) -> str | None:
        """The JSON text; None stands for a property that the rule does not have."""
        return None if value is None else dumps(value)

    def value_to_string(self, obj: models.Model) -> Any:
        """The JSON text, for fixtures."""
        return self.get_prep_value(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """From a fixture's JSON text."""
        if isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value


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

    class Meta:
        ordering = ["data_source", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["data_source", "position"], name="rowkeeper_rule_position"
            )
        ]

    def __str__(self) -> str:
        return f"rule {self.position} of {self.data_source}"
