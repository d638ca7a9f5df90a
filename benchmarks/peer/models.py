"""The rows of the Staff example, with a column of the database for each of theirs."""

from __future__ import annotations

from django.db import models


class Member(models.Model):
    """One of the staff."""

    email = models.CharField(max_length=255, db_index=True)
    name = models.CharField(max_length=255)
    role = models.CharField(max_length=255)
    department = models.CharField(max_length=255, db_index=True)
    salary = models.IntegerField()
    manager_notes = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "peer"
        ordering = ["id"]
