"""API tokens and apps that rules name: those not in use are reported, and the pages of a token show
which rules name it.
"""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from guardian.shortcuts import assign_perm

from rowkeeper.accounts import tokens
from rowkeeper.accounts.models import ApiToken, App
from rowkeeper.datasources.models import DataSource
from rowkeeper.rules.analysis.site import check
from rowkeeper.rules.repository.rules import save_rules
from tests.admin.test_admin import boss, make, signed_in, staff

__all__ = ["boss"]
pytestmark = pytest.mark.django_db

PAST = timezone.now() - timedelta(days=1)


def token(name: str, **fields: Any) -> tuple[ApiToken, str]:
    made = ApiToken(name=name, **fields)
    secret = tokens.seal(made)
    made.save()
    return made, secret


def rule(*numbers: int) -> dict[str, Any]:
    return {"type": ["select"], "allow": {"tokens": list(numbers)}}


def said(rules: Any, source: DataSource, user: Any = None) -> list[tuple[str, str]]:
    wanted = ("token-not-in-use", "unknown-app")
    return [(p.code, p.message) for p in check(rules, source, user=user) if p.code in wanted]


def test_a_token_is_reported_exactly_where_no_request_comes_in_with_it() -> None:
    gone = User.objects.create_user("gone", is_active=False)
    made = [
        token("in use"),
        token("later", expires_at=timezone.now() + timedelta(days=1)),
        token("expired", expires_at=PAST),
        token("revoked", revoked_at=PAST),
        token("of nobody", user=gone),
    ]
    source = make("Staff", [{"Name": "a"}], [rule(*(each.pk for each, _ in made))])
    for each, secret in made:
        url = f"/v1/data-sources/{source.pk}/data"
        answered = Client().get(url, headers={"Auth-token": secret}).status_code
        assert bool(said([rule(each.pk)], source)) is (answered != 200), each.name
    assert len(said([rule(10**6)], source)) == len(said([rule(2**62)], source)) == 1


def test_the_name_and_the_state_are_for_those_who_may_see_tokens() -> None:
    source = make("Staff")
    revoked, expired = token("Payroll", revoked_at=PAST)[0], token("Doors", expires_at=PAST)[0]
    rules = [rule(revoked.pk, expired.pk, 10**6)]
    ((_, everything),) = said(rules, source)
    assert f"API token {revoked.pk} (“Payroll”) is revoked" in everything
    assert f"API token {expired.pk} (“Doors”) has expired" in everything
    assert "API token 1000000 does not exist" in everything
    staff("ann", source, "view", "change_rules")
    ann = User.objects.get(username="ann")
    ((_, text),) = said(rules, source, ann)
    assert "Payroll" not in text and "revoked" not in text and "expired" not in text
    assert text.count("does not exist or is not in use") == 3
    ann.user_permissions.add(Permission.objects.get(codename="view_apitoken"))
    assert said(rules, source, User.objects.get(username="ann")) == [
        ("token-not-in-use", everything)
    ]


def test_an_app_that_does_not_exist_is_reported() -> None:
    source, app = make("Staff"), App.objects.create(name="Desk")
    rules = [{**rule(1), "appId": [app.pk, 77]}, {"script": "return None", "appId": [2**62]}]
    texts = [text for code, text in said(rules, source) if code == "unknown-app"]
    assert len(texts) == 2
    assert texts[0].startswith("there is no app 77:")
    assert not said([{"type": ["select"], "allow": "loggedIn", "appId": [app.pk]}], source)


def pages(client: Client, made: ApiToken) -> list[str]:
    found = []
    for name in ("change", "revoke"):
        response = client.get(reverse(f"admin:rowkeeper_accounts_apitoken_{name}", args=[made.pk]))
        assert response.status_code == 200
        found.append(unescape(response.content.decode()))
    return found


def test_the_pages_of_a_token_show_the_rules_that_name_it(boss: Client) -> None:
    made = token("Payroll")[0]
    own = {**rule(made.pk), "name": "Pay <b>run</b>"}
    make("Salaries", rules=[{**rule(made.pk), "enabled": False}, own])
    make("Others", rules=[rule(made.pk + 1), {"type": ["select"], "allow": "all"}])
    for page in pages(boss, made):
        assert "Salaries: rule 2 (Pay <b>run</b>)" in page
        assert "Salaries: rule 1" not in page and "Others" not in page
        assert "may not see" not in page
    raw = boss.get(reverse("admin:rowkeeper_accounts_apitoken_revoke", args=[made.pk]))
    assert b"<b>run" not in raw.content


def test_rules_of_hidden_data_sources_are_not_shown_and_not_counted() -> None:
    named, unnamed = token("Payroll")[0], token("Doors")[0]
    hidden, seen = make("Hidden", rules=[rule(named.pk)]), make("Seen", rules=[rule(named.pk)])
    user = User.objects.create_user("ann", password="pw", is_staff=True)
    for right in ("view_apitoken", "change_apitoken"):
        user.user_permissions.add(Permission.objects.get(codename=right))
    assign_perm("rowkeeper_datasources.change_rules_datasource", user, seen)
    # To see entries is not to see rules.
    assign_perm("rowkeeper_datasources.view_datasource", user, hidden)
    ann = signed_in(user)
    for page in pages(ann, named):
        assert "Seen: rule 1" in page and "Hidden" not in page
        assert "Rules of data sources that you cannot see are not checked." in page
    for page in pages(ann, unnamed):
        assert "No rule that you can see names this token." in page
        assert "Rules of data sources that you cannot see are not checked." in page


def test_the_list_says_which_rules_still_name_a_revoked_token(boss: Client) -> None:
    made = token("Payroll")[0]
    save_rules(make("Salaries"), [rule(made.pk)])
    url = reverse("admin:rowkeeper_accounts_apitoken_changelist")
    sent = {"action": "revoke", "_selected_action": [made.pk]}
    page = unescape(boss.post(url, sent, follow=True).content.decode())
    assert f"Rules still name Payroll ({made.pk}): Salaries: rule 1." in page
