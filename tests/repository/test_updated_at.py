"""Saving the rules of a data source moves its "Updated at", whichever way they are saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.models import AccessRule
from rowkeeper.rules.repository.rules import save_rules
from tests.admin.test_admin import form_of, post, url
from tests.support.calls import OPEN, READ, Api, Place, place

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def there() -> Iterator[Place]:
    found = place([READ], [{"A": 1}])
    save_rules(found.model, [READ, OPEN])
    DataSource.objects.update(updated_at=LONG_AGO)
    yield found
    assert DataSource.objects.get(pk=found.model.pk).updated_at > LONG_AGO


def test_in_the_admin(there: Place, boss: Client) -> None:
    page = url("change", there.model.pk)
    sent = {**form_of(boss, page), "rules": json.dumps([READ])}
    assert post(boss, page, sent).status_code == 302


def test_through_the_api(there: Place, boss: Client) -> None:
    answer = Api(client=boss)("PUT", there.url, {"accessRules": [READ]})
    assert answer.json["dataSource"]["updatedAt"] > "2021"


def test_by_an_import(there: Place, tmp_path: Path) -> None:
    call_command("exportrules", "Things", output=str(tmp_path))
    save_rules(there.model, [READ])
    DataSource.objects.update(updated_at=LONG_AGO)
    call_command("importrules", *map(str, tmp_path.iterdir()))


def test_by_a_revert(there: Place) -> None:
    call_command("revertrules", "Things", "1")


def test_by_a_single_rule(there: Place) -> None:
    rule = AccessRule.objects.filter(data_source=there.model)[0]
    rule.name = "Renamed"
    rule.save()


def test_by_one_rule_less(there: Place) -> None:
    AccessRule.objects.filter(data_source=there.model)[0].delete()


def test_by_code(there: Place) -> None:
    save_rules(there.model, [READ])
    assert there.model.updated_at > LONG_AGO
