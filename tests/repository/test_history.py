"""The history of rules: every save leaves a revision, is told in words, and can be gone back to."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers

from rowkeeper.datasources.models import DataSource
from rowkeeper.datasources.values.codec import canonical
from rowkeeper.rules.describe.diff import differences
from rowkeeper.rules.models import AccessRule, Revision
from rowkeeper.rules.repository.revisions import TOGETHER
from rowkeeper.rules.repository.rules import RulesInvalid, rules_of, save_rules
from tests.admin.test_admin import boss, make
from tests.reference import random_cases as make_random
from tests.reference.random_cases import SEED
from tests.reference.random_lists import changed, random_list
from tests.support import calls

__all__ = ["boss"]
DIFFERENCES = json.loads((Path(__file__).parents[1] / "cases" / "differences.json").read_text())
READ: dict[str, Any] = {"type": ["select"], "allow": "all"}
WRITE: dict[str, Any] = {"type": ["insert"], "allow": "loggedIn"}


# -- what is told


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case["name"])
def test_what_became_of_a_list_is_told(case: dict[str, Any]) -> None:
    assert differences(case["before"], case["after"]) == case["told"]


def test_what_is_told_is_nothing_for_the_same_list_and_something_for_another() -> None:
    rnd = Random(f"differences {SEED}")
    for _ in range(300):
        before = random_list(rnd)
        after = changed(rnd, before)
        same = canonical(before) == canonical(after)
        assert (differences(before, after) == []) is same, (before, after)


def test_moving_alone_is_told_as_moves() -> None:
    rnd = Random(f"moves {SEED}")
    for _ in range(100):
        rules = [{**make_random.rule(rnd, "select"), "name": str(n)} for n in range(6)]
        moved = rnd.sample(rules, len(rules))
        told = differences(rules, moved)
        assert all(" moved to " in line for line in told)
        assert len(told) < len(rules)


# -- what is kept


def kept(source: DataSource) -> list[tuple[int, str, Any]]:
    found = Revision.objects.filter(data_source=source).order_by("number")
    return [(each.number, each.origin, each.rules) for each in found]


@pytest.mark.django_db
def test_each_save_is_a_revision() -> None:
    source = make("People", rules=[READ])
    user = User.objects.create_user("ann")
    save_rules(source, [READ, WRITE], origin="api", note="let them in")
    save_rules(source, [WRITE], User.objects.create_superuser("root"), origin="admin")
    assert not save_rules(source, [WRITE], user)
    assert kept(source) == [
        (1, "code", [READ]),
        (2, "api", [READ, WRITE]),
        (3, "admin", [WRITE]),
    ]
    last = Revision.objects.get(data_source=source, number=3)
    assert (last.saved_by and last.saved_by.username, last.saved_by_name) == ("root", "root")
    User.objects.get(username="root").delete()
    last.refresh_from_db()
    assert (last.saved_by, last.saved_by_name) == (None, "root")


@pytest.mark.django_db
def test_what_is_not_saved_leaves_none() -> None:
    source = make("People", rules=[READ])
    with pytest.raises(RulesInvalid):
        save_rules(source, [{"type": ["select"]}])
    assert [number for number, *_ in kept(source)] == [1]


@pytest.mark.django_db
def test_rules_from_before_there_was_a_history_are_kept() -> None:
    source = make("People", rules=[READ])
    Revision.objects.all().delete()
    save_rules(source, [WRITE])
    assert kept(source) == [(1, "found", [READ]), (2, "code", [WRITE])]


@pytest.mark.django_db
def test_rules_that_cannot_be_read_are_kept_as_text() -> None:
    source = make("People", rules=[READ])
    Revision.objects.all().delete()
    AccessRule.objects.filter(data_source=source).update(name=None)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {AccessRule._meta.db_table} SET \"require\"='[{{'")
    source.refresh_from_db()
    save_rules(source, [WRITE])
    assert kept(source)[0] == (1, "found", [{**READ, "require": "[{"}])


@pytest.mark.django_db
def test_rules_that_code_saves_one_by_one_are_one_revision() -> None:
    source = make("People", rules=[READ])
    AccessRule.objects.create(data_source=source, position=2, type=["delete"], allow="all")
    AccessRule.objects.create(data_source=source, position=3, type=["update"], allow="all")
    AccessRule.objects.get(data_source=source, position=2).delete()
    update = {"type": ["update"], "allow": "all"}
    assert rules_of(source) == [READ, update]
    assert kept(source) == [(1, "code", [READ]), (4, "rows", [READ, update])]
    Revision.objects.filter(number=4).update(
        saved_at=Revision.objects.get(number=4).saved_at - TOGETHER
    )
    AccessRule.objects.filter(data_source=source).first().delete()  # type: ignore[union-attr]
    assert [number for number, *_ in kept(source)] == [1, 4, 5]


@pytest.mark.django_db
def test_a_fixture_brings_its_own() -> None:
    source = make("People", rules=[READ])
    save_rules(source, [READ, WRITE], note="second")
    text = serializers.serialize(
        "json", [source, *AccessRule.objects.all(), *Revision.objects.all()]
    )
    before = kept(source)
    DataSource.objects.get(pk=source.pk).delete()
    assert not Revision.objects.exists()
    for each in serializers.deserialize("json", text):
        each.save()
    assert kept(source) == before
    assert rules_of(source.pk or DataSource.objects.get().pk) == [READ, WRITE]


@pytest.mark.django_db
def test_the_history_goes_with_its_data_source() -> None:
    source = make("People", rules=[READ, WRITE])
    source.delete()
    assert not Revision.objects.exists()


@pytest.mark.django_db
def test_every_door_leaves_a_revision() -> None:
    source = make("People", rules=[READ])
    api = calls.manager("change_rules", "change", on=source)
    assert api("PUT", f"data-sources/{source.pk}", {"accessRules": [WRITE]}).status == 200
    assert kept(source)[-1] == (2, "api", [WRITE])
