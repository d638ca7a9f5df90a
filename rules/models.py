"""Access rules as they are stored, their revisions, and the records of what they decided.

Each rule is one row, with each property as it was written.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from rowkeeper.datasources.errors import Malformed
from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import dumps, loads


class Unreadable:
    """Stored text that is not the JSON of a rule's property. No validator accepts it as a value."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"unreadable text of {len(self.text)} characters"


class WrittenJSONField(models.TextField):  # type: ignore[type-arg]
    """JSON stored as it was written, since jsonb would sort the keys of a requirement."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        """The stored value. Only NULL in SQL is a property that the rule does not have."""
        if value is None:
            return None
        try:
            found = loads(value)
        except Malformed:
            return Unreadable(value)
        return Unreadable(value) if found is None else found

    def get_prep_value(self, value: Any) -> str | None:
        """The JSON text; None for a property that the rule does not have."""
        if isinstance(value, Unreadable):
            return value.text
        return None if value is None else dumps(value)

    def value_to_string(self, obj: models.Model) -> Any:
        """The JSON text, for fixtures."""
        return self.get_prep_value(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Parse the JSON text of a fixture."""
        return self.from_db_value(value, None, None) if isinstance(value, str) else value


class AccessRule(models.Model):
    """One rule of a data source's ordered list. Only `rules.repository.rules` writes it."""

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
    # The writer of the script, whose permissions its look-ups have. None: look-ups are refused.
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


class ScriptWriter(models.Model):
    """The writer of a script that a rule of a data source has, or had.

    It outlives the rule, so that a text that comes back keeps its writer. Only
    `rules.repository.authorship` writes it.
    """

    data_source = models.ForeignKey(
        DataSource, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    # SHA-256 of the text, in hexadecimal digits.
    digest = models.CharField(max_length=64, db_index=True)
    # None if unknown or deleted. The script's look-ups are refused until somebody takes it over.
    writer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["data_source", "digest"], name="rowkeeper_script_writer"
            )
        ]

    def __str__(self) -> str:
        return f"script {self.digest[:8]} of {self.data_source}"


class Revision(models.Model):
    """A data source's list of rules as it was saved. Only `rules.repository.rules` writes it.

    It never changes: restoring a list creates a new revision.
    """

    class Origin(models.TextChoices):
        """How the rules were saved."""

        ADMIN = "admin", "the admin"
        API = "api", "the API"
        COMMAND = "command", "a command"
        CODE = "code", "code or a shell"
        ROWS = "rows", "code, rule by rule"
        FOUND = "found", "found when the history began"

    data_source = models.ForeignKey(DataSource, on_delete=models.CASCADE, related_name="revisions")
    # `DataSource.revision` after the save.
    number = models.PositiveBigIntegerField()
    rules = WrittenJSONField()
    saved_at = models.DateTimeField(default=timezone.now)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # The username, for the time after the user is deleted.
    saved_by_name = models.CharField(max_length=254, default="", blank=True)
    origin = models.CharField(max_length=16, choices=Origin.choices)
    note = models.CharField(max_length=1000, default="", blank=True)
    # The revision whose rules were restored.
    reverts = models.PositiveBigIntegerField(null=True)

    class Meta:
        ordering = ["data_source", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["data_source", "number"], name="rowkeeper_revision_number"
            )
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.data_source}"


class LoggedDecision(models.Model):
    """A line of the decision log, without any value of an entry.

    Only `rules.decision_log` writes it.
    """

    data_source = models.ForeignKey(
        DataSource, on_delete=models.CASCADE, related_name="decisions", db_index=False
    )
    at = models.DateTimeField()
    # If the line stands for `count` decisions that were too many to list, this is the id of them
    # all.
    request_id = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=1)
    status = models.PositiveSmallIntegerField()
    operation = models.CharField(max_length=8)
    # How the request named its entries: `query`, `id` or `new`.
    address = models.CharField(max_length=8)
    entry_id = models.BigIntegerField(null=True)
    # The columns that the request names.
    columns = models.JSONField(default=list)
    # The caller: `anonymous`, `session`, `token` or `django`. A session is stored as `3:5`, the ids
    # of its data source and entry.
    kind = models.CharField(max_length=10)
    token_id = models.BigIntegerField(null=True)
    person = models.CharField(max_length=64)
    app_id = models.BigIntegerField(null=True)
    # The rule that decided, and the outcome of each rule: [position, name, code, text].
    rule = models.PositiveIntegerField(null=True)
    rule_name = models.CharField(max_length=255)
    trace = models.JSONField(default=list)
    # Milliseconds that the decision took.
    took = models.FloatField()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["data_source", "id"], name="rowkeeper_decisions"),
            models.Index(fields=["request_id"], name="rowkeeper_decision_request"),
            models.Index(fields=["at"], name="rowkeeper_decision_at"),
        ]

    def __str__(self) -> str:
        return f"{self.operation}: {self.status}"

    @property
    def granted(self) -> bool:
        """Whether the rules granted the request."""
        return self.status < 400


class IdempotencyKey(models.Model):
    """A request that was carried out, by its `Idempotency-Key`.

    Written by `rules.access.idempotency`.

    `credential` and `key` are SHA-256 digests. `request` and `state` are HMACs with the secret key
    of the site, since a request may contain a password. `outcome` is JSON without any value of an
    entry.
    """

    credential = models.CharField(max_length=64)
    key = models.CharField(max_length=64)
    # The method, the URL and the body.
    request = models.CharField(max_length=64)
    # What the decision depended on; empty if it cannot be compared.
    state = models.CharField(max_length=64, default="")
    outcome = models.TextField(default="")
    made_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["credential", "key"], name="rowkeeper_idempotency_key")
        ]
        indexes = [models.Index(fields=["credential", "id"], name="rowkeeper_idempotency_own")]

    def __str__(self) -> str:
        return f"key {self.pk}"


class LoggedRefusal(models.Model):
    """A request that was refused before any data source's rules were evaluated.

    Also a request for a data source that does not exist. Only `rules.decision_log` writes it,
    without any secret or address.
    """

    at = models.DateTimeField()
    # If the line stands for `count` refusals that were too many to list, this is the id of them
    # all.
    request_id = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=1)
    status = models.PositiveSmallIntegerField()
    # The `type` of the answer, such as `auth.invalid`.
    code = models.CharField(max_length=32)
    # What failed, as far as it is known: the credential, the sign-in, the permission...
    step = models.CharField(max_length=255)
    # A digest of the client's network, which does not disclose it. Equal for the same network.
    network = models.CharField(max_length=16)
    # The caller, as in `LoggedDecision`.
    kind = models.CharField(max_length=10)
    token_id = models.BigIntegerField(null=True)
    person = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["request_id"], name="rowkeeper_refusal_request"),
            models.Index(fields=["at"], name="rowkeeper_refusal_at"),
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.step}"
