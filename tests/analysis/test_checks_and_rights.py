"""The checks of rules say nothing of rules, tokens and apps that the asker may not see."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.site import check
from rowkeeper.rules.describe.advice import advice_for
from tests.admin.test_admin import make, staff
from tests.admin.test_admin_checks import answer
from tests.support.people import sign_in_source

pytestmark = pytest.mark.django_db

WRITES: dict[str, Any] = {"type": ["update"], "allow": "loggedIn", "include": ["Email", "Role"]}


@pytest.fixture
def people() -> DataSource:
    """A sign-in data source. A rule of a hidden data source tests its column `Role`."""
    secret = {"type": ["select"], "allow": {"user": {"Role": {"equals": "Auditor"}}}}
    make("Hidden", rules=[secret])
    return sign_in_source("People", [{"Email": "a@x.com", "Role": "User"}])


def codes(found: list[Any]) -> set[str]:
    return {each["code"] if isinstance(each, dict) else each.code for each in found}


def test_rules_of_hidden_data_sources_do_not_count(people: DataSource) -> None:
    ann = staff("ann", people, "view", "change", "change_rules")
    user = User.objects.get(username="ann")
    assert "self-promotion" not in codes(answer(ann, people, [WRITES])["problems"])
    # A requirement that rules out the value would tell whether it is the value.
    pinned = {**WRITES, "require": [{"Role": {"equals": "Auditor"}}]}
    other = {**WRITES, "require": [{"Role": {"equals": "Nobody"}}]}
    first, second = (answer(ann, people, [rule])["problems"] for rule in (pinned, other))
    assert codes(first) == codes(second)
    assert not any("another data source" in text for text in advice_for(people, user))


def test_rules_that_the_asker_may_see_count(people: DataSource) -> None:
    ann = staff("ann", people, "view", "change", "change_rules")
    everything = staff("eve", None, "view", "change", "change_rules")
    assert "self-promotion" in codes(answer(everything, people, [WRITES])["problems"])
    assert "self-promotion" in codes(check([WRITES], people))
    from guardian.shortcuts import assign_perm

    hidden = DataSource.objects.get(name="Hidden")
    user = User.objects.get(username="ann")
    # To see its entries is not to see its rules.
    assign_perm("rowkeeper_datasources.view_datasource", user, hidden)
    assert "self-promotion" not in codes(answer(ann, people, [WRITES])["problems"])
    assign_perm("rowkeeper_datasources.change_rules_datasource", user, hidden)
    assert "self-promotion" in codes(answer(ann, people, [WRITES])["problems"])
