"""Apps, API tokens and login sessions."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from rowkeeper.datasources.definition import login_of
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.datasources.values.validation import printable


class App(models.Model):
    """An app that reads and writes data sources; rules can name it."""

    name = models.CharField(max_length=255, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class ApiToken(models.Model):
    """A credential for programs. Only its digest is stored; `allow.tokens` names its id."""

    name = models.CharField(max_length=255)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The last characters of the token, so that people can distinguish tokens.
    hint = models.CharField(max_length=8, editable=False)
    app = models.ForeignKey(App, on_delete=models.PROTECT, null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        help_text="The user whose permissions the token has on the management endpoints.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class LoginSession(models.Model):
    """The session of a user who signed in against a data source."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    data_source = models.ForeignKey(DataSource, on_delete=models.CASCADE)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE)
    # Of the address and the password hash at sign-in: the session ends if either changes.
    fingerprint = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return f"session of {self.address or f'entry {self.entry_id}'}"

    @property
    def address(self) -> str:
        """The current address in the entry. The admin does not show the entry's other columns."""
        source = self.data_source
        login = login_of(source.definition)
        if login is None or login.email_column in source.secret_columns:
            return ""
        value = self.entry.data.get(login.email_column)
        return printable(value) if isinstance(value, str) else ""
