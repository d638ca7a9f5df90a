"""Clients see UTC, whatever the time zone of the project."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client, override_settings

from rowkeeper.datasources.catalog import saving
from rowkeeper.datasources.checks import settings as checks
from rowkeeper.datasources.models import DataSource, Entry
from rowkeeper.rules.repository.rules import save_rules

TIME = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
WRITTEN = "2026-03-04T05:06:07.890Z"


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The project's time zone, which Django makes that of the process as well."""
    with override_settings(TIME_ZONE=request.param):
        yield request.param


@pytest.mark.django_db
def test_every_route_gives_the_same_times(zone: str, client: Client) -> None:
    model = DataSource(name="Notes", columns=["N"])
    saving.save(model)
    save_rules(model, [{"type": ["select"], "allow": "all"}])
    entry = Entry.objects.create(data_source=model, data={"N": 1})
    Entry.objects.filter(pk=entry.pk).update(created_at=TIME, updated_at=TIME)
    DataSource.objects.filter(pk=model.pk).update(created_at=TIME, updated_at=TIME)
    base = f"/v1/data-sources/{model.pk}/data"

    def times(body: dict[str, str]) -> tuple[str, str]:
        return body["createdAt"], body["updatedAt"]

    assert time.tzname[0] in {"UTC", "JST", "EST"}
    assert times(client.get(f"{base}/{entry.pk}").json()) == (WRITTEN, WRITTEN)
    assert times(client.get(base).json()["entries"][0]) == (WRITTEN, WRITTEN)
    for body in ({}, {"order": [["createdAt", "DESC"]]}, {"where": {"N": {"$gt": 0}}}):
        found = client.post(f"{base}/query", body, content_type="application/json").json()
        assert times(found["entries"][0]) == (WRITTEN, WRITTEN), body


def test_a_project_without_time_zones_is_refused(settings: Any) -> None:
    settings.USE_TZ = False
    assert [told.id for told in checks.check_time_zones(None)] == ["rowkeeper.E006"]
    settings.USE_TZ = True
    assert checks.check_time_zones(None) == []
